"""Attributes every failed request to one cause and to one window, by what the run folder shows.

The first cause that the record shows counts (docs/metrics.md has their order). Where an answer names its replica, only
that replica can be the cause; otherwise any that was in this state at that time.
"""

import math
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from loadgen.analyze.demand.served import supply
from loadgen.analyze.findings.losses import DRAIN_S
from loadgen.analyze.observed import Floats, Ints, Observed
from loadgen.analyze.results import Demand, FailedWindow, Failures, ScalingEvent, Span
from loadgen.analyze.scaling.replicas import Fleet, Replica
from loadgen.analyze.steps import Interval
from loadgen.dataset.names import Cause, EventKind, FailureCause, Outcome, SignalName

_BROKEN = re.compile(
    r"failed to connect|last error|stream removed|socket closed|connection (refused|reset|terminat|closed)|goaway"
    r"|rst_stream|broken pipe|stream ended|cancelled|server (is )?(stopping|exiting|shutting down)",
    re.IGNORECASE,
)
"""A connection to a replica broke, or the replica said that it was about to stop."""
_NO_MODEL = re.compile(r"not (at )?ready|unknown model|no available versions", re.IGNORECASE)
"""A server answered that has not loaded its model."""
_FULL = re.compile(
    r"maximum queue size|queue (is )?full|resource_exhausted|^429\b|request timeout expired|too many requests",
    re.IGNORECASE,
)
_GATEWAY = re.compile(
    r"no healthy upstream|upstream (connect|request timeout)|no available server|bad gateway|gateway time-?out"
    r"|service unavailable|^50[234]\b|http2 header with status: 50[234]",
    re.IGNORECASE,
)
_CRASH_S = 1.0
"""A client notices a crash at most this much before or after it was recorded."""


def failures(
    run: Observed, fleet: Fleet, scaling: Sequence[ScalingEvent], lag_windows: Sequence[Span], demand: Demand
) -> Failures:
    """All failed requests by cause, inside and outside the windows of scaling events.

    Args:
        run: The run.
        fleet: Its replicas.
        scaling: Its scaling events.
        lag_windows: The lag windows of its scale-ups.
        demand: What the load needed.
    """
    requests = run.requests
    rows = np.flatnonzero(requests.due & ~requests.ok & ~requests.stopped).tolist()
    judge = _Judge(run, fleet, scaling, demand)
    windows = _windows(fleet, scaling, lag_windows)
    total = dict.fromkeys(FailureCause, 0)
    by_window: dict[int | None, dict[FailureCause, int]] = {}
    inside = _inside(windows, np.where(np.isnan(requests.ended_s), requests.scheduled_s, requests.ended_s))
    for row in rows:
        cause, event = judge.cause(row)
        place = event if event is not None else int(inside[row]) if inside[row] >= 0 else None
        total[cause] += 1
        by_window.setdefault(place, dict.fromkeys(FailureCause, 0))[cause] += 1
    ordered = sorted(by_window, key=lambda place: math.inf if place is None else place)
    return Failures(
        failed=len(rows),
        named=sum(requests.pod[row] is not None for row in rows),
        causes=_texts(total),
        windows=tuple(
            FailedWindow(
                event=place,
                start_s=None if place is None else windows[place][0],
                end_s=None if place is None else windows[place][1],
                failed=sum(by_window[place].values()),
                causes=_texts(by_window[place]),
            )
            for place in ordered
        ),
    )


def _texts(causes: dict[FailureCause, int]) -> dict[str, int]:
    return {cause.value: count for cause, count in causes.items()}


def _windows(fleet: Fleet, scaling: Sequence[ScalingEvent], lag_windows: Sequence[Span]) -> list[Interval]:
    """The window of each event: a lag window, or from the decision until its replicas served or had stopped."""
    found = []
    spans = list(lag_windows)
    for event in scaling:
        end_s = next((at for at in (event.serving_s, event.ready_s) if at is not None), fleet.end_s)
        start_s = event.decided_s
        if event.direction == "down":
            end_s = (fleet.end_s if event.ready_s is None else event.ready_s) + DRAIN_S
        elif (own := next((span for span in spans if _is_of(span, event)), None)) is not None:
            spans.remove(own)
            start_s, end_s = min(own.start_s, start_s), own.end_s
        found.append((start_s, max(end_s, start_s)))
    return found


def _is_of(span: Span, event: ScalingEvent) -> bool:
    starts = (event.trigger_s, event.over_target_s, event.decided_s)
    return span.name.startswith(f"{event.before} → {event.after} ") and span.start_s in starts


def _inside(windows: Sequence[Interval], at_s: Floats) -> Ints:
    """The first event whose window contains each time; −1 for none."""
    found = np.full(len(at_s), -1, dtype=np.int64)
    for number in range(len(windows) - 1, -1, -1):
        start, end = windows[number]
        found[(at_s >= start) & (at_s <= end)] = number
    return found


@lru_cache(maxsize=1024)  # most failures of a run have the same few causes
def _says(pattern: re.Pattern[str], cause: str | None) -> bool:
    return cause is not None and pattern.search(cause) is not None


class _Judge:
    """Finds the cause of failed requests."""

    def __init__(self, run: Observed, fleet: Fleet, scaling: Sequence[ScalingEvent], demand: Demand) -> None:
        self._run, self._fleet = run, fleet
        self._removed = {
            name: number for number, event in enumerate(scaling) if event.direction == "down" for name in event.pods
        }
        lost = [
            (event.t_s, event.pod)
            for event in run.of_kind(EventKind.REPLICA_CRASHED, EventKind.REPLICA_KILLED)
            if event.pod not in self._removed
        ]
        self._lost_s = np.array([at for at, _ in lost])
        self._lost_pods = [pod for _, pod in lost]
        removed = [(number, fleet.pods[name]) for name, number in self._removed.items() if name in fleet.pods]
        removed = [(number, pod) for number, pod in removed if pod.draining_s is not None]
        self._removed_pods = [(number, pod.name) for number, pod in removed]
        self._draining_s = np.array([pod.draining_s for _, pod in removed], dtype=np.float64)
        stopped = [math.inf if pod.stopped_s is None else pod.stopped_s for _, pod in removed]
        self._stopped_s = np.array(stopped, dtype=np.float64)
        self._waiting: dict[str, Floats] = {}
        for signal in (SignalName.RAW_PENDING, SignalName.ENGINE_WAITING):
            for pod, series in run.signals.get(signal, {}).items():
                earlier = self._waiting.get(pod, np.empty(0))
                self._waiting[pod] = np.union1d(earlier, series.t_s[series.value > 0])
        self._short = self._shortages(demand)
        self._rules: tuple[tuple[FailureCause, Callable[[int], bool]], ...] = (
            (FailureCause.CLIENT, self._by_client),
            (FailureCause.REPLICA_LOST, self._was_lost),
            (FailureCause.NOT_READY, self._not_ready),
            (FailureCause.OVERLOAD, self._overloaded),
            (FailureCause.GATEWAY, self._by_gateway),
        )

    def at_s(self, row: int) -> float:
        """When a request failed; when it was due if it was never sent."""
        requests = self._run.requests
        ended_s = float(requests.ended_s[row])
        return float(requests.scheduled_s[row]) if math.isnan(ended_s) else ended_s

    def cause(self, row: int) -> tuple[FailureCause, int | None]:
        """The cause of a failed request, and the scale-down that cut it off."""
        if self._by_client(row):
            return FailureCause.CLIENT, None
        removed = self._cut_by(row)
        if removed is not None:
            return FailureCause.SCALE_DOWN, removed
        return next((cause for cause, shown in self._rules if shown(row)), FailureCause.NOT_ATTRIBUTED), None

    def _by_client(self, row: int) -> bool:
        requests = self._run.requests
        return bool(requests.by_generator[row]) or requests.outcome[row] == Outcome.NOT_SENT

    def _broke(self, row: int) -> bool:
        """Whether a connection broke: output ended early, or an error says so."""
        requests = self._run.requests
        if requests.outcome[row] == Outcome.CUT_OFF:
            return True
        cause = requests.cause[row]
        unsuited = cause in (None, Cause.EMPTY_ANSWER) or requests.outcome[row] == Outcome.TIMEOUT
        return not unsuited and _says(_BROKEN, cause)

    def _cut_by(self, row: int) -> int | None:
        """The scale-down whose terminating replica broke a request."""
        if not self._broke(row):
            return None
        at_s, own = self.at_s(row), self._run.requests.pod[row]
        for place in np.flatnonzero((self._draining_s <= at_s) & (at_s <= self._stopped_s + DRAIN_S)).tolist():
            number, name = self._removed_pods[place]
            if own in (None, name):
                return number
        return None

    def _was_lost(self, row: int) -> bool:
        at_s, own = self.at_s(row), self._run.requests.pod[row]
        if not self._broke(row):
            return False
        near = np.flatnonzero(np.abs(at_s - self._lost_s) <= _CRASH_S).tolist()
        return any(own in (None, self._lost_pods[place]) for place in near)

    def _not_ready(self, row: int) -> bool:
        at_s, own = self.at_s(row), self._run.requests.pod[row]
        if own is not None:
            pod = self._fleet.pods.get(own)
            return pod is not None and self._was_starting(pod, at_s, 0.0)
        return _says(_NO_MODEL, self._run.requests.cause[row]) and any(
            self._was_starting(pod, at_s, DRAIN_S) for pod in self._fleet.pods.values()
        )

    def _was_starting(self, pod: Replica, at_s: float, slack_s: float) -> bool:
        """Whether a replica existed and was not ready for the first time."""
        if pod.created_s is None or at_s < pod.created_s:
            return False
        ends = [at for at in (pod.ready_s, pod.stopped_s) if at is not None]
        return at_s < min(ends, default=math.inf) + slack_s

    def _overloaded(self, row: int) -> bool:
        requests = self._run.requests
        if _says(_FULL, requests.cause[row]):
            return True
        if requests.outcome[row] != Outcome.TIMEOUT:
            return False
        start_s, end_s, own = float(requests.scheduled_s[row]), self.at_s(row), requests.pod[row]
        pods = [own] if own in self._waiting else list(self._waiting)
        waited = any(
            np.searchsorted(self._waiting[pod], start_s) < np.searchsorted(self._waiting[pod], end_s, side="right")
            for pod in pods
        )
        return waited or any(since <= end_s and until >= start_s for since, until in self._short)

    def _by_gateway(self, row: int) -> bool:
        return _says(_GATEWAY, self._run.requests.cause[row])

    def _shortages(self, demand: Demand) -> list[Interval]:
        """When more replicas were needed than served."""
        if not len(self._fleet.ready.t_s):
            return []
        served, end_s = supply(self._fleet), self._run.end_s
        found = []
        for span in demand.needed:
            until_s = end_s if span.end is None else span.end.value
            times = served.t_s[(served.t_s > span.start.value) & (served.t_s < until_s)]
            edges = np.concatenate(([span.start.value], times, [until_s]))
            short = served.at(edges[:-1]) < span.replicas
            found += [(float(edges[i]), float(edges[i + 1])) for i in np.flatnonzero(short)]
        return found
