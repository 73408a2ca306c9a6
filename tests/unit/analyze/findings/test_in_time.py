"""The limit on the lag of scale-ups: what is met, what cannot be judged, and what is too close to call."""

import pytest
from loadgen_reports.finding_text import result

from loadgen.analyze.findings.in_time import not_tested, repeats_to_decide, scale_up_lag
from loadgen.analyze.results import Estimate, InTime, LagParts
from support.runs.tables import SCALER, info, observed

LIMIT = ("scale_up_lag", "worst", 30.0)


def judged(found, limit=LIMIT):
    (finding,) = scale_up_lag(observed(info(limits=(limit,))), found)
    return finding


def lag(value, low=None, high=None, **changes):
    estimate = Estimate(value=value, low=value if low is None else low, high=value if high is None else high)
    fields = {"answer": "late", "reason": "it was", "lag": estimate, "replicas": 2, "needed_s": 10.0, "served_s": 50.0}
    return InTime(**{**fields, **changes})


def test_without_the_limit_there_is_no_finding():
    """Other limits have findings of their own."""
    assert scale_up_lag(observed(info(limits=(("ttft", "p95", 2.0),))), lag(40.0)) == []


@pytest.mark.parametrize(("value", "passed"), [(29.9, True), (30.0, True), (30.1, False), (-5.0, True)])
def test_the_lag_is_compared_with_the_limit(value, passed):
    """A lag equal to the limit meets it, and an early fleet does."""
    finding = judged(lag(value))
    assert (finding.passed, finding.measured, finding.severity) == (passed, value, "fail")
    assert not finding.too_close_to_call


@pytest.mark.parametrize(("value", "passed"), [(29.0, True), (31.0, False)])
def test_a_limit_inside_the_interval_is_too_close_to_call(value, passed):
    """It passes or fails by the rule and is marked: h = 3 s, P = 15 s and a distance of 1 s need
    9 + (1.96 · 15)² / 12 = 81.03, so 82 runs.
    """
    finding = judged(lag(value, value - 3.0, value + 3.0))
    assert (finding.passed, finding.too_close_to_call) == (passed, True)
    assert "too close to call" in finding.advice
    assert "82 runs like this one would decide" in finding.advice
    assert result(finding)[0].endswith("too close to call")


def test_repeats_that_decide():
    """Without an interval and a phase two are enough; at the limit itself no number is."""
    assert repeats_to_decide(10.0, 10.0, 1.0, 0.0) == 2
    assert repeats_to_decide(0.0, 20.0, 2.0, 0.0) == 25
    assert repeats_to_decide(0.0, 20.0, 0.0, 0.0) is None
    assert repeats_to_decide(0.0, 20.0, 0.5, 0.0) is None


def test_what_cannot_be_judged_is_invalid():
    """Scaling that was not tested, an unknown lag, clocks that differ, and a load that ended too early."""
    for found in (
        InTime(answer="not_tested", reason="the load never needed more than one replica"),
        InTime(answer="not_known", reason="the replicas were not observed"),
        lag(20.0, answer="not_known", clocks_differ=True, reason="the clocks differ"),
        lag(20.0, at_least=True, until_load_end=True, served_s=None),
    ):
        finding = judged(found)
        assert (finding.passed, finding.severity, finding.measured) == (False, "invalid", None)


def test_a_load_that_ended_too_late_has_missed_the_limit():
    """The replicas did not serve for 40 s, which is over the limit whatever comes after."""
    finding = judged(lag(40.0, at_least=True, until_load_end=True, served_s=None))
    assert (finding.passed, finding.severity) == (False, "fail")
    assert "did not serve while they were needed" in finding.advice


def test_luck_that_decides_is_named():
    """32 s with a phase of 13 s: with none it is 19 s, with a whole period 34 s, so a limit of 30 s is luck."""
    parts = LagParts(phase_s=13.0, settings_s=7.0, start_up_s=10.0, traffic_s=2.0)
    assert "the lag would be 19.0 … 34.0 s" in judged(lag(32.0, parts=parts)).advice
    assert "with another one" not in judged(lag(60.0, parts=parts)).advice


def test_scaling_that_was_not_tested_is_a_warning_where_something_scales():
    """An HPA whose bounds are equal, and no autoscaler, test nothing and are no reason for a warning."""
    found = InTime(answer="not_tested", reason="the load never needed more than one replica")
    (finding,) = not_tested(observed(), found)
    assert (finding.code, finding.severity) == ("scaling.not_tested", "warning")
    assert finding.advice.startswith("The load never needed more than one replica.")
    fixed = SCALER.model_copy(update={"max_replicas": 1})
    assert not_tested(observed(info(autoscaler=fixed)), found) == []
    assert not_tested(observed(info(autoscaler=None)), found) == []
    assert not_tested(observed(), lag(40.0)) == []
