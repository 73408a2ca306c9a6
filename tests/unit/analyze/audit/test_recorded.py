"""The audit of a real controller (v1.37.1): from the status that it wrote follows the rule that its inputs give."""

from collections import Counter

import pytest

from loadgen.analyze.audit.inputs import Counts
from loadgen.analyze.audit.replay import Replay
from loadgen.analyze.audit.syncs import Sync, Value
from loadgen.autoscale.rules import Rule
from loadgen.autoscale.spec import ControllerSettings, ResourceMetric
from loadgen.base.quantity import parse_milli
from support.hpa.replay import play
from support.hpa.table import RECORDED, read

RECORDINGS = {each["series"]: each for each in read(*sorted(RECORDED.glob("*.jsonl")))}


class KnownPods:
    """Stands in for the life cycles of the pods: the counts of each sync are known."""

    counted = Counts()

    def counts(self, sync):
        return [self.counted]


def value(metric, status):
    if status is None:
        return None
    if isinstance(metric, ResourceMetric) and metric.target.average_utilization_pct is not None:
        return Value(status["utilization"], "percent")
    return Value(parse_milli(status["value"]))


def written(step, spec):
    """Return a recorded sync as the status that the controller wrote in it."""
    decided = step["decided"]
    statuses = decided["current"] or [None] * len(spec.metrics)
    return Sync(
        t_s=step["at_s"],
        from_status=True,
        spec=spec,
        current=decided["current_replicas"],
        desired=decided["desired_replicas"],
        reasons={type_: (status, reason) for type_, status, reason, *_ in decided["conditions"]},
        values=tuple(value(*pair) for pair in zip(spec.metrics, statuses, strict=True)),
    )


def counts(step, twin):
    """Return the pods of a recorded sync by group."""
    ready = sum(each.get("ready") == "True" and each.get("phase") == "Running" for each in step["pods"].values())
    groups = next((each.pods for each in twin.proposals if each.pods), None)
    if groups is None:
        return Counts(metric=step["status_replicas"], ready=ready)
    return Counts(groups.ready, len(groups.missing), len(groups.unready), ready)


def audited(recording):
    """Yield each sync as the audit of its status names it, and the rule by its complete inputs."""
    pods, controller = KnownPods(), ControllerSettings(**recording["controller"])
    replay = Replay(pods, controller)
    for step, spec, _, twin in play(recording):
        if step.get("restarted"):
            replay = Replay(pods, controller)
        pods.counted = counts(step, twin)
        yield replay.next(written(step, spec)), twin.rule


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_rule_follows_from_the_status(name):
    """No sync differs from the algorithm, and the rule that is named is the one that the inputs give."""
    for replayed, rule in audited(RECORDINGS[name]):
        assert replayed.mismatch is None
        assert rule in replayed.rules


def test_nearly_all_syncs_have_one_rule():
    """The conditions tell the rules apart: two of all 717 syncs have two candidates, both at 0 replicas."""
    found = [pair for recording in RECORDINGS.values() for pair in audited(recording)]
    undetermined = [replayed for replayed, _ in found if len(replayed.rules) > 1]
    assert len(found) == sum(len(recording["syncs"]) for recording in RECORDINGS.values())
    assert len(undetermined) <= 3
    assert set(Counter(rule for _, rule in found)) == set(Rule)
