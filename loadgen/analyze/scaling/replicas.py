"""Reconstructs the replicas from events and counters, and the desired, ready and serving counts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from loadgen.analyze.observed import Event, Observed, Series
from loadgen.analyze.steps import Interval, Step, count
from loadgen.dataset.names import REPLICA_EVENTS, EventKind, SignalName

_PHASES: dict[str, str] = {
    EventKind.REPLICA_CREATED: "created_s",
    EventKind.REPLICA_UNSCHEDULABLE: "unschedulable_s",
    EventKind.REPLICA_SCHEDULED: "scheduled_s",
    EventKind.REPLICA_STARTED: "started_s",
    EventKind.REPLICA_READY: "ready_s",
    EventKind.REPLICA_DRAINING: "draining_s",
}
_NOT_READY = (
    EventKind.REPLICA_NOT_READY,
    EventKind.REPLICA_DRAINING,
    EventKind.REPLICA_CRASHED,
    EventKind.REPLICA_KILLED,
    EventKind.REPLICA_STOPPED,
)


@dataclass(slots=True, kw_only=True)
class Replica:
    """One pod: the first time of each phase; None when it is unknown.

    Attributes:
        name: Pod name.
        created_s: When it was created.
        unschedulable_s: When the scheduler first found no node for it.
        scheduled_s: When it was scheduled.
        started_s: When its server process started.
        ready_s: When it first became ready.
        draining_s: When its termination began.
        stopped_s: When it had stopped.
        ready: Spans in which it was ready; the end is infinite while it still is.
        answered_s: When it had answered its first request.
        serving: The part of each ready span after its first response.
    """

    name: str
    created_s: float | None = None
    unschedulable_s: float | None = None
    scheduled_s: float | None = None
    started_s: float | None = None
    ready_s: float | None = None
    draining_s: float | None = None
    stopped_s: float | None = None
    ready: list[Interval] = field(default_factory=list)
    answered_s: float | None = None
    serving: list[Interval] = field(default_factory=list)

    def apply(self, event: Event) -> None:
        """Apply one event of this pod; events come in order."""
        phase = _PHASES.get(event.kind)
        if phase is not None and getattr(self, phase) is None:
            setattr(self, phase, event.t_s)
        open_ended = bool(self.ready) and self.ready[-1][1] == math.inf
        if event.kind == EventKind.REPLICA_READY and not open_ended:
            self.ready.append((event.t_s, math.inf))
        if event.kind in _NOT_READY and open_ended:
            self.ready[-1] = (self.ready[-1][0], event.t_s)
        if event.kind == EventKind.REPLICA_STOPPED or (
            event.kind == EventKind.REPLICA_KILLED and self.draining_s is not None
        ):
            self.stopped_s = event.t_s

    def apply_counter(self, success: Series) -> None:
        """Find the first response of each ready span in the counter of successful requests."""
        times = success.t_s[success.value > 0]
        for start, end in self.ready:
            after = times[(times >= start) & (times < end)]
            if len(after):
                self.serving.append((float(after[0]), end))
        since = times[times >= (self.ready_s if self.ready_s is not None else -math.inf)]
        self.answered_s = float(since[0]) if len(since) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """All replicas and their counts over time; a count without any event is unknown throughout.

    Attributes:
        pods: Replicas by name, in the order of creation.
        desired: Desired replicas.
        ready: Ready replicas.
        serving: Ready replicas that have answered.
        billed: Replicas from created to stopped; an unschedulable replica costs nothing until it is scheduled.
        end_s: End of the observation, or the time when the stack was shut down.
    """

    pods: Mapping[str, Replica]
    desired: Step
    ready: Step
    serving: Step
    billed: Step
    end_s: float


UNKNOWN = Step(np.empty(0), np.empty(0))


def fleet(run: Observed) -> Fleet:
    """Reconstruct the fleet of a run."""
    pods: dict[str, Replica] = {}
    for event in run.events:
        if event.pod is not None and event.kind in REPLICA_EVENTS:
            pods.setdefault(event.pod, Replica(name=event.pod)).apply(event)
    counters = run.signals.get(SignalName.RAW_SUCCESS, {})
    for name, pod in pods.items():
        if name in counters:
            pod.apply_counter(counters[name])
    if not pods:
        return Fleet(pods={}, desired=_desired(run), ready=UNKNOWN, serving=UNKNOWN, billed=UNKNOWN, end_s=run.last_s)
    since = min(event.t_s for event in run.events if event.pod in pods)
    known = any(name in counters for name in pods)
    return Fleet(
        pods=pods,
        desired=_desired(run),
        ready=count((span for pod in pods.values() for span in pod.ready), since),
        serving=count((span for pod in pods.values() for span in pod.serving), since) if known else UNKNOWN,
        billed=count((billed(pod, since) for pod in pods.values()), since),
        end_s=_end(run, pods),
    )


def billed(pod: Replica, since_s: float) -> Interval:
    """From created to stopped; a replica without a known creation counts from the first event of the fleet."""
    start = since_s if pod.created_s is None else pod.created_s
    if pod.unschedulable_s is not None:
        start = math.inf if pod.scheduled_s is None else pod.scheduled_s
    return start, math.inf if pod.stopped_s is None else pod.stopped_s


def _desired(run: Observed) -> Step:
    """The desired count from every evaluation and rescale, and the count before the first of them."""
    times: list[float] = []
    values: list[float] = []
    for event in run.of_kind(EventKind.HPA_SYNC, EventKind.HPA_RESCALE):
        before, after = ("current", "desired") if event.kind == EventKind.HPA_SYNC else ("before", "after")
        current, desired = event.data.get(before), event.data.get(after)
        if not times and isinstance(current, int | float):
            times.append(run.first_s)
            values.append(float(current))
        if isinstance(desired, int | float):
            times.append(event.t_s)
            values.append(float(desired))
    return Step(np.array(times), np.array(values))


def _end(run: Observed, pods: Mapping[str, Replica]) -> float:
    """The end of the observation, or the shutdown of the stack: replicas that stop without a scale-down."""
    scale_downs = [
        (event.t_s, counts[0] - counts[1])
        for event in run.of_kind(EventKind.HPA_RESCALE)
        if (counts := event.replica_counts) is not None and counts[1] < counts[0]
    ]
    last_scale_down_s = max((at for at, _ in scale_downs), default=-math.inf)
    scaled_down = sum(removed for _, removed in scale_downs)
    stops = sorted(
        stop
        for pod in pods.values()
        if (stop := pod.draining_s if pod.draining_s is not None else pod.stopped_s) is not None
    )
    after = [
        stop for number, stop in enumerate(stops) if number >= scaled_down and stop >= max(run.end_s, last_scale_down_s)
    ]
    return min(after, default=run.last_s)
