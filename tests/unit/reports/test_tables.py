"""Tables, lag bars and panels as values."""

import math
from dataclasses import replace

import pytest
from loadgen_reports import glossary, lags, panels, provenance, tables
from loadgen_reports.format import MISSING
from loadgen_reports.formats import html, markdown

from loadgen.analyze.results import Analysis, Direction, Mark, OutcomeCount, ScalingEvent, Stats
from loadgen.dataset.names import MarkSymbol
from support.runs.synthetic import SAMPLES, sample

READINESS = ("replica_ready", "replica_not_ready")


@pytest.fixture(scope="module")
def failing() -> Analysis:
    return sample("failing")


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
        tables.correlations(run),
        tables.cost(run),
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


def event(**times: float | None) -> ScalingEvent:
    known = {
        "trigger_s": 40.0,
        "over_target_s": 53.0,
        "decided_s": 62.0,
        "created_s": 62.5,
        "scheduled_s": 63.0,
        "started_s": 73.0,
        "ready_s": 77.0,
        "serving_s": 81.0,
        "recovered_s": 95.0,
    }
    return ScalingEvent(
        direction="up", before=1, after=3, reason="", pods=(), complete=True, **{**known, **times}  # type: ignore[arg-type]
    )  # fmt: skip


def test_lag_table_has_times_and_differences(failing: Analysis) -> None:
    """Each step shows its time, and the difference from the last known step."""
    row = lags.scale_ups(replace(failing, scaling=(event(scheduled_s=None),))).rows[0]
    assert [(cell.text, cell.note) for cell in row] == [
        ("1: 1 → 3", None),
        ("0:40", None),
        ("0:53", "+13.0 s"),
        ("1:02", "+9.0 s"),
        ("1:02", "+0.5 s"),
        (MISSING, None),
        ("1:13", "+10.5 s"),
        ("1:17", "+4.0 s"),
        ("1:21", "+4.0 s"),
        ("1:35", "+14.0 s"),
        ("41.0 s", None),
        ("", None),
    ]


def test_there_is_no_recovery_without_a_broken_limit(failing: Analysis) -> None:
    """Instead of a time, the table says that the limit was never exceeded."""
    row = lags.scale_ups(replace(failing, scaling=(event(broke_limit=False),))).rows[0]
    assert (row[9].text, row[9].note) == ("limit never exceeded", None)


def test_lag_needs_both_ends(failing: Analysis) -> None:
    """Without the load step or the first answer the lag is unknown, even if all other steps are known."""
    for missing in ("trigger_s", "serving_s"):
        row = lags.scale_ups(replace(failing, scaling=(event(**{missing: None}),))).rows[0]
        assert row[-2].text == MISSING


def test_a_shared_reason_is_one_footnote(failing: Analysis) -> None:
    """A reason that several events share is a single footnote that names them all."""
    same = replace(event(), missing=("load step: unknown",))
    table = lags.scale_ups(replace(failing, scaling=(same, event(), same)))
    assert table.notes == ("1, 3: Load step: unknown.",)


def test_bars_cover_the_chain(failing: Analysis) -> None:
    """The segments of a bar follow each other from the load step; an unknown step joins the next segment."""
    (bar,) = lags.bars(replace(failing, scaling=(event(scheduled_s=None),)))
    assert [(s.name, s.start_s, s.end_s) for s in bar.segments] == [
        ("signal crosses its target", 0.0, 13.0),
        ("next HPA sync", 13.0, 22.0),
        ("replica created", 22.0, 22.5),
        ("pull and load", 22.5, 33.0),
        ("start to ready", 33.0, 37.0),
        ("traffic arrives", 37.0, 41.0),
        ("latency recovers", 41.0, 55.0),
    ]
    assert bar.lag == "41.0 s"


def test_a_step_before_its_cause_takes_no_time(failing: Analysis) -> None:
    """A signal that crossed its target before the load step does not make the bar longer than the lag."""
    (bar,) = lags.bars(replace(failing, scaling=(event(over_target_s=30.0, recovered_s=None),)))
    assert bar.segments[0].name == "next HPA sync"
    assert bar.segments[-1].end_s == 41.0


def test_a_single_step_has_no_bar(failing: Analysis) -> None:
    """An event of which only the decision is known has a row in the table and no bar."""
    blank = dict.fromkeys(
        ("trigger_s", "over_target_s", "created_s", "scheduled_s", "started_s", "ready_s", "serving_s", "recovered_s")
    )
    run = replace(failing, scaling=(event(**blank),))
    assert lags.bars(run) == ()
    assert len(lags.scale_ups(run).rows) == 1


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


def test_the_autoscaler_has_a_sentence(failing: Analysis) -> None:
    """It has metric, target, window, interval and bounds, as far as known; a URL target has no such sentence."""
    assert provenance.autoscaler(failing) == (
        "Autoscaler: mean of `triton:queue_compute:ratio` over replicas, target 1 (scales up above 1.1), rate window "
        "10 s, sync every 15 s, 1 to 4 replicas, scale-down window 30 s."
    )
    bare = replace(failing.run, ratio_metric=None, tolerance=None, rate_window_s=None, scale_down_window_s=None)
    assert provenance.autoscaler(replace(failing, run=bare)) == (
        "Autoscaler: mean of the queue-to-compute ratio over replicas, target 1, sync every 15 s, 1 to 4 replicas."
    )
    assert provenance.autoscaler(sample("url")) is None


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


def test_settings_are_flat(failing: Analysis) -> None:
    """Nested settings become dotted names; lists of plain values stay on one row."""
    run = replace(
        failing.run, settings={"a": {"b": [1, 2], "c": None, "d": {}}, "parts": [{"kind": "wave"}], "on": True}
    )
    rows = [[cell.text for cell in row] for row in provenance.settings(replace(failing, run=run)).rows]
    assert rows == [["a.b", "1, 2"], ["a.c", "none"], ["a.d", "empty"], ["parts[0].kind", "wave"], ["on", "yes"]]


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("replica_ready", "ready"),
        ("replica_not_ready", "not_ready"),
        ("replica_created", "created"),
        ("replica_draining", "stopped"),
        ("replica_crashed", "trouble"),
        ("replica_killed", "trouble"),
        ("part_died", "trouble"),
        ("collect_gap", "trouble"),
        ("load_started", "load"),
        ("load_stopped", "load"),
        ("node_lost", "other"),
        ("something_new", "other"),
    ],
)
def test_every_kind_of_mark_has_a_symbol(kind: str, key: str) -> None:
    """Declared kinds have their symbols, and an unknown one is still drawn."""
    mark = Mark(t_s=0.0, kind=kind, label="")
    assert panels.symbol_key(mark) == key
    assert key in panels.symbols()


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_rescale_is_drawn_by_its_direction(direction: Direction) -> None:
    """Scale-ups and scale-downs have different symbols, whatever the label says."""
    mark = Mark(t_s=0.0, kind="hpa_rescale", label="? → ? replicas", direction=direction)
    assert panels.symbol_key(mark) == direction


def test_a_lost_readiness_is_not_drawn_as_ready() -> None:
    """Shape, colour and name of the two marks all differ."""
    ready, lost = (panels.symbols()[panels.symbol_key(Mark(t_s=0.0, kind=kind, label=""))] for kind in READINESS)
    assert (ready.name, lost.name) == ("replica ready", "replica not ready")
    assert ready.shape != lost.shape
    assert ready.colour != lost.colour


def test_every_declared_symbol_is_drawn() -> None:
    """No declared symbol lacks a shape."""
    assert set(panels.symbols()) == set(MarkSymbol)


def test_condensing_a_timeline(failing: Analysis) -> None:
    """In longer bins rates are means, a p95 is the maximum, counts are the last, and missing values stay missing."""
    line = replace(
        failing.timeline,
        **dict.fromkeys(("e2e_p50_s", "e2e_p95_s", "in_flight", "ratio_truth", "desired", "serving"), (0.0,) * 5),
        t_s=(0.0, 1.0, 2.0, 3.0, 4.0),
        offered_per_s=(1.0, 3.0, 5.0, math.nan, 7.0),
        completed_per_s=(0.0,) * 5,
        failed_per_s=(0.0,) * 5,
        ttft_p50_s=(1.0, 2.0, math.nan, math.nan, 3.0),
        ttft_p95_s=(1.0, 9.0, 2.0, 3.0, 4.0),
        ratio=(0.0, 1.0, 2.0, 2.0, 5.0),
        ratio_by_pod={"a": (1.0, 3.0, math.nan, math.nan, 2.0)},
        ready=(1.0, 2.0, 3.0, math.nan, 4.0),
    )
    coarse = panels.downsample(line, 2)
    assert coarse.t_s == (0.0, 2.0, 4.0)
    assert coarse.bin_s == 2.0
    assert coarse.offered_per_s == (2.0, 5.0, 7.0)
    assert coarse.ttft_p95_s == (9.0, 3.0, 4.0)
    assert coarse.ready == (2.0, 3.0, 4.0)
    assert coarse.ttft_p50_s[0] == 1.5
    assert math.isnan(coarse.ttft_p50_s[1])
    assert math.isnan(coarse.ratio_by_pod["a"][1])
    assert panels.downsample(line, 1) is line


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [panels.LIGHT, panels.DARK], ids=["light", "dark"])
def test_colours_have_enough_contrast(theme: dict[str, str]) -> None:
    """Every colour of text or line has the contrast of WCAG AA, 4.5:1, on the page and on the raised surface."""
    inks = set(theme) - {"page", "raised", "band", "rule", "on"}
    for ink in inks:
        assert contrast(theme[ink], theme["page"]) >= 4.5, ink
    for ink in ("ink", "muted", "purple", "pass", "fail", "invalid"):
        assert contrast(theme[ink], theme["raised"]) >= 4.5, ink
    for fill in ("pass", "fail", "invalid", "grey", "orange", "purple", "vermillion", "blue", "navy", "green"):
        assert contrast(theme["on"], theme[fill]) >= 4.5, fill


def test_every_colour_is_defined_in_both_themes(failing: Analysis) -> None:
    """Lines, thresholds, symbols and bars use colours that the light and the dark theme define."""
    used = {line.colour for panel in panels.panels(failing) for line in panel.lines}
    used |= {each.colour for panel in panels.panels(failing) for each in panel.thresholds}
    used |= {symbol.colour for symbol in panels.symbols().values()}
    used |= {colour for _, _, colour in lags.SEGMENTS} - {"none"}
    assert used <= set(panels.LIGHT)
    assert set(panels.LIGHT) == set(panels.DARK)


def test_the_timeline_table_stays_short() -> None:
    """The table below the charts has about a hundred rows even for hours, and a note says what a row stands for."""
    table = html.timeline_table(sample("two-hours"))
    assert 60 <= len(table.rows) <= 120
    assert table.notes[0].startswith("Each row covers 61 s")


@pytest.mark.parametrize(
    ("ratio", "sentence"),
    [
        (None, None),
        (0.0, "Prompts: none repeats an earlier one of the run."),
        (0.26, "Prompts: 26 % of those sent repeat an earlier one, which a prefix cache makes faster."),
    ],
)
def test_the_share_of_repeated_prompts_has_a_sentence(
    failing: Analysis, ratio: float | None, sentence: str | None
) -> None:
    """On the page and in Markdown; a folder that does not know it has no such sentence."""
    analysis = replace(failing, run=replace(failing.run, repeated_prompts_ratio=ratio))
    assert provenance.repeated_prompts(analysis) == sentence
    assert ("Prompts:" in html.render(analysis)) == ("Prompts:" in markdown.render(analysis)) == (sentence is not None)
