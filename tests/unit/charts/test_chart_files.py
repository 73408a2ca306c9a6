"""The files of the charts are regular files, as tools that install from a git tree need them."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FILES = runpy.run_path(str(ROOT / "charts/files.py"))
ENGINE, COPY, LIST = FILES["ENGINE"], FILES["COPY"], FILES["LIST"]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): (folder / path).read_bytes() for path in FILES["tree"](folder)}


def test_no_file_of_a_chart_is_a_symbolic_link() -> None:
    """Flux and others drop links from what they fetch, and an archive has them as text."""
    assert [path for path in (ROOT / "charts").rglob("*") if path.is_symlink()] == []


@pytest.mark.parametrize("name", contents(ENGINE))
def test_a_copy_in_the_chart_equals_its_source(name: str) -> None:
    """`make charts` copies the emulated engine into the chart."""
    assert (COPY / name).read_bytes() == (ENGINE / name).read_bytes(), "run `make charts`"


def test_the_chart_has_no_copy_without_a_source() -> None:
    """A module that was removed or renamed leaves nothing behind."""
    assert set(contents(COPY)) == set(contents(ENGINE)), "run `make charts`"


def test_the_list_names_every_file() -> None:
    """The chart refuses to render without a file of this list, so the list is complete."""
    assert LIST.read_text() == FILES["listed"](), "run `make charts`"
    assert "emulated/loadgen/local/engine/core.py" in LIST.read_text().splitlines()
