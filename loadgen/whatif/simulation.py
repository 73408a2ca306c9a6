"""Simulates a load, the replicas that serve it and the HPA that scales them, in a closed loop."""

import functools
import itertools
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from math import ceil, inf

import numpy as np

from loadgen.autoscale.hpa import reconcile
from loadgen.autoscale.spec import DEFAULT_CONTROLLER, ControllerSettings, HpaSpec
from loadgen.autoscale.state import HpaStatus, Memory, PodState, ScaleState
from loadgen.whatif.metrics import Metrics, readings
from loadgen.whatif.model import Floats, Load, MetricPath, Replicas
from loadgen.whatif.replica import Replica, Starts

_RATIO = Metrics()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """One sync of the HPA: the desired replicas before and after, and the average in milli that it used, if any."""

    t_s: float
    before: int
    after: int
    metric_milli: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """What happened.

    Attributes:
        start_s: When a slot took each request, in order of arrival; infinity if it gave up, or no replica was ready.
        first_token_s: When its first token came; infinity without one.
        replica: The replica that got each request, -1 if none was ready.
        replicas: All replicas in order of creation.
        syncs: All syncs of the HPA.
        end_s: End of the simulation.
    """

    start_s: Floats
    first_token_s: Floats
    replica: np.ndarray
    replicas: tuple[Replica, ...]
    syncs: tuple[Sync, ...]
    end_s: float

    def replica_seconds(self, from_s: float, to_s: float) -> float:
        """Σ over replicas of the time from their creation until they are gone, within a span."""
        spans = ((max(each.created_s, from_s), min(each.gone_s, to_s)) for each in self.replicas)
        return sum(max(end_s - start_s, 0.0) for start_s, end_s in spans)


def simulate(
    load: Load,
    replicas: Replicas,
    path: MetricPath,
    spec: HpaSpec | None,
    *,
    initial: int,
    begin_s: float,
    end_s: float,
    metrics: Metrics = _RATIO,
    controller: ControllerSettings = DEFAULT_CONTROLLER,
) -> Simulated:
    """Simulate a load; the same arguments always give the same result.

    Args:
        load: The requests.
        replicas: How replicas start and serve.
        path: How the metrics get to the HPA.
        spec: The HPA; None for a fixed number of replicas.
        initial: Replicas that are ready from the beginning.
        begin_s: First time at which anything is scraped or decided.
        end_s: Last time; requests that run then still finish.
        metrics: What the metrics of the HPA measure.
        controller: Flags of the HPA controller.

    Raises:
        ValueError: it is not known what each metric of the HPA measures.
    """
    if spec is not None and len(spec.metrics) != len(metrics.signals):
        raise ValueError(f"the HPA has {len(spec.metrics)} metrics, and {len(metrics.signals)} are described")
    return _Simulation(load, replicas, path, spec, metrics, initial, begin_s, end_s, controller).run()


class _Simulation:
    def __init__(
        self,
        load: Load,
        replicas: Replicas,
        path: MetricPath,
        spec: HpaSpec | None,
        metrics: Metrics,
        initial: int,
        begin_s: float,
        end_s: float,
        controller: ControllerSettings,
    ) -> None:
        self._load, self._settings, self._path, self._spec = load, replicas, path, spec
        self._metrics, self._controller = metrics, controller
        self._starts = Starts(len(load))
        self._arrivals, self._services = load.arrival_s.tolist(), load.service_s.tolist()
        self._numbers = np.full(len(load), -1)
        self._begin_s, self._end_s = begin_s, end_s
        self._desired = initial
        self._memory, self._status = Memory(), HpaStatus()
        self._replicas: list[Replica] = []
        self._active: list[Replica] = []
        self._syncs: list[Sync] = []
        self._turn = self._position = 0
        for _ in range(initial):
            self._add(created_s=begin_s, running_s=begin_s, ready_s=begin_s)

    def run(self) -> Simulated:
        path = self._path
        scrapes = _times(path.scrape_offset_s, path.scrape_s, self._begin_s, self._end_s)
        syncs = _times(path.sync_offset_s, path.sync_s, self._begin_s, self._end_s) if self._spec else []
        # a choice by the requests in flight advances the replicas, so it has to wait for the scrape before
        stops = scrapes if self._settings.routing == "least_requests" else []
        steps = sorted([*((t_s, True) for t_s in syncs), *((t_s, False) for t_s in (*stops, self._end_s))])
        position, since_s = 0, self._begin_s
        for at_s, to_sync in steps:
            self._route(since_s, at_s)
            end = bisect_right(scrapes, at_s, position)
            for each in self._active:
                each.scrape(scrapes[position:end])
            position, since_s = end, at_s
            if to_sync:
                self._sync(at_s)
        for each in self._active:
            each.advance(inf)
        start_s = np.array(self._starts.at_s)
        return Simulated(
            start_s=start_s,
            first_token_s=start_s + self._load.first_token_s * np.array(self._starts.pace),
            replica=self._numbers,
            replicas=tuple(self._replicas),
            syncs=tuple(self._syncs),
            end_s=self._end_s,
        )

    def _route(self, since_s: float, until_s: float) -> None:
        """Hand the requests of a span to the replicas; what a sync decides comes later than the sync."""
        changes = {each.ready_s for each in self._active} | {each.draining_s for each in self._active}
        choose = self._least_requests if self._settings.routing == "least_requests" else self._round_robin
        for end_s in [*sorted(each_s for each_s in changes if since_s < each_s < until_s), until_s]:
            end = bisect_left(self._arrivals, end_s, self._position)
            ready = [each for each in self._active if each.ready_s < end_s <= each.draining_s]
            if ready and self._position < end:
                choose(ready, self._position, end)
            self._position = end

    def _sync(self, now_s: float) -> None:
        assert self._spec is not None
        for each in self._active:
            if each.draining_s <= now_s:
                each.advance(now_s)
        self._active = [each for each in self._active if each.gone_s > now_s]
        there = [each for each in self._active if each.created_s <= now_s]
        staying = [each for each in there if each.draining_s > now_s]
        before = self._desired
        decision = reconcile(
            self._spec,
            now_s=now_s,
            scale=ScaleState(spec_replicas=before, status_replicas=len(staying)),
            pods=[
                _pod(each.name, each.running_s <= now_s, each.ready_s <= now_s, each.draining_s <= now_s)
                for each in there
            ],
            readings=readings(self._spec, self._metrics, staying, now_s),
            memory=self._memory,
            status=self._status,
            controller=self._controller,
        )
        self._memory, self._status = decision.memory, decision.status
        after = before if decision.replicas is None else decision.replicas
        metric_milli = decision.proposals[0].current_milli if decision.proposals else None
        self._syncs.append(Sync(t_s=now_s, before=before, after=after, metric_milli=metric_milli))
        self._scale(after, now_s + self._settings.create_s)

    def _scale(self, desired: int, at_s: float) -> None:
        settings = self._settings
        running_s, added = at_s + settings.pending_s, desired - self._desired
        loading = added + sum(each.ready_s > running_s and each.draining_s == inf for each in self._active)
        for _ in range(added):
            load_s = settings.loads_s[min(loading, len(settings.loads_s)) - 1]
            self._add(created_s=at_s, running_s=running_s, ready_s=running_s + load_s)
        if desired < self._desired:
            # as a ReplicaSet: those that are not ready first, then those that became ready last
            staying = sorted(
                (each for each in self._active if each.draining_s == inf), key=lambda each: (each.ready_s, each.number)
            )
            for replica in staying[desired:]:
                replica.draining_s = at_s
        self._desired = desired

    def _add(self, *, created_s: float, running_s: float, ready_s: float) -> None:
        replica = Replica(
            len(self._replicas),
            self._settings,
            self._path,
            self._starts,
            created_s=created_s,
            running_s=running_s,
            ready_s=ready_s,
        )
        self._replicas.append(replica)
        self._active.append(replica)

    def _round_robin(self, ready: list[Replica], position: int, end: int) -> None:
        count = len(ready)
        for number, replica in enumerate(ready):
            mine = slice(position + (number - self._turn - 1) % count, end, count)
            self._numbers[mine] = replica.number
            rows = range(mine.start, end, count)
            replica.take(zip(rows, self._arrivals[mine], self._services[mine], strict=True))
        self._turn += end - position

    def _least_requests(self, ready: list[Replica], position: int, end: int) -> None:
        for row in range(position, end):
            at_s = self._arrivals[row]
            self._turn += 1
            turned = ready[self._turn % len(ready) :] + ready[: self._turn % len(ready)]
            replica = min(turned, key=lambda each: each.in_flight(at_s))
            self._numbers[row] = replica.number
            replica.take([(row, at_s, self._services[row])])


@functools.lru_cache(maxsize=1024)
def _pod(name: str, running: bool, ready: bool, deleting: bool) -> PodState:
    return PodState(
        name=name, phase="Running" if running else "Pending", ready="True" if ready else "False", deleting=deleting
    )


def _times(offset_s: float, period_s: float, begin_s: float, end_s: float) -> list[float]:
    """The multiples of a period, from an offset, within a span."""
    first = ceil((begin_s - offset_s) / period_s)
    times = (offset_s + number * period_s for number in itertools.count(first))
    return list(itertools.takewhile(lambda t_s: t_s < end_s, times))
