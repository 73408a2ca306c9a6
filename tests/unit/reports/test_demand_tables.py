"""Tables and sentences about what the load needed."""

from dataclasses import replace

import pytest
from loadgen_reports import demand
from loadgen_reports.sentences import opening

from loadgen.analyze.results import Analysis, Attribution, Demand, Estimate, LevelLag


def with_lag(
    failing: Analysis, lag_s: float, spread_s: float = 0.0, attribution: Attribution | None = None
) -> Analysis:
    """A run whose only scale-up has this lag."""
    event = next(each for each in failing.scaling if each.direction == "up")
    event = replace(event, trigger_s=100.0, serving_s=100.0 + lag_s, lag_s=lag_s)
    needed = Estimate(value=100.0, low=100.0 - spread_s, high=100.0 + spread_s)
    lag = Estimate(value=lag_s, low=lag_s - spread_s, high=lag_s + spread_s)
    level = LevelLag(
        replicas=2, needed=needed, served_s=100.0 + lag_s, lag=lag, phase_s=3.0, lag_at_mid_phase_s=lag_s + 4.5
    )
    head = replace(failing.headline, worst_event=0, lag_s=lag_s, signal_s=lag_s - 20.0)
    return replace(
        failing,
        verdict="pass",
        scaling=(event,),
        headline=head,
        demand=Demand(lags=(level,), attribution=attribution, source="plan"),
    )


def test_an_early_scale_up_was_ready_before_it_was_needed(failing: Analysis) -> None:
    """A negative lag is not a lag: the sentence says how early the replicas were, and lists the steps."""
    text = " ".join(opening(with_lag(failing, -24.0)))
    assert "scale-up was ready 24.0 s before it was needed." in text
    assert "lagged" not in text
    assert "Step by step: the signal crossed its target 44.0 s before the load step" in text


def test_a_lag_with_a_wide_interval_has_no_decimals(failing: Analysis) -> None:
    """Uncertain by 6 s on either side, late and early."""
    late = " ".join(opening(with_lag(failing, 25.2, 6.0)))
    assert "scale-up lagged the load by 25 s (95 % interval 19 … 31 s)." in late
    assert "Of the 25 s, 5 s passed until the signal crossed its target" in late
    early = " ".join(opening(with_lag(failing, -25.2, 6.0)))
    assert "scale-up was ready 25 s (95 % interval 19 … 31 s) before it was needed." in early


@pytest.mark.parametrize(
    ("by_lag", "unexplained", "conclusive", "text"),
    [
        (554, 0, True, "exceeded TTFT ≤ 2 s, all of them because of the lag."),
        (277, 0, True, "exceeded TTFT ≤ 2 s, 50 % of them because of the lag."),
        (0, 0, True, "exceeded TTFT ≤ 2 s, none of them because of the lag."),
    ],
)
def test_what_the_lag_did_is_beside_it(
    failing: Analysis, by_lag: int, unexplained: int, conclusive: bool, text: str
) -> None:
    """The share of the slow requests."""
    cause = Attribution(
        slow=554, by_lag=by_lag, otherwise=554 - by_lag - unexplained, unexplained=unexplained, conclusive=conclusive
    )
    assert text in " ".join(opening(with_lag(failing, 25.0, attribution=cause)))


def test_the_table_of_lags_has_each_level_with_its_phase(failing: Analysis) -> None:
    """Needed at 1:40, served 25 s later, of which 3 s were the phase of the HPA."""
    (row,) = demand.level_lags(with_lag(failing, 25.0)).rows
    assert [cell.text for cell in row] == ["2", "1:40", "2:05", "25.0 s", "3.0 s", "29.5 s"]


def test_replicas_that_were_there_or_never_served_have_no_lag(failing: Analysis) -> None:
    """The table says so in place of the times."""
    needed = Estimate(value=100.0, low=100.0, high=100.0)
    there = LevelLag(replicas=2, needed=needed, served_s=-5.0, lag=needed, already_served=True)
    never = LevelLag(replicas=3, needed=needed, served_s=None, lag=None)
    first, second = demand.level_lags(replace(failing, demand=Demand(lags=(there, never)))).rows
    assert first[2].text == "already served"
    assert (second[2].text, second[2].style, second[3].text) == ("not served", "over", "–")


def test_the_demand_has_capacity_causes_and_elasticity(failing: Analysis) -> None:
    """Every number has its interval or its meaning beside it."""
    rows = {row[0].text: row for row in demand.summary(failing).rows}
    assert "modelled from token times" in rows["Sustained throughput per replica"][2].text
    assert "…" in rows["Highest rate of 2 replicas within the limits"][2].text
    assert rows["Slow requests because of the lag"][2].text == "by two replays"
    assert "θ under, over (serving)" in rows
    assert "Autoscaler deviation σ (billed)" in rows


def test_an_unknown_demand_has_a_reason(failing: Analysis) -> None:
    """No row, and the reason as a note."""
    table = demand.summary(replace(failing, demand=Demand(why_missing="the replicas were not observed")))
    assert (table.rows, table.notes) == ((), ("Not measured, because the replicas were not observed.",))
