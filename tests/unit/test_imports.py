"""Arrows point one way: who may import whom (docs/decisions and CONTRIBUTING name the reasons)."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A package or module, and what of our own it may import besides itself. Everyone may import BASE.
BASE = {"loadgen.errors", "loadgen.base.checked", "loadgen.clock", "loadgen.files", "loadgen.urls"}
MAY_IMPORT: dict[str, set[str]] = {
    "loadgen.base.errors": set(),
    "loadgen.base.checked": set(),
    "loadgen.base.clock": set(),
    "loadgen.base.files": set(),
    "loadgen.base.urls": set(),
    "loadgen.base.processes": set(),
    "loadgen.dataset.folder": set(),
    "loadgen.scenario.rates": set(),
    "loadgen.settings": {"loadgen.scenario.rates"},
    "loadgen.autoscale": set(),
    "loadgen.protocols": {"loadgen.dataset.folder", "loadgen.base.processes"},
    "loadgen.load": {"loadgen.scenario.settings", "loadgen.dataset", "loadgen.protocols"},
    "loadgen.collect": {"loadgen.scenario.settings", "loadgen.dataset", "loadgen.base.processes"},
    "loadgen.local": {"loadgen.scenario.settings", "loadgen.dataset", "loadgen.autoscale", "loadgen.base.processes"},
    "loadgen.entry": {"loadgen.sandbox", "loadgen.run.progress"},
    "loadgen.kube": {
        "loadgen.base.stop",
        "loadgen.dataset.folder",
        "loadgen.local",
        "loadgen.base.processes",
        "loadgen.scenario.settings",
    },
    "loadgen.kube.deploy.cli": {
        "loadgen.kube.deploy.release",
        "loadgen.kube.deploy.values",
        "loadgen.run.progress",
        "loadgen.scenario.settings",
    },
    "loadgen.sandbox.kubelet": {"loadgen.base.processes"},
    "loadgen.analyze": {"loadgen.dataset.folder", "loadgen.autoscale"},
    "loadgen.run.progress": {"loadgen.load"},
    "reports": {"loadgen.analyze.results"},
    # the rooms that wire the parts together
    "loadgen.run.run": {
        "loadgen.collect",
        "loadgen.dataset.folder",
        "loadgen.targets.cluster",
        "loadgen.kube.discover.endpoint",
        "loadgen.targets.sandbox",
        "loadgen.local",
        "loadgen.base.processes",
        "loadgen.run.progress",
        "loadgen.protocols",
        "loadgen.scenario.settings",
    },
    "loadgen.flags": {"loadgen.load", "loadgen.run.progress", "loadgen.scenario.settings"},
    "loadgen.run.conductor": {
        "loadgen.run.flags",
        "loadgen.load",
        "loadgen.run.progress",
        "loadgen.run.run",
        "loadgen.scenario.settings",
    },
    "loadgen.locust": {
        "loadgen.run.conductor",
        "loadgen.run.reexec",
        "loadgen.run.flags",
        "loadgen.load",
        "loadgen.run.progress",
        "loadgen.scenario.settings",
    },
    "loadgen.archive.store": set(),
    "loadgen.keep": {"loadgen.run.progress", "loadgen.store"},
    "loadgen.cli": {
        "loadgen.analyze",
        "loadgen.dataset.folder",
        "loadgen.archive.upload",
        "loadgen.kube.deploy.cli",
        "loadgen.sandbox.cli",
        "reports",
    },
    "loadgen.__main__": {"loadgen.cli"},
    "scenarios": {"loadgen.locust"},
}


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def within(module: str, room: str) -> bool:
    return module == room or module.startswith(room + ".")


def own_imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] in ("loadgen", "reports", "scenarios", "charts")}


FILES = [
    file
    for folder in ("loadgen", "reports", "scenarios")
    for file in sorted((ROOT / folder).rglob("*.py"))
    if "engine/models" not in file.as_posix()  # runs inside Triton's own interpreter
]


@pytest.mark.parametrize("file", FILES, ids=module_name)
def test_arrows_point_one_way(file: Path) -> None:
    """A module imports only what its room may import."""
    module = module_name(file)
    if module == "loadgen":
        assert not own_imports(file)
        return
    room = max((room for room in MAY_IMPORT if within(module, room)), key=len, default=None)
    assert room, f"{module} stands in no room that the rule knows"
    allowed = {room, *MAY_IMPORT[room], *BASE}
    if room in BASE:
        allowed = BASE
    wrong = {name for name in own_imports(file) if not any(within(name, target) for target in allowed)}
    assert not wrong, f"{module} may not import {sorted(wrong)}"


def test_reports_know_results_only() -> None:
    """No module of `reports` reaches any part of loadgen but the values of an analysis and the errors."""
    reached = {name for file in FILES if module_name(file).startswith("reports") for name in own_imports(file)}
    loadgen = {name for name in reached if name.startswith("loadgen")}
    assert loadgen
    assert all(within(name, "loadgen.analyze.results") or within(name, "loadgen.base.errors") for name in loadgen)
