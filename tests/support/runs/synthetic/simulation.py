"""Simulates a plan: request by request, with the queue of every replica and the autoscaler in a closed loop.

It uses none of the code that analyses runs, so that its results are independent of that code.
"""

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, inf
from typing import NamedTuple

import numpy as np

from support.runs.synthetic.plan import SCALE_DOWN_WINDOW_S, START_UP_S, SYNC_PERIOD_S, Plan
from support.runs.synthetic.replica import NETWORK_S, Floats, Replica, Request

FIRST_CREATED_S = -16.75
FIRST_SCRAPE_S = -16.94
FIRST_SYNC_S = -1.85
REACTION_S = 0.2
"""From a rescale until the pods are created, or begin to terminate."""


class Sample(NamedTuple):
    """One row of the table `samples`."""

    t_s: float
    signal: str
    pod: str
    value: float


class Sync(NamedTuple):
    """One pass of the autoscaler: replicas before and after, the mean ratio that it read, and what it proposed."""

    t_s: float
    before: int
    after: int
    ratio: float | None
    proposal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What happened in a run. All times are seconds from the start of the load.

    Attributes:
        requests: Every request that was due, in order.
        replicas: Every replica, in order of creation.
        syncs: Every pass of the autoscaler.
        samples: What scraping the replicas every second recorded.
        end_s: End of the load: the last response, or the operator's stop.
    """

    requests: tuple[Request, ...]
    replicas: tuple[Replica, ...]
    syncs: tuple[Sync, ...]
    samples: tuple[Sample, ...]
    end_s: float

    @property
    def rescales(self) -> tuple[Sync, ...]:
        """Passes that changed the number of replicas."""
        return tuple(sync for sync in self.syncs if sync.before != sync.after)

    def ratio(self, from_s: float, to_s: float) -> float:
        """Σ queue time / Σ compute time of the answered requests that finished in (from_s, to_s]; NaN without any."""
        finished = [r for r in self.requests if r.outcome == "ok" and from_s < r.tokens_s[-1] <= to_s]
        queue_s = sum(r.start_s - r.sent_s - NETWORK_S for r in finished)
        compute_s = sum(float(r.tokens_s[-1]) - r.start_s for r in finished)
        return queue_s / compute_s if compute_s else float("nan")


def simulate(plan: Plan) -> Truth:
    """Simulate a plan; the same plan always gives the same run."""
    return _Simulation(plan).run()


class _Simulation:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rng = np.random.default_rng(plan.seed)
        self.requests: list[Request] = []
        self.replicas: list[Replica] = []
        self.syncs: list[Sync] = []
        self.samples: list[Sample] = []
        self.ratios: dict[str, float] = {}
        self.turn = 0
        self.desired = plan.replicas[0]

    def run(self) -> Truth:
        plan = self.plan
        for number in range(plan.replicas[0]):
            self.create(FIRST_CREATED_S + 0.1 * number)
        stop_s = inf if plan.stop_at_s is None else plan.stop_at_s
        for t_s, what in self.schedule():
            if t_s > stop_s:
                break
            if what == "arrival":
                self.send(t_s)
            elif what == "scrape":
                self.scrape(t_s)
            elif what == "sync":
                self.sync(t_s)
            else:
                self.replicas[0].crash(t_s)
        if plan.stop_at_s is None:
            end_s = max([plan.load.length_s, *(request.ended_s for request in self.requests)])
        else:
            end_s = stop_s + 0.1
            for request in self.requests:
                if request.ended_s > stop_s:
                    request.end(stop_s + 0.05, "cut_off", "run stopped")
        return Truth(
            requests=tuple(self.requests),
            replicas=tuple(self.replicas),
            syncs=tuple(self.syncs),
            samples=tuple(self.samples),
            end_s=end_s,
        )

    def schedule(self) -> Iterator[tuple[float, str]]:
        """Arrivals, scrapes, passes of the autoscaler and crashes, in order of time."""
        plan = self.plan
        last_s = plan.load.length_s + plan.observed_s

        def every(first_s: float, period_s: float, what: str) -> Iterator[tuple[float, str]]:
            times = itertools.count(first_s, period_s)
            return ((t_s, what) for t_s in itertools.takewhile(lambda t_s: t_s < last_s, times))

        return heapq.merge(
            [(float(t_s), "arrival") for t_s in self.arrivals()],
            every(FIRST_SCRAPE_S, 1.0, "scrape"),
            every(FIRST_SYNC_S, SYNC_PERIOD_S, "sync") if plan.autoscaler else (),
            [] if plan.crash_at_s is None else [(plan.crash_at_s, "crash")],
        )

    def arrivals(self) -> Floats:
        """A non-homogeneous Poisson process by thinning."""
        load, peak_per_s = self.plan.load, self.plan.peak_per_s
        count = int(self.rng.poisson(peak_per_s * load.length_s))
        times = np.sort(self.rng.uniform(0, load.length_s, count))
        return times[self.rng.uniform(0, peak_per_s, count) < load.at(times)]

    def create(self, t_s: float) -> None:
        letters = "bcdfghjklmnpqrstvwxz2456789"
        tail = "".join(letters[i] for i in self.rng.integers(0, len(letters), 5))
        ready_s = t_s + START_UP_S
        self.replicas.append(
            Replica(
                name=f"triton-7d9f64c5b8-{tail}",
                slots=self.plan.slots,
                waits_in=self.plan.waits_in,
                created_s=t_s,
                started_s=ready_s - 1.6,
                ready_s=ready_s,
            )
        )

    def send(self, due_s: float) -> None:
        plan, rng = self.plan, self.rng
        request = Request(
            number=len(self.requests),
            due_s=due_s,
            sent_s=due_s + plan.send_lag_s + float(rng.exponential(0.0008)),
            input_tokens=int(rng.integers(32, 257)),
            max_tokens=int(rng.integers(16, 65)),
        )
        self.requests.append(request)
        chance = float(rng.random())
        steps_s = plan.step_s * rng.uniform(0.85, 1.2, request.max_tokens)
        steps_s[0] = plan.prefill_s + request.input_tokens * 1e-4
        reached = self.replicas[: plan.replicas[0]] if plan.unreached else self.replicas
        ready = [replica for replica in reached if replica.is_ready(request.sent_s)]
        if not ready:
            request.end(request.sent_s + 0.004, "rejected", "UNAVAILABLE: no healthy upstream")
            return
        self.turn += 1
        replica = ready[self.turn % len(ready)]
        if chance < plan.failing_ratio:
            replica.failure += 1
            if chance < plan.failing_ratio / 2:
                request.end(request.sent_s + 0.006, "rejected", "UNAVAILABLE: exceeds maximum queue size")
            else:
                request.end(request.sent_s + 0.3, "error", "empty answer")
            return
        replica.serve(request, steps_s)

    def scrape(self, t_s: float) -> None:
        plan = self.plan
        evaluated = round(t_s - FIRST_SCRAPE_S) % plan.rule_every_s == 0
        self.ratios = {} if evaluated else self.ratios
        hidden = plan.gap_s is not None and plan.gap_s[0] <= t_s < plan.gap_s[1]
        for replica in self.replicas:
            if not replica.ready_s <= t_s < replica.stopped_s:
                continue
            if replica.is_down(t_s):
                values: dict[str, float | None] = {"up": 0.0}
            else:
                ratio = replica.scrape(t_s, plan.rule, plan.rule_floor)
                if not evaluated or t_s < replica.ready_s + plan.rule_from_s:
                    ratio = None
                if plan.blind and ratio is not None:
                    ratio = 0.0
                if replica.is_ready(t_s) and ratio is not None:
                    self.ratios[replica.name] = ratio
                values = self.values(replica, t_s, ratio)
                if plan.counters_gap_s is not None and plan.counters_gap_s[0] <= t_s < plan.counters_gap_s[1]:
                    values = {signal: value for signal, value in values.items() if not signal.startswith("raw_")}
            if not hidden:
                named = ((signal, value) for signal, value in values.items() if value is not None)
                self.samples += [Sample(t_s, signal, replica.name, value) for signal, value in named]

    def values(self, replica: Replica, t_s: float, ratio: float | None) -> dict[str, float | None]:
        """What one scrape records of a replica; without an autoscaler there is no Prometheus, only its own page."""
        active, waiting = replica.active(t_s), replica.waiting(t_s)
        inside = waiting if self.plan.waits_in == "engine" else 0
        recorded = {
            "up": 1.0,
            "ratio": ratio,
            "engine_active": float(active),
            "engine_waiting": float(inside),
            "kv_used_ratio": 0.15 * active,
        }
        others = {"raw_other_queue_us": replica.other_queue_us, "raw_other_compute_us": replica.other_compute_us}
        return (
            (recorded if self.plan.autoscaler else {})
            | (others if self.plan.other_model else {})
            | {
                "raw_queue_us": replica.queue_us,
                "raw_compute_us": replica.compute_us,
                "raw_success": float(replica.success),
                "raw_failure": float(replica.failure),
                "raw_pending": float(waiting - inside),
            }
        )

    def sync(self, t_s: float) -> None:
        """One pass of the HPA: proposal, scale-down window, decision."""
        (low, high), target, current = self.plan.replicas, self.plan.ratio_target, self.desired
        ratios = [self.ratios[each.name] for each in self.replicas if each.is_ready(t_s) and each.name in self.ratios]
        ratio = float(np.mean(ratios)) if ratios else None
        proposal = current
        if ratio is not None:
            # On the way up, replicas that are still starting count as 0.
            counted = ratio * len(ratios) / current if ratio > target else ratio
            if counted < 0.9 * target or counted > 1.1 * target:
                proposal = ceil(counted / target * current)
        proposal = min(max(proposal, low), high, max(2 * current, 4))
        recent = [sync.proposal for sync in self.syncs if sync.t_s > t_s - SCALE_DOWN_WINDOW_S]
        self.desired = proposal if proposal > current else min(current, max([*recent, proposal]))
        self.syncs.append(Sync(t_s, current, self.desired, ratio, proposal))
        for _ in range(self.desired - current):
            self.create(t_s + REACTION_S)
        running = [replica for replica in self.replicas if replica.draining_s == inf]
        for replica in running[self.desired :]:
            replica.drain(t_s + REACTION_S, cut=self.plan.cut_on_drain)
