"""Imports run downwards: a room imports only itself and rooms of lower floors, and no module stands in a circle."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = {
    "loadgen": ROOT / "loadgen",
    "loadgen_reports": ROOT / "reports/loadgen_reports",
    "scenarios": ROOT / "scenarios",
}

# The ground floor comes first. Rooms on one floor are independent of one another.
FLOORS = (
    ("loadgen.base",),
    ("loadgen.scenario", "loadgen.dataset", "loadgen.autoscale", "loadgen.programs", "loadgen.archive"),
    ("loadgen.protocols", "loadgen.collect", "loadgen.analyze", "loadgen.local.engine", "loadgen.kube.objects"),
    ("loadgen.load", "loadgen.local", "loadgen.kube.client", "loadgen.sandbox.kubelet", "loadgen_reports"),
    ("loadgen.kube.proxy", "loadgen.kube.observe", "loadgen.sandbox"),
    ("loadgen.kube.discover",),
    ("loadgen.kube.deploy",),
    ("loadgen.targets",),
    ("loadgen.run",),
    ("loadgen.locust", "loadgen.cli"),
    ("loadgen.__main__", "scenarios"),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
REPORTS_MAY_IMPORT = (
    "loadgen.base",
    "loadgen.dataset.names",
    "loadgen.dataset.terms",
    "loadgen.analyze.findings.codes",
    "loadgen.analyze.results",
)


def modules() -> dict[str, Path]:
    """Every module of ours and its file, without the models that run inside Triton's own interpreter."""
    found = {}
    for top, folder in SOURCES.items():
        for file in sorted(folder.rglob("*.py")):
            if "engine/models" not in file.as_posix():
                parts = (top, *file.relative_to(folder).with_suffix("").parts)
                found[".".join(part for part in parts if part != "__init__")] = file
    return found


MODULES = modules()


def imports(module: str) -> set[str]:
    """The modules of ours that a module imports, type-only and local imports included."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{module}: imports are absolute"
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            found |= {name if name in MODULES else node.module for name in names}
    return found & MODULES.keys() - {module}


def room(module: str) -> str:
    """The room that a module stands in: the longest name on any floor that it begins with."""
    return max((name for name in FLOOR if f"{module}.".startswith(f"{name}.")), key=len, default="")


@pytest.mark.parametrize("module", [name for name in MODULES if name not in ("loadgen", "loadgen.kube")])
def test_a_module_imports_its_own_room_and_lower_floors(module: str) -> None:
    """No import runs upwards or to another room of the same floor."""
    mine = room(module)
    assert mine, f"{module} stands on no floor: add its room to FLOORS"
    wrong = {name for name in imports(module) if room(name) != mine and FLOOR[room(name)] >= FLOOR[mine]}
    assert not wrong, f"{module} may not import {sorted(wrong)}"


def test_no_module_stands_in_a_circle() -> None:
    """Any module can be read, and tested, before those that import it."""
    TopologicalSorter({module: imports(module) for module in MODULES}).prepare()


def test_reports_read_results_and_declarations_only() -> None:
    """A report knows the values of an analysis, never how they were found."""
    reached = {name for module in MODULES if room(module) == "loadgen_reports" for name in imports(module)}
    wrong = {name for name in reached if not name.startswith(("loadgen_reports", *REPORTS_MAY_IMPORT))}
    assert not wrong
