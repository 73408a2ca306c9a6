"""Windows in violation and the warm-up, as every report tells them."""

import json
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from loadgen_reports.attainment import attainment_table, worst_windows
from loadgen_reports.formats import html, junit, markdown
from loadgen_reports.formats import json as machine
from loadgen_reports.sentences import opening

from loadgen.analyze.analysis import analyze
from loadgen.analyze.results import Analysis
from support.runs.tables import info, request, tables

NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"


def hour(limits: list[tuple[str, str, float]], slow: range = range(900, 990), **changes: object) -> Analysis:
    """One request a second for an hour; some have a TTFT of 30 s."""
    rows = [request(n, n + 0.5, 30.0 if n in slow else 0.1, 31.0 if n in slow else 1.0) for n in range(3600)]
    run = info(length_s=3600.0, stages=(("all", 0.0, 3600.0),), limits=limits, autoscaler=None, **changes)
    return analyze(run, tables(requests=rows))


@pytest.fixture(scope="module")
def outage() -> Analysis:
    """90 s with a TTFT of 30 s in an hour: 2.5 % of the requests, so TTFT p95 is 0.1 s."""
    return hour([("ttft", "p95", 2.0)])


FIRST = (
    "PASS: the one limit was met over the whole run, but in the worst 90 s, from 15:00 to 16:30, TTFT p95 was 30 s "
    "(limit 2 s)."
)


def test_the_first_sentence_names_the_worst_windows(outage: Analysis) -> None:
    """The rule of the verdict stays, and its sentence says when the limit was not met."""
    assert outage.verdict == "pass"
    assert opening(outage)[0] == FIRST


def test_every_report_tells_of_the_outage(outage: Analysis) -> None:
    """The page, Markdown and JUnit have the sentence and the table; JSON has the windows."""
    page = html.render(outage).replace(NO_BREAK_SPACE, " ")
    assert FIRST in page
    assert FIRST.removeprefix("PASS") in markdown.render(outage)
    assert FIRST in (ET.fromstring(junit.render(outage)).findtext("testsuite/system-out") or "")
    for text in (page.split('id="t-attainment"')[1], markdown.render(outage).split("## SLO attainment")[1]):
        assert text.index("15:00–15:30") < text.index("16:00–16:30") < text.index("whole run")
        assert "3 of 120 windows of 30 s were in violation, 90 s in all" in text
    read = json.loads(machine.render(outage))["attainment"]
    assert (read["in_violation_lower_s"], read["worst"]["measured_s"]) == (90.0, 30.0)
    assert [window["start_s"] for window in read["windows"] if window["in_violation"]] == [900.0, 930.0, 960.0]


def test_a_limit_on_the_time_in_violation_fails_the_run() -> None:
    """90 s at a limit of 60 s: the finding has its own test case in JUnit."""
    run = hour([("ttft", "p95", 2.0), ("in_violation", "total", 60.0), ("attainment", "ratio", 0.97)])
    assert run.verdict == "fail"
    cases = {case.attrib["name"]: case for case in ET.fromstring(junit.render(run)).iter("testcase")}
    failure = cases["slo.in_violation.total: Time in violation"].find("failure")
    assert failure is not None
    assert failure.attrib["message"] == "Time in violation was 90 s, above the limit of 60 s."
    assert cases["slo.attainment.ratio: SLO attainment"].find("failure") is None
    assert opening(run)[0] == (
        "FAIL: Time in violation was 90 s, above the limit of 60 s; in the worst 90 s, from 15:00 to 16:30, TTFT p95 "
        "was 30 s (limit 2 s)."
    )


def test_the_time_in_violation_of_several_outages_is_a_sentence_of_its_own() -> None:
    """60 s and, later, 30 s."""
    slow = range(300, 360)
    run = hour([("ttft", "p95", 2.0)], slow=slow)
    both = hour([("ttft", "p95", 2.0)], slow=[*slow, *range(900, 930)])  # type: ignore[arg-type]
    assert not any("in violation" in text for text in opening(run))
    assert opening(both)[1] == (
        "90 s of 1 h were in violation: in windows of 30 s, fewer than 95 % of the requests met the limits."
    )


def test_a_run_without_a_window_in_violation_says_nothing() -> None:
    """The table has the whole run only, and a run without limits has no table."""
    run = hour([("ttft", "p95", 2.0)], slow=range(0))
    assert opening(run)[0] == "PASS: the one limit was met."
    assert [row[0].text for row in attainment_table(run).rows] == ["whole run"]
    assert attainment_table(hour([])).rows == ()


def test_requests_without_an_answer_have_no_latency(outage: Analysis) -> None:
    """If so many requests were not answered that the percentile is one of them, it has no value."""
    attained = outage.attainment
    assert attained is not None
    assert attained.worst is not None
    never = replace(outage, attainment=replace(attained, worst=replace(attained.worst, measured_s=float("inf"))))
    assert worst_windows(never) == (
        "in the worst 90 s, from 15:00 to 16:30, TTFT p95 had no value (limit 2 s): 90 of 90 requests missed the limits"
    )
    least = replace(outage, attainment=replace(attained, worst=replace(attained.worst, at_least=True)))
    assert "TTFT p95 was at least 30 s" in (worst_windows(least) or "")
    other = replace(outage, attainment=replace(attained, worst=replace(attained.worst, metric=None)))
    assert "only 0 % of 90 requests met the limits (95 % required)" in (worst_windows(other) or "")


def test_many_windows_in_violation_leave_the_worst_in_the_table() -> None:
    """Of 120 windows, the 59 with the lowest attainment are rows, in order, and the others are counted."""
    run = hour([("ttft", "p95", 2.0)], slow=range(3600))
    table = attainment_table(run)
    assert len(table.rows) == 60
    assert any("61 more windows in violation" in note for note in table.notes)


def test_the_warm_up_is_told() -> None:
    """6 % cold answers at the start: what was left out, and what the latencies propose where it differs."""
    load = {"kind": "constant", "per_s": 1.0, "duration_s": 3600.0}
    limits = [("ttft", "p95", 2.0)]
    cold = range(215)
    judged = hour(limits, slow=cold, settings={"load": load})
    text = " ".join(opening(judged))
    assert judged.verdict == "fail"
    assert "Latency was steady from" in text
    assert "(mean TTFT 30 s before, 100 ms after); no warm_up_s is set." in text
    warm = hour(limits, slow=cold, settings={"load": load, "warm_up_s": 220.0})
    assert warm.verdict == "pass"
    assert "220 of 3,600 requests were due in the warm-up of 220 s and were not judged." in opening(warm)
    page = html.render(warm).replace(NO_BREAK_SPACE, " ")
    assert "TTFT p95</dt><dd>100 ms <small>warm, p50 100 ms" in page
    rows = page.split('id="t-ttft"')[1].split("</table>")[0]
    assert rows.index(">cold<") < rows.index(">warm<") < rows.index(">whole run<")
