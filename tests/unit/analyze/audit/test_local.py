"""What the local stack's autoscaler records is enough to replay every one of its syncs."""

import random

import numpy as np

from loadgen.analyze.audit.audit import audit
from loadgen.analyze.observed import Series
from loadgen.analyze.scaling.replicas import fleet
from loadgen.autoscale.record import inputs_data
from loadgen.autoscale.state import PodValues, ReadError
from loadgen.local.autoscaler import Autoscaler, pod_state, sync_data, sync_inputs
from loadgen.scenario.fleets import Local
from support.runs.tables import SCALER, event, info, observed

NO_RATIO = Series(np.empty(0), np.empty(0))
LOCAL = Local(
    replicas=(SCALER.min_replicas, SCALER.max_replicas),
    ratio_target=SCALER.target,
    scale_down_window_s=SCALER.scale_down_window_s,
)


def recorded(seed, number=80):
    """Return the events of syncs on random values, with the rule and the replicas of each."""
    draw, autoscaler, desired = random.Random(seed), Autoscaler(LOCAL), 1
    events, truth = [], []
    for index in range(number):
        t_s = 15.0 * index + draw.random()
        phases = draw.choices(("ready", "started", "pulling", "draining"), (8, 1, 1, 1), k=desired)
        pods = [pod_state(f"p{each}", phase) for each, phase in enumerate(phases)]
        measured = [each.name for each in pods if draw.random() < 0.9]
        reading = PodValues(milli={name: draw.choice((0, 300, 950, 1050, 1500, 4000)) for name in measured})
        if draw.random() < 0.05:
            reading = ReadError(message="no answer")
        decision = autoscaler.sync(now_s=t_s, desired=desired, pods=pods, reading=reading)
        data = sync_data(autoscaler.spec, decision, current=desired)
        data["inputs"] = inputs_data(sync_inputs(desired, pods, reading))
        events.append(event(t_s, "hpa_sync", **data))
        truth.append((decision.rule, desired, decision.replicas))
        desired = decision.replicas or desired
    return events, truth


def test_the_replay_gives_every_sync_again():
    """Rules and replicas of 240 syncs on random values, pods and failures are those of the autoscaler."""
    for seed in range(3):
        events, truth = recorded(seed)
        run = observed(info(length_s=1200.0), events=events)
        result = audit(run, fleet(run), (), NO_RATIO)
        assert (result.source, result.undetermined, result.mismatch_count) == ("inputs", 0, 0)
        spans = [(span.rule, span.before, span.after) for span in result.spans for _ in range(span.syncs)]
        assert spans == truth
    assert len({rule for rule, *_ in truth}) >= 6
