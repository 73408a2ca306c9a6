"""Simulates a load, the replicas that serve it and the HPA that scales them, in a closed loop."""

import heapq
import itertools
from collections.abc import Callable, Iterator
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
        self._pace, self._starts = replicas.pace, Starts(len(load))
        self._begin_s, self._end_s = begin_s, end_s
        self._desired = initial
        self._memory, self._status = Memory(), HpaStatus()
        self._replicas: list[Replica] = []
        self._active: list[Replica] = []
        self._syncs: list[Sync] = []
        self._turn = 0
        self._since_s = begin_s
        for _ in range(initial):
            self._add(created_s=begin_s, running_s=begin_s, ready_s=begin_s)

    def run(self) -> Simulated:
        arrivals, services = self._load.arrival_s.tolist(), self._load.service_s.tolist()
        numbers = [-1] * len(arrivals)
        choose = self._least_requests if self._settings.routing == "least_requests" else self._round_robin
        position, count = 0, len(arrivals)
        for until_s, act in self._spans():
            ready = [each for each in self._active if each.ready_s < until_s <= each.draining_s]
            while position < count and arrivals[position] < until_s:
                if ready:
                    at_s = arrivals[position]
                    replica = choose(ready, at_s)
                    numbers[position] = replica.number
                    replica.serve(position, at_s, services[position])
                position += 1
            if act is not None:
                act(until_s)
        for each in self._active:
            each.advance(inf)
        start_s = np.array(self._starts.at_s)
        return Simulated(
            start_s=start_s,
            first_token_s=start_s + self._load.first_token_s * np.array(self._starts.pace),
            replica=np.array(numbers, dtype=np.int64),
            replicas=tuple(self._replicas),
            syncs=tuple(self._syncs),
            end_s=self._end_s,
        )

    def _spans(self) -> Iterator[tuple[float, Callable[[float], None] | None]]:
        """The ends of spans in which the same replicas are ready, with what happens at each."""
        path = self._path
        scrapes = _times(path.scrape_offset_s, path.scrape_s, self._begin_s, self._end_s)
        syncs = _times(path.sync_offset_s, path.sync_s, self._begin_s, self._end_s) if self._spec else iter(())
        planned = heapq.merge(((t_s, 0) for t_s in scrapes), ((t_s, 1) for t_s in syncs))
        for at_s, kind in [*planned, (self._end_s, 2)]:
            # what a sync decides comes later than the sync, so that all changes before `at_s` are known
            changes = {each.ready_s for each in self._active} | {each.draining_s for each in self._active}
            yield from ((change_s, None) for change_s in sorted(changes) if self._since_s < change_s < at_s)
            self._since_s = at_s
            yield at_s, (self._scrape, self._sync, None)[kind]

    def _scrape(self, now_s: float) -> None:
        for replica in self._active:
            if replica.ready_s <= now_s:
                replica.scrape(now_s, self._path.window_s, self._path.rule_after_s)
        self._active = [each for each in self._active if each.gone_s > now_s]

    def _sync(self, now_s: float) -> None:
        assert self._spec is not None
        for each in self._active:
            if each.ready_s <= now_s:
                each.advance(now_s)
        there = [each for each in self._active if each.created_s <= now_s < each.gone_s]
        staying = [each for each in there if each.draining_s > now_s]
        before = self._desired
        decision = reconcile(
            self._spec,
            now_s=now_s,
            scale=ScaleState(spec_replicas=before, status_replicas=len(staying)),
            pods=[self._pod(each, now_s) for each in there],
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

    def _pod(self, replica: Replica, now_s: float) -> PodState:
        return PodState(
            name=replica.name,
            phase="Running" if replica.running_s <= now_s else "Pending",
            ready="True" if replica.ready_s <= now_s else "False",
            deleting=replica.draining_s <= now_s,
        )

    def _scale(self, desired: int, at_s: float) -> None:
        settings = self._settings
        for _ in range(desired - self._desired):
            running_s = at_s + settings.pending_s
            self._add(created_s=at_s, running_s=running_s, ready_s=running_s + settings.load_s)
        if desired < self._desired:
            # as a ReplicaSet: those that are not ready first, then those that became ready last
            staying = sorted(
                (each for each in self._active if each.draining_s == inf), key=lambda each: (each.ready_s, each.number)
            )
            for replica in staying[desired:]:
                replica.draining_s = at_s
        self._desired = desired

    def _add(self, *, created_s: float, running_s: float, ready_s: float) -> None:
        timeout_s = inf if self._settings.timeout_s is None else self._settings.timeout_s
        replica = Replica(
            len(self._replicas),
            self._pace,
            timeout_s,
            self._starts,
            created_s=created_s,
            running_s=running_s,
            ready_s=ready_s,
            stop_s=self._settings.stop_s,
        )
        self._replicas.append(replica)
        self._active.append(replica)

    def _round_robin(self, ready: list[Replica], now_s: float) -> Replica:
        self._turn += 1
        return ready[self._turn % len(ready)]

    def _least_requests(self, ready: list[Replica], now_s: float) -> Replica:
        self._turn += 1
        turned = ready[self._turn % len(ready) :] + ready[: self._turn % len(ready)]
        return min(turned, key=lambda each: each.in_flight(now_s))


def _times(offset_s: float, period_s: float, begin_s: float, end_s: float) -> Iterator[float]:
    """The multiples of a period, from an offset, within a span."""
    first = ceil((begin_s - offset_s) / period_s)
    times = (offset_s + number * period_s for number in itertools.count(first))
    return itertools.takewhile(lambda t_s: t_s < end_s, times)
