"""Imports run downwards: a package imports only itself and packages of lower floors, and there are no import cycles."""

import ast
import functools
import re
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = {
    "loadgen": ROOT / "loadgen",
    "loadgen_reports": ROOT / "reports/loadgen_reports",
    "scenarios": ROOT / "scenarios",
}

# The ground floor comes first. Packages on one floor are independent of each other.
FLOORS = (
    ("loadgen.base",),
    ("loadgen.scenario", "loadgen.dataset", "loadgen.autoscale", "loadgen.programs", "loadgen.archive"),
    ("loadgen.protocols", "loadgen.collect", "loadgen.analyze", "loadgen.local.engine", "loadgen.kube.objects"),
    (
        "loadgen.load",
        "loadgen.local",
        "loadgen.kube.client",
        "loadgen.sandbox.kubelet",
        "loadgen.whatif",
        "loadgen_reports",
    ),
    ("loadgen.kube.proxy", "loadgen.kube.observe", "loadgen.sandbox", "loadgen.selftest"),
    ("loadgen.kube.discover",),
    ("loadgen.kube.deploy",),
    ("loadgen.targets", "loadgen.lint"),
    ("loadgen.run",),
    ("loadgen.locust", "loadgen.cli"),
    ("loadgen.__main__", "scenarios"),
)
FLOOR = {package: number for number, packages in enumerate(FLOORS) for package in packages}
REPORTS_MAY_IMPORT = (
    "loadgen.base",
    "loadgen.dataset.names",
    "loadgen.dataset.terms",
    "loadgen.analyze.findings.codes",
    "loadgen.analyze.results",
)


def modules() -> dict[str, Path]:
    """Return every module of the project with its file, except models that run in Triton's interpreter."""
    files = {}
    for top, folder in SOURCES.items():
        for file in sorted(folder.rglob("*.py")):
            if "engine/models" not in file.as_posix():
                parts = (top, *file.relative_to(folder).with_suffix("").parts)
                files[".".join(part for part in parts if part != "__init__")] = file
    return files


MODULES = modules()


@functools.cache
def imports(module: str) -> set[str]:
    """Return the modules of the project that a module imports, including type-only and local imports."""
    imported = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{module}: imports are absolute"
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            imported |= {name if name in MODULES else node.module for name in names}
    return imported & MODULES.keys() - {module}


def package(module: str) -> str:
    """Return the package of a module: its longest prefix on any floor."""
    return max((name for name in FLOOR if f"{module}.".startswith(f"{name}.")), key=len, default="")


def test_modules_import_only_their_package_and_lower_floors() -> None:
    """No module imports from a higher floor or from another package of the same floor."""
    parts = [name for name in MODULES if name not in ("loadgen", "loadgen.kube")]
    assert [name for name in parts if not package(name)] == [], "on no floor: add their packages to FLOORS"
    wrong = {
        name: sorted(too_high)
        for name in parts
        if (too_high := {other for other in imports(name) if not may_import(package(name), package(other))})
    }
    assert wrong == {}


def may_import(importer: str, imported: str) -> bool:
    return importer == imported or FLOOR[imported] < FLOOR[importer]


def test_there_are_no_import_cycles() -> None:
    """The graph of imports has a topological order."""
    TopologicalSorter({module: imports(module) for module in MODULES}).prepare()


def test_reports_import_only_results_and_declarations() -> None:
    """Reports depend on the results of an analysis and not on its implementation."""
    imported = {name for module in MODULES if package(module) == "loadgen_reports" for name in imports(module)}
    wrong = {name for name in imported if not name.startswith(("loadgen_reports", *REPORTS_MAY_IMPORT))}
    assert not wrong


def test_the_architecture_page_lists_the_same_floors() -> None:
    """docs/architecture.md has one row per floor, the highest first."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    table = page.split("| floor | packages and modules |\n|---|---|\n")[1].split("\n\n")[0]
    assert [tuple(re.findall(r"`([^`]+)`", row)) for row in table.splitlines()] == list(reversed(FLOORS))
