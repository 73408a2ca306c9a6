"""JUnit, Markdown and figures, and writing all formats."""

import os
import re
import resource
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

import pytest
from loadgen_reports.formats import figures, junit, markdown
from loadgen_reports.write import FORMATS, write_reports

from loadgen.analyze.results import Analysis, Span, Window
from loadgen.base.errors import ExitCode, LoadgenError, SettingsError
from support.runs.synthetic import SAMPLES, finding, sample

# JUnit


@pytest.mark.parametrize("name", SAMPLES)
def test_junit_counts_the_findings(name: str) -> None:
    """Each limit is a test case; a missed SLO is a failure, and an invalid run is an error."""
    run = sample(name)
    suite = ET.fromstring(junit.render(run)).find("testsuite")
    assert suite is not None
    judged = [f for f in run.findings if f.severity in ("fail", "invalid")]
    missed = [f.severity for f in judged if not f.passed]
    assert len(suite.findall("testcase")) == int(suite.attrib["tests"]) == len(judged)
    assert len(suite.findall("testcase/failure")) == int(suite.attrib["failures"]) == missed.count("fail")
    assert len(suite.findall("testcase/error")) == int(suite.attrib["errors"]) == missed.count("invalid")


@pytest.mark.parametrize("name", SAMPLES)
def test_junit_follows_the_schema(name: str) -> None:
    """Elements, their order and their attributes are those of Ant's schema, the strictest in use."""
    root = ET.fromstring(junit.render(sample(name)))
    assert (root.tag, root.attrib) == ("testsuites", {})
    (suite,) = root
    required = {"name", "timestamp", "hostname", "tests", "failures", "errors", "time", "package", "id"}
    assert set(suite.attrib) == required
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.attrib["timestamp"])
    assert re.fullmatch(r"\d+(\.\d+)?", suite.attrib["time"])
    assert suite.attrib["name"]
    tags = [child.tag for child in suite]
    assert tags == ["properties", *["testcase"] * int(suite.attrib["tests"]), "system-out", "system-err"]
    for case in suite.findall("testcase"):
        assert set(case.attrib) == {"name", "classname", "time"}
        assert [child.tag for child in case] in ([], ["failure"], ["error"])
        assert all(child.attrib["type"] and child.attrib["message"] for child in case)


def test_junit_names_are_the_same_in_every_run(failing: Analysis) -> None:
    """A limit keeps its name from run to run: its stage is in it, the times at which it was missed are not."""
    windows = (None, Span(name="peak 1", start_s=30.0, end_s=90.0), Window(69.1, 85.1))
    run = replace(failing, findings=tuple(finding("slo.ttft.p95", 3.0, 2.0, window=w) for w in windows))
    names = [case.attrib["name"] for case in ET.fromstring(junit.render(run)).iter("testcase")]
    assert names == ["slo.ttft.p95: TTFT p95", "slo.ttft.p95: TTFT p95 (peak 1)", "slo.ttft.p95: TTFT p95"]


def test_junit_prints_warnings(failing: Analysis) -> None:
    """Warnings are not test cases; the suite's output lists them."""
    behind = finding("signal.behind", 14.0, None, severity="warning", title="Signal behind the load")
    run = replace(failing, findings=(*failing.findings, behind))
    out = ET.fromstring(junit.render(run)).findtext("testsuite/system-out") or ""
    assert "warning: Signal behind the load: 14 s" in out
    assert out.startswith(
        "FAIL: in off-peak 2, scale-up lagged the load by 45 s (95 % interval 43 … 46 s); "
        "in the worst 90 s, from 0:30 to 2:00, "
    )


# Markdown


@pytest.mark.parametrize("name", SAMPLES)
def test_markdown_rows_have_all_cells(name: str) -> None:
    """Every table row has as many cells as its heading, even where a name or an error message contains a bar."""
    width = 0
    for line in markdown.render(sample(name)).splitlines():
        if not line.startswith("|"):
            width = 0
            continue
        cells = len(re.findall(r"(?<!\\)\|", line))
        width = width or cells
        assert cells == width, line


def test_markdown_fits_a_comment() -> None:
    """Two hours with dozens of scale-ups stay below the size limit of a pull request comment."""
    assert len(markdown.render(sample("two-hours"))) < markdown.MAX_CHARACTERS + 100


def test_markdown_that_does_not_fit_is_cut_between_sections(failing: Analysis) -> None:
    """Sections that do not fit are left out as a whole, and the last line says so."""
    long = replace(failing, stages=tuple(replace(g, name="x" * 1500) for g in failing.stages * 10))
    text = markdown.render(long)
    assert len(text) < markdown.MAX_CHARACTERS + 100
    assert text.endswith("The rest does not fit into a comment: see report.html.\n")


def test_markdown_escapes_external_text() -> None:
    """Markup, links, mentions and HTML in a server's message are escaped, and line group_starts are removed."""
    assert markdown.escape("<b>*x*</b> [a](b) @team #1 | ~\n# h") == (
        "\\<b\\>\\*x\\*\\</b\\> \\[a\\](b) \\@team \\#1 \\| \\~ \\# h"
    )
    assert markdown.escape("- item") == "\\- item"
    assert markdown.escape("1. item") == "1\\. item"
    assert markdown.code("a`b|c\nd") == "`a'b\\|c d`"
    assert markdown.code("") == ""


def test_markdown_keeps_commands_as_code() -> None:
    """Flags and commands between backquotes in advice stay code; a single backquote is escaped."""
    assert markdown.prose("use `--set a_b=1|2`, then *go*") == "use `--set a_b=1\\|2`, then \\*go\\*"
    assert markdown.prose("it`s") == "it\\`s"


# Figures


def size(image: bytes) -> tuple[int, int]:
    assert image.startswith(b"\x89PNG\r\n")
    width, height = struct.unpack(">II", image[16:24])
    return width, height


@pytest.fixture(scope="module")
def images(failing: Analysis) -> dict[str, bytes]:
    """The figures of the failing run."""
    return figures.render(failing)


class Written(NamedTuple):
    """Reports in a folder, and the paths that writing them returned."""

    folder: Path
    paths: list[str]


@pytest.fixture(scope="module")
def every_format(failing: Analysis, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """All reports of the failing run, with figures rendered a second time."""
    folder = tmp_path_factory.mktemp("every-format")
    return Written(folder, list(write_reports(failing, folder / "run")))


@pytest.fixture(scope="module")
def few_figures(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The figures of a run without autoscaler and replicas, written over all figures of an earlier analysis."""
    folder = tmp_path_factory.mktemp("few-figures")
    (folder / "figures").mkdir()
    for name in (*figures.NAMES, "other.png"):
        (folder / "figures" / name).write_bytes(b"x")
    return Written(folder, list(write_reports(sample("url"), folder, formats=["figures"])))


def test_figures_are_images(images: dict[str, bytes]) -> None:
    """A run in which everything was measured has all figures, and all have the same width."""
    assert set(images) == set(figures.NAMES)
    assert {size(image)[0] for image in images.values()} == {1350}


def test_figures_are_the_same_for_the_same_analysis(every_format: Written, images: dict[str, bytes]) -> None:
    """The bytes depend only on the analysis, so that a stored figure changes only with its run."""
    written = {path.name: path.read_bytes() for path in (every_format.folder / "run" / "figures").iterdir()}
    assert written == images


def test_figures_without_data_are_left_out(few_figures: Written) -> None:
    """A figure with empty axes is not written."""
    assert set(few_figures.paths) == {"figures/timeline.png", "figures/load.png", "figures/latency.png"}
    assert figures.render(sample("nothing-recorded")) == {}


def test_figures_take_any_name() -> None:
    """Names with formula syntax or with letters that the font lacks raise no warning."""
    run = sample("hostile")
    strange = replace(run, stage_spans=tuple(replace(span, name="波 $x_$") for span in run.stage_spans[:1]))
    assert "ratio.png" in figures.render(strange)


# All of them


def test_all_reports_are_written(every_format: Written) -> None:
    """One call writes every format, returns the paths, and leaves no temporary file."""
    tables = {"analysis/timeline.parquet", "analysis/timeline.ratio_by_pod.parquet"}
    names = {
        "analysis.json",
        *tables,
        "report.html",
        "report.md",
        "junit.xml",
        *(f"figures/{n}" for n in figures.NAMES),
    }
    assert set(every_format.paths) == names
    files = [path for path in every_format.folder.rglob("*") if path.is_file()]
    assert {str(path.relative_to(every_format.folder / "run")) for path in files} == names


def test_only_requested_formats_are_written(tmp_path: Path, failing: Analysis) -> None:
    """A single format can be requested; an unknown one is refused by name before anything is written."""
    assert set(write_reports(failing, tmp_path, formats=["junit"])) == {"junit.xml"}
    with pytest.raises(SettingsError, match="no report format 'pdf': choose from json, html, markdown, junit, figures"):
        write_reports(failing, tmp_path / "other", formats=["json", "pdf"])
    assert not (tmp_path / "other").exists()


def test_hostile_text_can_be_written(tmp_path: Path) -> None:
    """Control characters and lone surrogates in external text break no format."""
    assert len(write_reports(sample("hostile"), tmp_path, formats=set(FORMATS) - {"figures"})) == 6


def test_outdated_figures_are_deleted(few_figures: Written) -> None:
    """A figure that the new analysis does not have is deleted; files of other names stay."""
    assert {p.name for p in (few_figures.folder / "figures").iterdir()} == {
        "timeline.png",
        "load.png",
        "latency.png",
        "other.png",
    }


def test_a_failed_write_keeps_the_previous_report(tmp_path: Path, failing: Analysis) -> None:
    """When a file cannot be replaced, the error says what to do, and no partial file is left."""
    (tmp_path / "report.html").mkdir()
    (tmp_path / "report.html" / "old").write_text("old")
    says = r"cannot write reports into .*: .*/report\.html is a folder and not a file; move or delete it, then run"
    with pytest.raises(LoadgenError, match=says) as raised:
        write_reports(failing, tmp_path, formats=["html"])
    assert raised.value.exit_code == ExitCode.TOOL
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html" / "old").read_text() == "old"


@pytest.mark.parametrize(
    ("name", "make", "says"),
    [
        ("analysis", lambda path: path.write_text("x"), "analysis is a file and not a folder; move or delete it"),
        ("analysis", os.mkfifo, "analysis is a FIFO and not a folder; move or delete it"),
        ("analysis", lambda path: path.symlink_to("nothing"), "analysis is a link that leads nowhere; move or delete"),
        ("analysis", lambda path: path.symlink_to("analysis"), "analysis is a link that leads nowhere; move or delete"),
        ("analysis.json", Path.mkdir, "analysis.json is a folder and not a file; move or delete it"),
        (".", lambda path: (path.rmdir(), path.write_text("x")), "run is a file and not a folder; move or delete it"),
        (".", lambda path: (path.rmdir(), path.symlink_to("no")), "run is a link that leads nowhere; move or delete"),
    ],
)
def test_what_is_in_the_way_of_a_report_is_named(
    name: str, make: Callable[[Path], object], says: str, tmp_path: Path, failing: Analysis
) -> None:
    """A file in place of a folder, or the other way round, is no lack of space or of permissions."""
    folder = tmp_path / "run"
    folder.mkdir()
    make(folder / name)
    with pytest.raises(LoadgenError) as raised:
        write_reports(failing, folder, formats=["json"])
    assert f"{says}" in str(raised.value)
    assert str(raised.value).endswith(f", then run `loadgen report {folder}`")


def test_a_limit_on_the_size_of_files_is_named(tmp_path: Path, failing: Analysis) -> None:
    """More space would not help."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(LoadgenError, match=r"limit on the size of a file; raise the limit \(ulimit -f\), then run"):
            write_reports(failing, tmp_path, formats=["markdown"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []
