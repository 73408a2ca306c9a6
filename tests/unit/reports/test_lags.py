"""The lags of scaling events, as a table and as bars."""

from dataclasses import replace

from loadgen_reports import lags
from loadgen_reports.format import MISSING

from loadgen.analyze.results import Analysis, ScalingEvent


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
        ("HPA decides", 13.0, 22.0),
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
    assert bar.segments[0].name == "HPA decides"
    assert bar.segments[-1].end_s == 41.0


def test_a_single_step_has_no_bar(failing: Analysis) -> None:
    """An event of which only the decision is known has a row in the table and no bar."""
    blank = dict.fromkeys(
        ("trigger_s", "over_target_s", "created_s", "scheduled_s", "started_s", "ready_s", "serving_s", "recovered_s")
    )
    run = replace(failing, scaling=(event(**blank),))
    assert lags.bars(run) == ()
    assert len(lags.scale_ups(run).rows) == 1
