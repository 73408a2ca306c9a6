"""Reports of a group: the same sentences on the page, in Markdown, on the console and in JUnit."""

import json
import math
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from loadgen_reports.group import render, text
from loadgen_reports.group.write import write_group

from loadgen.analyze.results import Estimate, Group, Repeat, RepeatedFigure, RepeatedLimit
from loadgen.base.errors import SettingsError

CLOSE = RepeatedLimit(
    code="slo.ttft.p95",
    figure=RepeatedFigure(
        title="TTFT p95", unit="s", values=(1.7, 1.9, 2.3), mean=Estimate(value=1.967, low=1.208, high=2.726)
    ),
    limit=2.0,
    met=(True, True, False),
    close=True,
    repeats=340,
)
MET = RepeatedLimit(
    code="slo.failed.ratio",
    figure=RepeatedFigure(title="Failed requests", unit="ratio", values=(0.0, 0.0, 0.0), mean=None),
    limit=0.01,
    met=(True, True, True),
    close=False,
    repeats=None,
)
GROUP = Group(
    group_id="20261130T120000Z-group-1",
    scenario="<waves>",
    target="local",
    emulated="The engine is emulated.",
    planned=3,
    verdict="fail",
    sync_period_s=15.0,
    runs=tuple(
        Repeat(run_id=f"run-{number}", number=number, verdict="fail" if number == 3 else "pass", phase_s=5.0 * number)
        for number in (1, 2, 3)
    ),
    limits=(CLOSE, MET),
    figures=(RepeatedFigure(title="TTFT p99", unit="s", values=(2.0, math.inf, None), mean=None),),
)


def changed(**changes: object) -> Group:
    return Group(**{**{name: getattr(GROUP, name) for name in Group.__slots__}, **changes})  # type: ignore[arg-type]


def test_the_opening() -> None:
    """The verdict by all runs, the limit that decides it with its spread, and the phases."""
    assert text.opening(GROUP) == [
        "FAIL: 2 of 3 runs passed.",
        "TTFT p95, limit 2 s: 2 of 3 met, 1.7 s to 2.3 s. Too close to call: the mean is 1.97 s (1.21 s to 2.73 s at "
        "95 %); with this spread, --repeats 340 would decide it.",
        "The loads started 5, 10 and 15 s after a sync of the autoscaler (period 15 s).",
    ]


def test_a_group_without_doubt() -> None:
    """All limits met in every run."""
    runs = tuple(Repeat(run_id="r", number=number, verdict="pass", phase_s=None) for number in (1, 2))
    group = changed(limits=(MET,), verdict="pass", runs=runs, planned=2)
    assert text.opening(group) == [
        "PASS: 2 of 2 runs passed.",
        "The one limit was met in every run.",
        "No sync of an autoscaler was observed before the load of every run, so their phases are random.",
    ]


def test_a_group_of_which_one_run_is_there() -> None:
    """It says how many were planned, and what shows the spread."""
    opening = text.opening(changed(runs=GROUP.runs[:1], limits=()))
    assert opening[1] == "3 runs were planned, and the others have no load."
    assert "--repeats 3 gives their spread" in opening[2]


def test_a_limit_that_no_number_of_repeats_decides() -> None:
    """The mean is at the limit."""
    limit = RepeatedLimit(
        **{**{name: getattr(CLOSE, name) for name in RepeatedLimit.__slots__}, "repeats": None, "limit": 1.967}
    )
    assert "no practical number of repeats" in text.close_sentence(limit)


def test_page_and_markdown_have_every_value() -> None:
    """Also one that never arrived, and none that is unknown; external text is escaped."""
    for page in (render.html(GROUP), render.markdown(GROUP)):
        plain = page.replace("\N{NO-BREAK SPACE}", " ").replace("\\", "")
        for part in ("2 of 3 runs passed", "1.7 s", "2.3 s", "no value", "run-3", "Too close to call", "emulated"):
            assert part in plain
        assert "<waves>" not in page
    assert 'href="../run-2/report.html"' in render.html(GROUP)


def test_junit_has_a_case_for_each_limit_and_each_run() -> None:
    """A limit that one run missed is a failure, a run that cannot be judged an error."""
    suite = ET.fromstring(render.junit(GROUP)).find("testsuite")
    assert suite is not None
    assert {name: suite.get(name) for name in ("tests", "failures", "errors")} == {
        "tests": "5",
        "failures": "1",
        "errors": "0",
    }
    runs = (Repeat(run_id="r", number=1, verdict="invalid", phase_s=0.0),)
    suite = ET.fromstring(render.junit(changed(runs=runs, limits=(), verdict="invalid"))).find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("errors")) == ("1", "1")


def test_json_is_the_whole_result() -> None:
    """In base units, an infinite value as a word."""
    document = json.loads(render.json(GROUP))
    assert document["schema_version"] == 1
    assert document["figures"][0]["values"] == [2.0, "Infinity", None]
    assert document["limits"][0]["repeats"] == 340


def test_the_formats_of_a_group(tmp_path: Path) -> None:
    """Those that are asked for, without figures; an unknown one is refused."""
    assert sorted(write_group(GROUP, tmp_path / "group", ("html", "figures", "json"))) == ["group.json", "report.html"]
    with pytest.raises(SettingsError, match="no report format 'htm'"):
        write_group(GROUP, tmp_path, ("htm",))
