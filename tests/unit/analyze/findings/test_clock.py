"""Wall clocks that were set during a run."""

import pytest

from loadgen.analyze.analysis import analyze
from support.runs.tables import by_code, event, info, life, observed, request, series, tables

REQUESTS = [request(n, float(n)) for n in range(60)]
STEPS = [event(20.0, "clock_step", source="prometheus", step_s=-3600.0)]


def judged(times, events=(), **changes):
    samples = series("ratio", "a", {float(t): 0.5 for t in times})
    run = info(limits=[("ttft", "p95", 1.0)], **changes)
    return analyze(run, tables(requests=REQUESTS, samples=samples, events=[*life("a", -9, -5), *events]))


@pytest.mark.parametrize("changes", [{}, {"autoscaler": None}], ids=["autoscaler", "none"])
def test_samples_of_a_clock_that_was_set_are_left_out(changes):
    """The samples of 20 … 60 s have times an hour later: the run is invalid, and its timeline a minute long."""
    analysis = judged([*range(20), *range(3620, 3660)], **changes)
    found = by_code(analysis.findings, "clock.step")
    assert (analysis.verdict, found.severity) == ("invalid", "invalid")
    assert "40 samples and events have times outside the run" in found.advice
    assert found.measured == pytest.approx(3600, abs=1)
    assert analysis.timeline.t_s[-1] < 120


def test_a_step_that_cost_the_samples_of_the_rest_makes_the_run_invalid():
    """An hour backward at 20 s: Prometheus has no samples for the last 40 s."""
    analysis = judged(range(20), STEPS)
    assert analysis.verdict == "invalid"
    assert by_code(analysis.findings, "clock.step").measured == 3600.0


def test_a_step_that_cost_no_samples_is_a_warning():
    """This machine's clock was set, and the signal was sampled throughout."""
    analysis = judged(range(61), STEPS)
    assert analysis.verdict == "pass"
    assert by_code(analysis.findings, "clock.step").severity == "warning"


def test_without_a_step_there_is_no_finding():
    """Samples of the minutes after the load, while the fleet is taken down, are of this run."""
    analysis = judged(range(200))
    assert all(finding.code != "clock.step" for finding in analysis.findings)


def test_events_with_times_outside_the_run_are_left_out():
    """A pod became ready an hour after the load, by the API server's clock."""
    run = observed(requests=REQUESTS, events=[*life("a", -9, -5), event(3700.0, "replica_ready", "b")])
    assert [each.pod for each in run.events] == ["a"] * 4
    assert run.misdated_s.tolist() == [3700.0]
