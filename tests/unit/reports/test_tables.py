"""Tables as values."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from loadgen_reports import costs, generators, glossary, lags, provenance, signal_tables, spread, tables
from loadgen_reports.formats import html, markdown

from loadgen.analyze.results import Analysis, Correlation, EngineUse, OutcomeCount, SignalTruth, Stats
from support.runs.synthetic import SAMPLES, sample


def texts(table: tables.Table, row: int) -> list[str]:
    return [cell.text for cell in table.rows[row]]


def test_chunks_are_labelled(failing: Analysis) -> None:
    """Where the server gave no token counts, rates, key figures and the tables of ITL and TPOT say chunks."""
    chunks = replace(failing, output_unit="chunks")
    note = "Counted in chunks, because the server gave no token counts: a chunk can hold several tokens."
    assert tables.requests(failing).columns[-1].label == "Output tokens /s"
    assert tables.requests(chunks).columns[-1].label == "Output chunks /s"
    assert [table.key for table in tables.latencies(chunks) if note in table.notes] == ["tpot", "itl"]
    assert not [table.key for table in tables.latencies(failing) if note in table.notes]
    assert "Output chunks" in html.render(chunks)


@pytest.mark.parametrize("name", SAMPLES)
def test_rows_have_one_cell_for_each_column(name: str) -> None:
    """For every kind of run, each row has one cell for each column, and column terms are in the glossary."""
    run = sample(name)
    all_tables = [
        tables.findings(run),
        lags.scale_ups(run),
        lags.scale_downs(run),
        tables.requests(run),
        *tables.latencies(run),
        tables.outcomes(run),
        signal_tables.signals(run),
        signal_tables.engine(run),
        tables.correlations(run),
        tables.cost(run),
        spread.ages(run),
        spread.replicas(run),
        generators.generator(run),
        generators.nodes(run),
        generators.slowest(run),
        costs.fleets(run),
        costs.units(run),
        provenance.cluster(run),
        provenance.compressed(run),
        provenance.settings(run),
        provenance.seeds(run),
        provenance.versions(run),
    ]
    for table in all_tables:
        assert all(len(row) == len(table.columns) for row in table.rows), table.key
        assert all(column.term is None or column.term in glossary.TERMS for column in table.columns)
        assert all(0 < at < len(table.rows) for at in table.group_starts)


def test_findings_are_ranked(failing: Analysis) -> None:
    """Findings that did not pass come first, and those that passed last."""
    moods = [row[1].style for row in tables.findings(sample("send-lag")).rows]
    assert moods == sorted(moods, key=["invalid", "fail", "warning", "pass", "info"].index)
    assert texts(tables.findings(failing), 0)[:4] == ["TTFT p95", "✗ missed", "21 s", "2 s"]


def test_a_percentile_of_requests_without_a_first_token_has_no_value() -> None:
    """Its limit is missed, and the value is "no value", not "not measured"."""
    assert texts(tables.findings(sample("no-first-token")), 0)[1:4] == ["✗ missed", "no value", "2 s"]


def test_values_over_a_limit_are_marked(failing: Analysis) -> None:
    """Only the statistic that has a limit is marked, and only above the limit."""
    ttft = tables.latencies(failing)[0]
    marked = {(row[0].text, ttft.columns[i].label) for row in ttft.rows for i, c in enumerate(row) if c.style == "over"}
    assert ("whole run", "p95") in marked
    assert {column for _, column in marked} == {"p95"}
    assert ("off-peak 2", "p95") not in marked


def test_groups_of_few_values_are_grey_and_not_marked(failing: Analysis) -> None:
    """The threshold is 20 values: the p95 of 19 values is their maximum."""
    slow = Stats(count=20, **dict.fromkeys(("mean", "p50", "p90", "p95", "p99", "max"), 3.0))
    few = replace(failing.whole, name="few", ttft=replace(slow, count=19))
    many = replace(failing.whole, name="many", ttft=slow)
    table = tables.latencies(replace(failing, stages=(), by_replicas=(few, many)))[0]
    moods = {row[0].text: {cell.style for cell in row[1:]} for row in table.rows}
    assert moods["few"] == {"muted"}
    assert "over" in moods["many"]
    assert any("fewer than 20 values" in note for note in table.notes)


def test_the_cost_table_says_why_the_smallest_fleet_is_unknown(failing: Analysis) -> None:
    """The value is missing, and a note gives the reason."""
    cost = replace(
        failing.cost, needed_replicas=None, needed_replica_seconds=None, of_needed_ratio=None, needed_why_missing="why"
    )
    table = tables.cost(replace(failing, cost=cost))
    assert table.rows[-1][1].text == "not measured"
    assert table.notes == ("Smallest fleet for this load: not measured, because why.",)


def test_latency_tables_have_a_unit(failing: Analysis) -> None:
    """The title of every latency table has the unit of all its values."""
    assert [table.title for table in tables.latencies(failing)] == [
        "TTFT, s",
        "E2E, s",
        "TPOT, ms",
        "ITL, ms",
        "Send lag, ms",
    ]


def test_the_causes_that_are_not_listed_are_counted(failing: Analysis) -> None:
    """Their number and that of their requests, after the listed causes."""
    rest = OutcomeCount(outcome="error", cause="other", count=3000, first_s=1.0, last_s=2.0, causes=84)
    one = OutcomeCount(outcome="error", cause="reset", count=1, first_s=1.0, last_s=2.0)
    *_, listed, last = tables.outcomes(replace(failing, outcomes=(rest, one))).rows
    assert [cell.text for cell in listed[:3]] == ["error", "reset", "1"]
    assert [cell.text for cell in last[:3]] == ["error", "other causes (84)", "3,000"]


def test_stopped_requests_have_a_column_only_where_there_are_some(failing: Analysis) -> None:
    """The column appears only for a run that was stopped on purpose."""
    assert "Stopped" in [column.label for column in tables.requests(sample("stopped")).columns]
    assert "Stopped" not in [column.label for column in tables.requests(failing).columns]


def test_the_number_of_causes_is_limited(failing: Analysis) -> None:
    """A thousand different error messages give sixty rows and a note."""
    many = tuple(
        OutcomeCount(outcome="error", cause=f"error {i}", count=1, first_s=1.0, last_s=1.0) for i in range(1000)
    )
    table = tables.outcomes(replace(failing, outcomes=many))
    assert len(table.rows) == tables.MAX_ROWS
    assert table.notes == ("940 more causes in analysis.json.",)


def test_the_whole_run_is_always_the_last_row(failing: Analysis) -> None:
    """A run with more stages than rows still has its total."""
    table = tables.requests(replace(failing, stages=failing.stages * 40))
    assert len(table.rows) == tables.MAX_ROWS
    assert table.rows[-1][0].text == "whole run"


CHANCE = "May be chance: the largest |r| of unrelated series is below 0.35 in 95 of 100 cases."


@pytest.mark.parametrize(
    ("coefficient", "lag_s", "significant", "meaning"),
    [
        (0.87, 5.0, True, "TTFT p95 follows ratio by 5 s."),
        (0.91, -3.0, True, "Ratio follows TTFT p95 by 3 s."),
        (-0.7, 8.0, True, "TTFT p95 follows ratio by 8 s, in the opposite direction."),
        (0.8, 0.0, True, "Ratio and TTFT p95 change at the same time."),
        (0.31, 40.0, False, CHANCE),
    ],
)
def test_a_correlation_says_which_series_leads(
    failing: Analysis, coefficient: float, lag_s: float, significant: bool, meaning: str
) -> None:
    """The sign of the lag decides, and below the threshold no series leads."""
    pair = Correlation(
        leader="ratio",
        follower="TTFT p95",
        coefficient=coefficient,
        lag_s=lag_s,
        samples=240,
        threshold=0.35,
        significant=significant,
    )
    table = tables.correlations(replace(failing, correlations=(pair,)))
    assert texts(table, 0)[-1] == meaning
    assert meaning.replace("|", "\\|") in markdown.render(replace(failing, correlations=(pair,)))


def test_the_engine_table_says_what_limits_a_replica(failing: Analysis) -> None:
    """One replica is the same as all of them, so it has no row of its own; missing values are dashes."""
    use = EngineUse(
        replica=None,
        waiting_peak=360.0,
        waiting_ratio=0.83,
        active_peak=8.0,
        full_ratio=0.8,
        kv_peak=None,
        kv_full_ratio=None,
        queued_peak=0.0,
        queued_ratio=0.0,
        bottleneck="batch",
        reason="Requests waited inside the engine for 261 s.",
    )
    one = signal_tables.engine(replace(failing, engine=(use, replace(use, replica="a"))))
    assert [cell.text for cell in one.rows[0]] == [
        "all replicas", "360", "83 %", "8", "80 %", "–", "–", "0", "0 %", "batch of the engine"
    ]  # fmt: skip
    assert len(one.rows) == 1
    three = signal_tables.engine(replace(failing, engine=(use, replace(use, replica="a"), replace(use, replica="b"))))
    assert [row[0].text for row in three.rows] == ["all replicas", "a", "b"]


@pytest.mark.parametrize("render", [html.render, markdown.render])
def test_the_verdict_of_the_signal_is_one_sentence(failing: Analysis, render: Callable[[Analysis], str]) -> None:
    """Page and Markdown have it with its reason."""
    late = SignalTruth(verdict="late", reason="The ratio rose above its noise 12.0 s after the first request was slow.")
    text = re.sub(r"\s+", " ", render(replace(failing, signal=late)))
    assert "The signal is late: the ratio rose above its noise 12.0 s after the first request was slow." in text
