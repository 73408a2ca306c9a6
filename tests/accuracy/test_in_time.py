"""Whether the fleet was in time, in runs of a queue whose lag and its causes are known by arithmetic."""

from functools import cache

import pytest
from loadgen_reports.formats import html, json, markdown
from loadgen_reports.in_time import in_time_line
from loadgen_reports.sentences import opening, summary_lines

from loadgen.scenario.rates import Step
from support.runs.queue import ALWAYS, even, event, queue_run, ratio_over, rescale, starts
from support.runs.tables import by_code

STEP = Step(levels_per_s=(3.0, 8.0), hold_s=100.0)
"""One replica serves 5/s, so two are needed from 100 s on."""


@cache
def late_run(limit=None, ttft=2.0):
    """The signal crosses at 107 s, syncs: 105 and 120 s; the second replica is ready at 130 s and serves at 131."""
    limits = [("ttft", "p95", ttft)] if ttft else []
    limits += [("scale_up_lag", "worst", limit)] if limit is not None else []
    return queue_run(
        STEP,
        [ALWAYS, (130.0, float("inf"))],
        200.0,
        limits=limits,
        events=[rescale(120, 1, 2), *(event(t, "hpa_sync", current=1, desired=1) for t in (90.0, 105.0, 120.0))],
        samples=ratio_over(107.0, 180.0, 200.0),
    )


def test_a_late_fleet_is_late_by_its_lag():
    """Needed at 100 s, serving at 131 s: 31 s, of which 7 s until the signal, 13 s phase, 10 s start-up, 1 s traffic.

    The requests that are slow with the second replica from 130 s on, and would not be with two throughout, are counted
    by the queue.
    """
    made = late_run()
    found = made.headline.in_time
    assert found.answer == "late"
    assert found.lag.value == pytest.approx(31.0, abs=1e-6)
    assert (found.replicas, found.needed_s, found.served_s) == (2, pytest.approx(100.0, abs=1e-6), 131.0)
    parts = found.parts
    assert (parts.phase_s, parts.settings_s) == (pytest.approx(13.0), pytest.approx(7.0, abs=1e-6))
    assert (parts.start_up_s, parts.traffic_s) == (pytest.approx(10.0), pytest.approx(1.0, abs=1e-6))
    due = even(STEP, 200.0)

    def slow(lives):
        return sum(start - at + 0.02 > 2.0 for at, start in zip(due, starts(due, lives), strict=True))

    assert slow([ALWAYS, ALWAYS]) == 0
    assert made.demand.attribution.by_lag == pytest.approx(slow([ALWAYS, (130.0, float("inf"))]), rel=0.03)


def test_the_answer_is_the_first_line_of_every_report():
    """Console, Markdown and page begin with it, and the headline of analysis.json has it."""
    made = late_run()
    line = in_time_line(made)
    assert line.startswith("In time: no, late by 31.0 s. The lag caused ")
    assert "2 replicas were needed at 1:40 and served at 2:11." in line
    assert line.endswith("Of the lag, 13.0 s is the phase of the HPA, which is chance (0 to 15 s).")
    assert summary_lines(made)[0] == line
    text = markdown.render(made)
    assert text.split("\n\n")[1] == f"**{line}**"
    page = html.render(made).replace("\N{NO-BREAK SPACE}", " ")
    assert page.index("In time: no, late by 31.0 s") < page.index(opening(made)[0][:20])
    assert '"answer": "late"' in json.render(made)
    assert "| Phase of the HPA | 13.0 s | 42 % |" in text


def test_a_positive_lag_that_breaks_nothing_is_in_time():
    """With a limit of 60 s on TTFT no request is slow: the fleet is in time, and the line has the lag."""
    made = late_run(ttft=60.0)
    found = made.headline.in_time
    assert (found.answer, found.lag.value, made.demand.in_time) == ("in_time", pytest.approx(31.0, abs=1e-6), True)
    assert in_time_line(made).startswith("In time: yes. The lag made no request slow. 2 replicas were needed at 1:40")


def test_replicas_that_serve_after_the_need_had_ended_have_one_lag_on_the_page():
    """Two needed from 40 to 80 s, the second one serves at 91 s: the lag is at least the 40 s, and nowhere 51 s.

    It served outside every span of need, and so that moment does not end a lag (docs/metrics.md).
    """
    made = queue_run(
        Step(levels_per_s=(3.0, 8.0, 3.0), hold_s=40.0),
        [ALWAYS, (90.0, float("inf"))],
        120.0,
        limits=[("ttft", "p95", 2.0)],
        events=[rescale(75, 1, 2), *(event(t, "hpa_sync", current=1, desired=1) for t in (45.0, 60.0, 75.0))],
        samples=ratio_over(47.0, 90.0, 120.0),
    )
    scale_up, level, found = made.scaling[0], made.demand.lags[0], made.headline.in_time
    assert (scale_up.trigger_s, scale_up.serving_s, scale_up.lag_s) == (pytest.approx(40.0, abs=1e-6), 91.0, None)
    assert (level.served_s, level.lag, made.headline.lag_at_least, found.at_least) == (None, None, True, True)
    lags = [scale_up.lag_at_least_s, level.lag_at_least_s, made.headline.lag_s, found.lag.value]
    assert lags == [pytest.approx(40.0, abs=1e-6)] * 4
    assert in_time_line(made).startswith("In time: no, late by at least 40.0 s.")
    assert "lagged the load by at least 40.0 s; its replicas did not serve while they were needed" in " ".join(
        opening(made)
    )
    text = markdown.render(made)
    assert "at least 40.0 s |" in text
    assert "Of the " not in " ".join(opening(made))  # the steps are not parts of the 40 s
    # the links up to the first answer take 51 s together, which is not a lag
    assert not any("51.0 s" in line and "lag" in line.lower() for line in text.splitlines())


def test_a_fleet_that_grows_before_the_need_is_in_time():
    """The second replica serves at 81 s, 19 s before it is needed; nothing of the 8/s waits."""
    made = queue_run(
        STEP, [ALWAYS, (80.0, float("inf"))], 200.0, limits=[("scale_up_lag", "worst", 0.0)], events=[rescale(70, 1, 2)]
    )
    found = made.headline.in_time
    assert (found.answer, found.lag.value) == ("in_time", pytest.approx(-19.0, abs=1e-6))
    assert in_time_line(made) == "In time: yes, by 19.0 s. All replicas served before the load needed them."
    assert by_code(made.findings, "slo.scale_up_lag.worst").passed


@pytest.mark.parametrize(("limit", "passed"), [(40.0, True), (31.5, True), (30.5, False), (0.0, False)])
def test_a_limit_on_the_lag_is_a_limit_of_the_run(limit, passed):
    """The lag of 31 s meets limits from 31 s on; the verdict follows from it."""
    made = late_run(limit, ttft=None)
    finding = by_code(made.findings, "slo.scale_up_lag.worst")
    assert (finding.passed, finding.severity, finding.limit) == (passed, "fail", limit)
    assert finding.measured == pytest.approx(31.0, abs=1e-6)
    assert made.verdict == ("pass" if passed else "fail")


def test_with_another_phase_the_limit_may_be_met():
    """18 s + 0 … 15 s of chance: a limit of 25 s is missed by this run, and the advice says that luck decides it."""
    finding = by_code(late_run(25.0).findings, "slo.scale_up_lag.worst")
    assert not finding.passed
    assert "with another one the lag would be 18.0 … 33.0 s" in finding.advice


def test_a_limit_on_an_unfinished_lag_cannot_be_judged():
    """Two replicas are needed for the last 100 s and never serve: 100 s is over a limit of 50 s, not of 150."""
    for limit, severity, verdict in ((50.0, "fail", "fail"), (150.0, "invalid", "invalid")):
        made = queue_run(STEP, [ALWAYS], 200.0, limits=[("scale_up_lag", "worst", limit)])
        finding = by_code(made.findings, "slo.scale_up_lag.worst")
        assert (finding.passed, finding.severity, made.verdict) == (False, severity, verdict)
        assert made.headline.in_time.at_least


def test_scaling_that_was_not_needed_is_not_tested():
    """4/s need one replica: PASS with a warning, and INVALID with a limit on the lag."""
    load = Step(levels_per_s=(3.0, 4.0), hold_s=100.0)
    made = queue_run(load, [ALWAYS], 200.0, limits=[("ttft", "p95", 4.0)])
    assert (made.verdict, made.headline.in_time.answer) == ("pass", "not_tested")
    assert by_code(made.findings, "scaling.not_tested").severity == "warning"
    assert opening(made)[0] == "PASS, scaling not tested: the one limit was met."
    assert in_time_line(made) == "In time: not tested. The load never needed more than one replica."
    limited = queue_run(load, [ALWAYS], 200.0, limits=[("ttft", "p95", 4.0), ("scale_up_lag", "worst", 30.0)])
    finding = by_code(limited.findings, "slo.scale_up_lag.worst")
    assert (limited.verdict, finding.severity, finding.measured) == ("invalid", "invalid", None)


def test_a_first_fleet_that_serves_the_peak_was_not_tested():
    """8/s need two replicas, which are there from the start: the load never left the fleet."""
    made = queue_run(STEP, [ALWAYS, ALWAYS], 200.0)
    found = made.headline.in_time
    assert (found.answer, found.lag) == ("not_tested", None)
    assert found.reason == "the load never needed more than the 2 replicas that served when it began to need them"


def test_a_fixed_fleet_has_nothing_to_test():
    """Without an autoscaler nothing could add the second replica, so there is no warning, and no lag."""
    made = queue_run(STEP, [ALWAYS], 200.0, autoscaler=None)
    assert made.headline.in_time.answer == "not_tested"
    assert not [each for each in made.findings if each.code == "scaling.not_tested"]
