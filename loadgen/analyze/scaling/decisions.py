"""Reads the decisions of the autoscaler from the events, and when the signal before each was over its target."""

import math
from dataclasses import dataclass, replace

import numpy as np

from loadgen.analyze.observed import Event, Floats, Observed, Series
from loadgen.analyze.results import Direction
from loadgen.analyze.scaling.beyond import Beyond
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.analyze.too_many import MAX_SCALING_EVENTS
from loadgen.dataset.names import EventKind, RescaleReason
from loadgen.dataset.run_info import Autoscaler


@dataclass(frozen=True, slots=True)
class Decision:
    """One rescale, with the times of the decisions before and after it, and of the one that took back a scale-up."""

    event: Event
    before: int
    after: int
    previous_s: float
    next_s: float
    taken_back_s: float

    @property
    def direction(self) -> Direction:
        """Whether it added replicas."""
        return "up" if self.after > self.before else "down"


def decisions(run: Observed, fleet: Fleet) -> list[Decision]:
    """The first `MAX_SCALING_EVENTS` decisions of the autoscaler.

    Changes by others are not decisions, but they end the span of the one before.
    """
    consequences = {
        up: np.sort([at for pod in fleet.pods.values() if (at := pod.created_s if up else pod.draining_s) is not None])
        for up in (True, False)
    }
    changes: list[tuple[Event, int, int]] = []
    for event in run.of_kind(EventKind.HPA_RESCALE):
        before, after = event.replica_counts or (0, 0)
        if before != after:
            changes.append((_corrected(event, consequences[after > before]), before, after))
    times = [-math.inf, *(event.t_s for event, _, _ in changes), math.inf]
    down_s = np.array([event.t_s for event, before, after in changes if after < before])
    left = np.array([after for _, before, after in changes if after < before])

    def taken_back_s(at_s: float, before: int) -> float:
        later = np.flatnonzero((down_s > at_s) & (left <= before))
        return float(down_s[later[0]]) if len(later) else math.inf

    own = [number for number, (event, _, _) in enumerate(changes) if _is_decision(event)]
    return [
        Decision(
            event=event,
            before=before,
            after=after,
            previous_s=times[number],
            next_s=times[number + 2],
            taken_back_s=taken_back_s(event.t_s, before),
        )
        for number in own[:MAX_SCALING_EVENTS]
        for event, before, after in (changes[number],)
    ]


def decision_count(run: Observed) -> int:
    """The number of all decisions of the autoscaler."""
    counts = ((event, event.replica_counts or (0, 0)) for event in run.of_kind(EventKind.HPA_RESCALE))
    return sum(before != after and _is_decision(event) for event, (before, after) in counts)


def _is_decision(event: Event) -> bool:
    return event.reason != RescaleReason.NOT_BY_AUTOSCALER


def _corrected(event: Event, consequences_s: Floats) -> Event:
    """A rescale that was observed late happened no later than the first replica that it can have created or stopped."""
    late_s = event.data.get("late_s")
    if not isinstance(late_s, int | float):
        return event
    first = int(np.searchsorted(consequences_s, event.t_s - late_s))
    if first == len(consequences_s) or consequences_s[first] > event.t_s:
        return event
    return replace(event, t_s=float(consequences_s[first]))


class Crossings:
    """When the ratio before each decision was over its target.

    Args:
        scaler: The autoscaler; None without one whose metric is known.
        ratio: The fleet's ratio as the autoscaler read it.
    """

    def __init__(self, scaler: Autoscaler | None, ratio: Series) -> None:
        self._scaler = scaler
        self._threshold, self._beyond = dict[bool, float](), dict[bool, Beyond]()
        if scaler is not None:
            for up in (True, False):
                self._threshold[up] = scaler.target * (1 + scaler.tolerance if up else 1 - scaler.tolerance)
                self._beyond[up] = Beyond(ratio, self._threshold[up], up=up)

    def before(self, decision: Decision, missing: list[str]) -> float | None:
        """Start of the last span beyond the target that contains a decision or closely precedes it."""
        if self._scaler is None:
            missing.append("over target: the run has no autoscaler whose metric is known")
            return None
        up, at_s = decision.direction == "up", decision.event.t_s
        if not self._beyond[up].samples(at_s):
            missing.append("over target: there is no ratio sample before the decision")
            return None
        since_s = self._beyond[up].since_s(at_s, self._scaler.sync_period_s)
        if since_s is None:
            side = "above" if up else "below"
            missing.append(f"over target: the sampled ratio was not {side} {self._threshold[up]:g} at the decision")
        return since_s
