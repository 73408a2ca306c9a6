"""The text of reports, compared with the files in `tests/golden/reports/`.

After an intended change, write the files again and read the difference:

    UPDATE_GOLDEN=1 uv run pytest tests/golden/test_reports.py && git diff tests/golden/reports
"""

import json
import math
import os
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from loadgen_reports.formats import html, junit, markdown
from loadgen_reports.formats import json as machine
from loadgen_reports.sentences import summary_lines

from loadgen.analyze.results import Analysis
from support.runs.synthetic import sample

FOLDER = Path(__file__).parent / "reports"
BLOCKS = {
    "p",
    "li",
    "tr",
    "h1",
    "h2",
    "h3",
    "dt",
    "div",
    "section",
    "summary",
    "option",
    "figcaption",
    "title",
    "aside",
}


class _Text(HTMLParser):
    """Extracts the text of a page: one line for each block, cells separated by a bar."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.silent += tag in ("script", "style", "svg")
        self.parts.append("\n" if tag in BLOCKS else " | " if tag in ("td", "th") else "")

    def handle_endtag(self, tag: str) -> None:
        self.silent -= tag in ("script", "style", "svg")
        self.parts.append("\n" if tag in BLOCKS else " " if tag in ("small", "button", "dd", "span") else "")

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.parts.append(data)


def page_text(analysis: Analysis) -> str:
    """The visible text of the page; blank lines and runs of spaces are scrubbed."""
    reader = _Text()
    reader.feed(html.render(analysis))
    lines = (re.sub(r"\s+", " ", line).strip(" |") for line in "".join(reader.parts).split("\n"))
    return "\n".join(line for line in lines if line) + "\n"


def console(analysis: Analysis) -> str:
    return "\n".join(summary_lines(analysis)) + "\n"


RENDER: dict[str, Callable[[Analysis], str]] = {
    "md": markdown.render,
    "xml": junit.render,
    "page.txt": page_text,
    "console.txt": console,
}
CASES = [
    *(("failing", suffix) for suffix in RENDER),
    *(("send-lag", suffix) for suffix in ("xml", "console.txt")),
    *(("nothing-recorded", suffix) for suffix in ("md", "page.txt")),
    *(("never-started", suffix) for suffix in RENDER),
    ("passing", "console.txt"),
    ("interrupted", "console.txt"),
    ("stopped", "console.txt"),
    ("no-first-token", "console.txt"),
    ("url", "console.txt"),
    ("crash", "md"),
    ("cluster", "console.txt"),
    ("no-streaming", "console.txt"),
    ("hostile", "md"),
]


@pytest.mark.parametrize(("name", "suffix"), CASES, ids=lambda value: value)
def test_the_text_of_reports(name: str, suffix: str) -> None:
    """A report has the text of its golden file."""
    text = RENDER[suffix](sample(name))
    file = FOLDER / f"{name}.{suffix}"
    if os.environ.get("UPDATE_GOLDEN"):
        FOLDER.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8"), "see the first lines of this file for how to accept a change"


def equal(golden: object, made: object, path: str = "") -> list[str]:
    """The paths at which two documents differ by more than rounding on another processor."""
    if isinstance(golden, dict) and isinstance(made, dict) and list(golden) == list(made):
        return [each for key in golden for each in equal(golden[key], made[key], f"{path}.{key}")]
    if isinstance(golden, list) and isinstance(made, list) and len(golden) == len(made):
        return [each for n, pair in enumerate(zip(golden, made, strict=True)) for each in equal(*pair, f"{path}[{n}]")]
    if isinstance(golden, float) and isinstance(made, float) and math.isclose(golden, made, rel_tol=1e-9):
        return []
    return [] if golden == made else [f"{path}: {golden!r:.60} and {made!r:.60}"]


def test_analysis_json() -> None:
    """The golden file names its schema: a field that is renamed or moved needs another version (docs/analysis.md)."""
    text = machine.render(sample("failing"))
    file = FOLDER / f"failing.analysis.{machine.SCHEMA_VERSION}.json"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    assert equal(json.loads(file.read_text(encoding="utf-8")), json.loads(text)) == []
