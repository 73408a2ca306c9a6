"""The other formats, and writing them all."""

import json
import math
import re
import struct
from dataclasses import asdict, replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from loadgen_reports.formats import figures, junit, markdown
from loadgen_reports.formats import json as machine
from loadgen_reports.write import FORMATS, write_reports

from loadgen.analyze.results import Analysis
from loadgen.base.errors import ExitCode, LoadgenError, SettingsError
from support.runs import sample_analysis as samples


@pytest.fixture(scope="module")
def failing() -> Analysis:
    return samples.failing()


# JUnit


@pytest.mark.parametrize("name", samples.SAMPLES)
def test_junit_counts_the_findings(name: str) -> None:
    """One test case for each limit; failures are missed SLOs, errors are what makes the run invalid."""
    run = samples.SAMPLES[name]()
    suite = ET.fromstring(junit.render(run)).find("testsuite")
    assert suite is not None
    judged = [f for f in run.findings if f.severity in ("fail", "invalid")]
    missed = [f.severity for f in judged if not f.passed]
    assert len(suite.findall("testcase")) == int(suite.attrib["tests"]) == len(judged)
    assert len(suite.findall("testcase/failure")) == int(suite.attrib["failures"]) == missed.count("fail")
    assert len(suite.findall("testcase/error")) == int(suite.attrib["errors"]) == missed.count("invalid")


@pytest.mark.parametrize("name", samples.SAMPLES)
def test_junit_follows_the_schema(name: str) -> None:
    """Elements, their order and their attributes are those of Ant's schema, the strictest in use."""
    root = ET.fromstring(junit.render(samples.SAMPLES[name]()))
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
    windows = ("whole run", "peak 1", "from 69.1 s to 85.1 s")
    run = replace(failing, findings=tuple(samples.finding("slo.ttft.p95", 3.0, 2.0, window=w) for w in windows))
    names = [case.attrib["name"] for case in ET.fromstring(junit.render(run)).iter("testcase")]
    assert names == ["slo.ttft.p95: TTFT p95", "slo.ttft.p95: TTFT p95 (peak 1)", "slo.ttft.p95: TTFT p95"]


def test_junit_tells_warnings_in_its_output(failing: Analysis) -> None:
    """Warnings are no test cases, but they are not lost."""
    out = ET.fromstring(junit.render(failing)).findtext("testsuite/system-out") or ""
    assert "warning: Signal behind the load: 14 s" in out
    assert out.startswith("FAIL: in peak 2 the fleet followed the load 24.5 s late.")


# Markdown


@pytest.mark.parametrize("name", samples.SAMPLES)
def test_markdown_tables_are_whole(name: str) -> None:
    """Every table row has as many cells as its heading, whatever a name or an error message holds."""
    width = 0
    for line in markdown.render(samples.SAMPLES[name]()).splitlines():
        if not line.startswith("|"):
            width = 0
            continue
        cells = len(re.findall(r"(?<!\\)\|", line))
        width = width or cells
        assert cells == width, line


def test_markdown_fits_a_comment() -> None:
    """Two hours with dozens of scale-ups stay below what a forge takes as a comment."""
    assert len(markdown.render(samples.two_hours())) < markdown.MOST_CHARACTERS + 100


def test_markdown_that_does_not_fit_is_cut_between_sections(failing: Analysis) -> None:
    """What does not fit is left out whole, with a word that it was."""
    long = replace(failing, stages=tuple(replace(g, name="x" * 1500) for g in failing.stages * 10))
    text = markdown.render(long)
    assert len(text) < markdown.MOST_CHARACTERS + 100
    assert text.endswith("The rest did not fit into a comment: see report.html.\n")


def test_markdown_takes_outside_text_literally() -> None:
    """No markup, link, mention or HTML of a server's message comes alive, and it cannot leave its line."""
    assert markdown.escape("<b>*x*</b> [a](b) @team #1 | ~\n# h") == (
        "\\<b\\>\\*x\\*\\</b\\> \\[a\\](b) \\@team \\#1 \\| \\~ \\# h"
    )
    assert markdown.escape("- item") == "\\- item"
    assert markdown.escape("1. item") == "1\\. item"
    assert markdown.code("a`b|c\nd") == "`a'b\\|c d`"
    assert markdown.code("") == ""


def test_markdown_keeps_commands_as_code() -> None:
    """Advice names flags and commands between backquotes; a single backquote is only a sign."""
    assert markdown.prose("use `--set a_b=1|2`, then *go*") == "use `--set a_b=1\\|2`, then \\*go\\*"
    assert markdown.prose("it`s") == "it\\`s"


# JSON


def test_json_is_the_analysis(failing: Analysis) -> None:
    """Read back, the file holds every field in its order, with null where a value is missing."""
    read = json.loads(machine.render(failing))
    wanted = asdict(failing)
    assert list(read) == ["schema_version", *wanted]
    assert list(read["timeline"]) == list(wanted["timeline"])
    assert read["whole"] == wanted["whole"]
    assert read["timeline"]["ready"] == list(failing.timeline.ready)
    gaps = [value is None for value in read["timeline"]["ttft_p95_s"]]
    assert gaps == [math.isnan(value) for value in failing.timeline.ttft_p95_s]
    assert any(gaps)


def test_json_has_no_token_that_json_lacks(failing: Analysis) -> None:
    """NaN is null and infinity a string, so that every parser reads the file."""
    run = replace(failing, findings=(samples.finding("slo.x", math.inf, math.nan),))

    def refuse(token: str) -> None:
        raise AssertionError(token)

    read = json.loads(machine.render(run), parse_constant=refuse)
    assert (read["findings"][0]["measured"], read["findings"][0]["limit"]) == ("Infinity", None)


@pytest.mark.parametrize("name", samples.SAMPLES)
def test_json_of_every_sample_can_be_read(name: str) -> None:
    """Every kind of run, empty containers included, gives a valid file with one line a series."""
    text = machine.render(samples.SAMPLES[name]())
    read = json.loads(text)
    assert text.encode("ascii")
    assert len(text.splitlines()) < 200 + 12 * len(read["marks"]) + 25 * len(read["scaling"]) + 900


# Figures


def size(image: bytes) -> tuple[int, int]:
    assert image.startswith(b"\x89PNG\r\n")
    width, height = struct.unpack(">II", image[16:24])
    return width, height


@pytest.fixture(scope="module")
def images(failing: Analysis) -> dict[str, bytes]:
    return figures.render(failing)


def test_figures_are_images(images: dict[str, bytes]) -> None:
    """A run with everything measured has all figures, all of one width."""
    assert set(images) == set(figures.NAMES)
    assert {size(image)[0] for image in images.values()} == {1350}


def test_figures_are_the_same_for_the_same_analysis(images: dict[str, bytes]) -> None:
    """The bytes depend on the analysis alone, so that a stored figure changes only when the run does."""
    assert figures.render(samples.failing()) == images


def test_what_was_not_measured_is_not_drawn() -> None:
    """No picture of an empty axis: a figure without a value is left out."""
    assert set(figures.render(samples.url_target())) == {"timeline.png", "load.png", "latency.png"}
    assert figures.render(samples.nothing_measured()) == {}


def test_figures_take_any_name() -> None:
    """Names that hold the signs of formulas or letters that the font lacks are drawn without a complaint."""
    run = samples.hostile()
    others = tuple(replace(event, reason="波 $x_$") for event in run.scaling)
    assert others
    assert {"ratio.png", "lag.png"} <= set(figures.render(replace(run, scaling=(*run.scaling, *others))))


# All of them


def test_all_reports_are_written(tmp_path: Path, failing: Analysis) -> None:
    """One call writes every format and says where, and leaves no temporary file."""
    written = write_reports(failing, tmp_path / "run")
    names = {"analysis.json", "report.html", "report.md", "junit.xml", *(f"figures/{n}" for n in figures.NAMES)}
    assert set(written) == names
    assert {str(p.relative_to(tmp_path / "run")) for p in tmp_path.rglob("*") if p.is_file()} == names


def test_only_asked_formats_are_written(tmp_path: Path, failing: Analysis) -> None:
    """A single format can be asked for; an unknown one is refused by name before anything is written."""
    assert set(write_reports(failing, tmp_path, formats=["junit"])) == {"junit.xml"}
    with pytest.raises(SettingsError, match="no report format 'pdf': choose from json, html, markdown, junit, figures"):
        write_reports(failing, tmp_path / "other", formats=["json", "pdf"])
    assert not (tmp_path / "other").exists()


def test_hostile_text_can_be_written(tmp_path: Path) -> None:
    """Control characters and lone surrogates in outside text stop no format."""
    assert len(write_reports(samples.hostile(), tmp_path, formats=set(FORMATS) - {"figures"})) == 4


def test_figures_of_an_earlier_analysis_go(tmp_path: Path) -> None:
    """A figure that the new analysis has not does not stay behind; other files do."""
    (tmp_path / "figures").mkdir()
    for name in (*figures.NAMES, "mine.png"):
        (tmp_path / "figures" / name).write_bytes(b"x")
    write_reports(samples.url_target(), tmp_path, formats=["figures"])
    assert {p.name for p in (tmp_path / "figures").iterdir()} == {"timeline.png", "load.png", "latency.png", "mine.png"}


def test_a_report_that_cannot_be_written_keeps_the_old_one(tmp_path: Path, failing: Analysis) -> None:
    """When a file cannot be replaced, one sentence says what to do, and nothing half written is left."""
    (tmp_path / "report.html").mkdir()
    (tmp_path / "report.html" / "old").write_text("old")
    with pytest.raises(
        LoadgenError, match=r"cannot write reports into .*: .*; free space or fix its permissions"
    ) as told:
        write_reports(failing, tmp_path, formats=["html"])
    assert told.value.exit_code == ExitCode.TOOL
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html" / "old").read_text() == "old"
