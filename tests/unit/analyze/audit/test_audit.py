"""The audit of hand-made runs of the local stack: the rule of each sync, and where it differs from the algorithm."""

import json

import numpy as np
import pytest

from loadgen.analyze.analysis import analyze
from loadgen.analyze.audit.audit import audit
from loadgen.analyze.observed import Series
from loadgen.analyze.results import AuditSpan, Rule
from loadgen.analyze.scaling.replicas import fleet
from loadgen.autoscale.record import Inputs, inputs_data
from loadgen.autoscale.state import PodState, PodValues, ReadError, ScaleState
from support.runs.tables import SCALER, event, info, life, observed, request, rescale, series, tables

NO_RATIO = Series(np.empty(0), np.empty(0))
# SCALER: target 1, 1 to 4 replicas, a scale-down window of 30 s, a sync every 15 s.


def sync(t_s, current, desired, *milli, pending=0, missing=0, **more):
    """A sync of the local stack that read one value a pod (None: no answer)."""
    running = len(milli) + missing
    pods = [PodState(name=f"p{number}") for number in range(running)]
    pods += [PodState(name=f"p{running + number}", phase="Pending", ready="False") for number in range(pending)]
    values = {f"p{number}": value for number, value in enumerate(milli)}
    reading = ReadError(message="no answer") if None in milli else PodValues(milli=values)
    scale = ScaleState(spec_replicas=current, status_replicas=len(pods))
    inputs = inputs_data(Inputs(scale=scale, pods=tuple(pods), readings=(reading,)))
    return event(t_s, "hpa_sync", current=current, desired=desired, inputs=inputs, **more)


def audited(*events, **changes):
    run = observed(info(**changes), events=events)
    return audit(run, fleet(run), (), NO_RATIO)


def brief(spans):
    return [(each.from_s, each.syncs, each.before, each.after, each.rule) for each in spans]


CYCLE = (
    sync(0, 1, 1, 1050),
    sync(15, 1, 1, 1090),
    sync(30, 1, 3, 3000),
    sync(45, 3, 3, 3000, pending=2),  # 3 with two zeros: 1
    sync(60, 3, 3, 300, 300, 300),  # 3 · 0.3: one replica; the 3 of 45 s ago … 75 s applies
    sync(75, 3, 1, 300, 300, 300),  # the 3 is 30 s old: over
    sync(90, 1, 1, 0),  # the 1 of 75 s applies
    sync(105, 1, 1, 0),
    sync(120, 1, 4, 9000),  # 9 are proposed
    sync(135, 4, 4, 2000, 2000, 2000, 2000),
    sync(150, 4, 4, None),
)


def test_every_sync_of_a_cycle_has_its_rule():
    """Tolerance, value over target, pending pods, window, both bounds, and a metric that cannot be read."""
    result = audited(*CYCLE, length_s=200.0)
    assert brief(result.spans) == [
        (0, 2, 1, 1, Rule.TOLERANCE),
        (30, 1, 1, 3, Rule.RATIO),
        (45, 1, 3, 3, Rule.PODS),
        (60, 1, 3, 3, Rule.DOWN_WINDOW),
        (75, 1, 3, 1, Rule.RATIO),
        (90, 1, 1, 1, Rule.DOWN_WINDOW),
        (105, 1, 1, 1, Rule.MIN),
        (120, 1, 1, 4, Rule.MAX),
        (135, 1, 4, 4, Rule.MAX),
        (150, 1, 4, 4, Rule.METRIC_UNAVAILABLE),
    ]
    tolerance, _, pods, window, *_ = result.spans
    assert (tolerance.lowest, tolerance.highest, tolerance.edges) == (1050, 1090, (900, 1100))
    assert (pods.without_metric, pods.target) == (2, 1000)
    assert (window.until_s, window.proposed) == (75.0, 1)
    assert (result.source, result.syncs, result.inferred, result.undetermined) == ("inputs", 11, 0, 0)
    assert (result.mismatches, result.mismatch_count) == ((), 0)


def test_a_decision_has_its_steps_and_metrics():
    """9 are proposed by 9000m against 1, and maxReplicas allows 4."""
    decision = audited(*CYCLE, length_s=200.0).decisions[-1]
    assert [(each.rule, each.before, each.after) for each in decision.steps] == [(Rule.RATIO, 1, 9), (Rule.MAX, 9, 4)]
    (metric,) = decision.metrics
    assert (metric.name, metric.value, metric.target, metric.replicas) == (
        "pods metric queue_compute_ratio",
        9000,
        1000,
        9,
    )


def test_a_sync_that_differs_from_the_algorithm_is_reported():
    """3000m against 1 gives 3 replicas and not 2; the syncs before and after are as they should be."""
    events = (*CYCLE[:2], sync(30, 1, 2, 3000), sync(45, 2, 2, 1000, 1000))
    result = audited(*events)
    (mismatch,) = result.mismatches
    assert (mismatch.t_s, mismatch.recorded, mismatch.explanation) == (30.0, "2", None)
    assert mismatch.expected.startswith("3 ")
    assert [each.rule for each in result.spans] == [Rule.TOLERANCE, None, Rule.TOLERANCE]
    findings = analyze(info(), tables(events=events)).findings
    (finding,) = [each for each in findings if each.code == "autoscaler.unexplained"]
    assert (finding.measured, finding.severity, str(finding.window)) == (1.0, "warning", "at 0:30")


def test_an_unremarkable_run_has_no_such_finding():
    """The cycle is exactly what the algorithm gives."""
    findings = analyze(info(length_s=200.0), tables(events=CYCLE)).findings
    assert not [each for each in findings if each.code == "autoscaler.unexplained"]


def test_the_syncs_that_held_before_a_decision():
    """Over target from 20 s on; at 30 s and 45 s the HPA read less than 1.1, and at 60 s it scaled up."""
    ratio = series("ratio", "a", {float(t): 1.0 if t < 20 else 1.2 for t in range(0, 61)})
    events = [
        *life("a", -9, -5),
        *(sync(t, 1, 1, value) for t, value in ((0, 500), (15, 1000), (30, 1050), (45, 1090))),
        sync(60, 1, 3, 3000),
        rescale(60, 1, 3),
    ]
    analysis = analyze(
        info(length_s=90.0), tables([request(n, n * 1.0) for n in range(80)], samples=ratio, events=events)
    )
    (decision,) = analysis.audit.decisions
    assert decision.event == 0
    assert analysis.scaling[0].over_target_s == 20.0
    (held,) = decision.held
    assert (held.syncs, held.rule, held.lowest, held.highest, held.edges) == (
        2,
        Rule.TOLERANCE,
        1050,
        1090,
        (900, 1100),
    )


def test_a_run_of_an_earlier_release_has_counts_instead_of_inputs():
    """Pods by group and the average are enough: 3000m of one pod, and two without."""
    proposal = {"pods": {"ready": 1, "missing": ["b"], "unready": ["c"], "ignored": []}}
    recorded = event(0, "hpa_sync", current=3, desired=3, metric_milli=3000, proposals=[proposal])
    result = audited(recorded)
    assert (result.source, brief(result.spans)) == ("status", [(0, 1, 3, 3, Rule.PODS)])


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"current": -1, "desired": 1},
        {"current": "x"},
        {"current": 1, "desired": 2**40},
        {"current": True, "desired": None, "conditions": "x"},
        {"current": 2**31 - 1, "desired": 1, "metric_milli": 10**30},
        {"current": 1, "desired": 1, "metric_milli": 500, "inputs": {"scale": []}, "proposals": [3, {"pods": 4}]},
    ],
)
def test_damaged_data_does_not_stop_the_audit(data):
    """Such a sync is skipped, or has no rule; the others have theirs."""
    result = audited(event(0, "hpa_sync", **data), sync(15, 1, 1, 1000))
    assert result.spans[-1].rule == Rule.TOLERANCE


def test_a_run_without_autoscaler_says_why():
    """The reason is in the result."""
    assert audited(autoscaler=None).why_missing == "the run has no autoscaler whose metric is known"
    assert audited().why_missing == "no sync of the autoscaler was recorded"


def test_spans_are_json():
    """Rules are their names in analysis.json."""
    span = AuditSpan(from_s=0, to_s=0, syncs=1, inferred=0, before=1, after=1, rule=Rule.MAX)
    assert json.dumps(span.rule) == '"max_replicas"'


def test_the_local_autoscaler_is_the_one_of_run_json():
    """An HPA that the API server would refuse cannot be replayed."""
    wrong = SCALER.model_copy(update={"min_replicas": 0})
    assert "minReplicas 0 needs an Object or External metric" in (
        audited(sync(0, 1, 1, 1000), autoscaler=wrong).why_missing or ""
    )
