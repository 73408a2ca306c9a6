"""Latencies of requests without an answer: bounds in every report, and nothing of the answered ones alone."""

import json
import math
from pathlib import Path

import pytest
from loadgen_reports import distribution, tables
from loadgen_reports.formats import figures, html, markdown
from loadgen_reports.formats import json as machine
from loadgen_reports.panels import unknown_spans
from loadgen_reports.write import write_reports

from loadgen.analyze.analysis import analyze
from loadgen.analyze.results import Analysis, Percentiles, Stats
from support.runs.tables import info, request
from support.runs.tables import tables as run_tables


def test_percentiles_are_bounds() -> None:
    """Known, at least, and without a value."""
    known = Percentiles(p50=0.05, p90=1.0, p95=12.3, p99=math.inf, max=math.inf)
    upper = Percentiles(p50=0.05, p90=2.0, p95=math.inf, p99=math.inf, max=math.inf)
    stat = Stats(
        count=80, mean=0.1, p50=0.05, p90=0.05, p95=0.05, p99=0.05, max=0.05,
        covers="answered", due=200, never=10, unknown=110, lower=known, upper=upper,
    )  # fmt: skip
    texts = [distribution.percentile(stat, name) for name in ("p50", "p90", "p95", "p99")]
    assert texts == ["50 ms", "1 s to 2 s", "≥ 12.3 s", "no value"]
    assert distribution.bounds(stat, "mean") == (None, None)
    assert distribution.values(stat) == "80 of 200"


@pytest.fixture(scope="module")
def half_of_the_peak() -> Analysis:
    """A trough of 2/s and a peak of 10/s; half of the peak's requests are refused, the rest has a TTFT of 50 ms."""
    rows = [request(n, n / 2, 0.05, 0.5) for n in range(60)]
    for n in range(300):
        due = 30 + n / 10
        refused = n % 2
        rows.append(
            request(60 + n, due, None, None, "rejected", "full", ended_s=due + 0.01)
            if refused
            else request(60 + n, due, 0.05, 0.5)
        )
    run = info(stages=(("trough", 0.0, 30.0), ("peak", 30.0, 60.0)), autoscaler=None)
    return analyze(run, run_tables(requests=rows))


def row(table: tables.Table, name: str) -> list[str]:
    return next([cell.text for cell in cells[1:]] for cells in table.rows if cells[0].text == name)


def test_a_peak_that_was_answered_by_half_has_no_p95(half_of_the_peak: Analysis) -> None:
    """150 of 300 requests have a TTFT: the median is the 150th, 50 ms; every higher percentile is one of the others."""
    ttft, e2e = tables.latencies(half_of_the_peak)[:2]
    assert row(ttft, "peak") == ["150 of 300", "–", "50.0", "no value", "no value", "no value", "no value"]
    assert row(ttft, "trough") == ["60", "50.0", "50.0", "50.0", "50.0", "50.0", "50.0"]
    assert row(e2e, "peak")[2:] == ["500", "no value", "no value", "no value", "no value"]
    assert any("got no first token as slower than any value (50 % in peak and 42 %" in note for note in ttft.notes)


def test_no_report_shows_the_answered_half_alone(half_of_the_peak: Analysis, tmp_path: Path) -> None:
    """Key figure, chart, timeline, Markdown: no p95; JSON labels the numbers of the answered ones."""
    page = html.render(half_of_the_peak)
    assert "TTFT p95</dt><dd>no value" in page
    assert "lines are lower bounds" in page
    line = half_of_the_peak.timeline
    at = line.t_s.index(45.0)
    assert (line.ttft_p95_s[at], line.ttft_p95_lower_s[at]) == (pytest.approx(0.05), math.inf)
    assert unknown_spans(line)[-1][1] >= 60.0
    assert unknown_spans(line)[0][0] >= 27.0
    assert "| peak | 150 of 300 | – | 50.0 | no value | no value |" in markdown.render(half_of_the_peak)
    read = json.loads(machine.render(half_of_the_peak))
    peak = read["stages"][1]["ttft"]
    assert (peak["covers"], peak["count"], peak["due"], peak["never"]) == ("answered", 150, 300, 150)
    assert (peak["lower"]["p50"], peak["lower"]["p95"], peak["upper"]["p95"]) == (
        pytest.approx(0.05), "Infinity", "Infinity",
    )  # fmt: skip
    assert read["stages"][0]["ttft"]["covers"] == "all"
    write_reports(half_of_the_peak, tmp_path, formats=["json"])
    assert machine.read(tmp_path)["timeline"]["ttft_p95_lower_s"][at] == "Infinity"
    assert "latency.png" in figures.render(half_of_the_peak)


def test_requests_in_flight_at_a_stop_give_lower_bounds() -> None:
    """94 answered within 0.5 s, 6 open for 12.3 s: p95 is at least 12.3 s, and p90 is known."""
    rows = [request(n, n / 2) for n in range(94)]
    rows += [request(94 + n, 47.7, None, None, "cut_off", "run stopped", ended_s=60.0) for n in range(6)]
    run = analyze(info(state="stopped", autoscaler=None), run_tables(requests=rows))
    table = tables.latencies(run)[0]
    assert row(table, "whole run") == ["94 of 100", "–", "0.50", "0.50", "≥ 12.30", "≥ 12.30", "≥ 12.30"]
    assert any(note.startswith("≥: requests that were open") for note in table.notes)
    stat = run.whole.ttft
    assert (stat.unknown, stat.never, stat.p95) == (6, 0, 0.5)
    assert stat.lower is not None
    assert stat.upper is not None
    assert (stat.lower.p95, stat.upper.p95, stat.lower.p90, stat.upper.p90) == (
        pytest.approx(12.3), math.inf, 0.5, 0.5,
    )  # fmt: skip


def test_a_percentile_of_too_few_values_is_marked_as_the_maximum() -> None:
    """p99 of 51 values is the largest; of 100 it is the second largest."""
    for count, maxima in ((51, ("p99",)), (100, ())):
        rows = [request(n, n / 2, 0.1 + n / 1000, 1.0) for n in range(count)]
        run = analyze(info(limits=[("ttft", "p99", 1.0)], autoscaler=None), run_tables(requests=rows))
        flags = {name: getattr(run.whole.ttft, f"{name}_is_max") for name in ("p50", "p90", "p95", "p99")}
        assert tuple(name for name, flag in flags.items() if flag) == maxima
        cells = {
            column.label: cell
            for column, cell in zip(tables.latencies(run)[0].columns, tables.latencies(run)[0].rows[-1], strict=True)
        }
        assert [name for name in ("p50", "p90", "p95", "p99") if cells[name].note == "max"] == list(maxima)
        assert ("(max)" in markdown.render(run).split("## TTFT")[1].split("## E2E")[0]) == bool(maxima)
        assert json.loads(machine.render(run))["whole"]["ttft"]["p99_is_max"] == bool(maxima)
        advice = run.findings[[f.code for f in run.findings].index("slo.ttft.p99")].advice
        assert ("The p99 of 51 requests is their maximum." in advice) == bool(maxima)


def test_a_run_without_streaming_has_no_ttft() -> None:
    """Nothing was timed before the last token: not measured, which is not the same as no value."""
    rows = [request(n, n / 2, None, 1.0) | {"last_token_s": n / 2 + 1.0} for n in range(60)]
    run = analyze(info(stream=False, autoscaler=None), run_tables(requests=rows))
    assert (run.whole.ttft.count, run.whole.ttft.due, run.whole.ttft.lower) == (0, 0, None)
    assert row(tables.latencies(run)[0], "whole run") == ["0", *["–"] * 6]
    assert run.whole.e2e.p95 == 1.0
    assert all(math.isnan(value) for value in run.timeline.ttft_p95_lower_s)
