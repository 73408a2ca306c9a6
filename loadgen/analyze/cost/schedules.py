"""Finds what a perfect autoscaler would have cost for the requests of a run.

It knows the load in advance, and keeps enough requests of every window of the SLO attainment within their limits: it is
never slow for a minute and makes up for it later. Limits on other percentiles are checked over the whole run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from loadgen.analyze.attainment import MAX_WINDOWS, window_edges, window_length_s
from loadgen.analyze.cost.load import Load
from loadgen.analyze.cost.oracle import Goal, Schedule, perfect
from loadgen.analyze.cost.sentences import NO_LIMIT, Sentences, unknown
from loadgen.analyze.demand.capacity import LatencyLimit, Work, filled, within
from loadgen.analyze.demand.replay import Supply, replay
from loadgen.analyze.demand.replica import NO_WAITS, ReplicaModel, latency_limits
from loadgen.analyze.observed import Observed
from loadgen.analyze.results.cost import AlternativeKind, CostAlternative
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.base.display import rounded_duration

DEFAULT_SYNC_S = 15.0
"""Sync period of an autoscaler where the run has none: that of the HPA controller."""
MOST_REQUESTS = 500_000
"""The schedule of an autoscaler is not searched for more: it replays every request several times."""
MOST_PERIODS = 10_000
_MOST_STEPS = 400_000
"""Requests that may be replayed to improve one schedule."""


def perfect_autoscalers(
    run: Observed, fleet: Fleet, model: ReplicaModel | str, text: Sentences
) -> tuple[CostAlternative, ...]:
    """A perfect autoscaler whose replicas start at once, and one whose replicas take as long as those of the run."""
    kinds: tuple[AlternativeKind, ...] = ("perfect", "perfect_with_start_up")
    why = _why_not(run, model)
    if why is not None:
        return tuple(unknown(kind, why) for kind in kinds)
    assert not isinstance(model, str)
    search = _search(run, model)
    return tuple(
        unknown(kind, "the start-up of no replica was observed")
        if delay_s is None
        else _scheduled(kind, run, search, delay_s, text)
        for kind, delay_s in zip(kinds, (0.0, start_up(fleet)), strict=True)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """What the schedule of a perfect autoscaler is searched for.

    Attributes:
        load: The requests.
        work: Their service times.
        slots: Requests that a replica serves at once.
        limits: The limits for single requests.
        goal: How many requests of each window have to be within them.
        window_s: Length of a window.
    """

    load: Load
    work: Work
    slots: int
    limits: Sequence[LatencyLimit]
    goal: Goal
    window_s: float


def _why_not(run: Observed, model: ReplicaModel | str) -> str | None:
    if isinstance(model, str):
        return model
    if not model.slots_known:
        return NO_WAITS
    if not latency_limits(run.info.limits):
        return NO_LIMIT
    if run.requests.due.sum() > MOST_REQUESTS:
        return f"the run has more than {MOST_REQUESTS:,} requests"
    if run.end_s > MOST_PERIODS * _sync_s(run):
        return f"the run has more than {MOST_PERIODS:,} sync periods"
    return None


def _sync_s(run: Observed) -> float:
    scaler = run.info.autoscaler
    return scaler.sync_period_s if scaler and scaler.sync_period_s > 0 else DEFAULT_SYNC_S


def _search(run: Observed, model: ReplicaModel) -> _Search:
    """The requests, and what has to be kept.

    A request attains if its wait w keeps both w + prefill ≤ TTFT limit and w + service ≤ E2E limit, which is one limit
    on w + max(prefill, service + TTFT limit − E2E limit).
    """
    due = run.requests.due
    due_s = run.requests.scheduled_s[due]
    services = model.services
    work = filled(Work(service_s=services.service_s[due], prefill_s=services.prefill_s[due]), services.known[due])
    limits = _strictest(latency_limits(run.info.limits))
    limit_s = min(each.limit_s for each in limits)
    to_limit_s = np.max(
        [(work.prefill_s if each.metric == "ttft" else work.service_s) + limit_s - each.limit_s for each in limits],
        axis=0,
    )
    window_s = max(window_length_s(run.info), run.end_s / MAX_WINDOWS)
    start_s = min(run.warm_up_s, float(due_s[-1]))
    at_s = window_edges(due_s, start_s, max(run.end_s, float(due_s[-1])), window_s)
    at = [*np.searchsorted(due_s, at_s[:-1], side="left").tolist(), len(due_s)]
    goal = Goal(limit_s=limit_s, share=min(each.share for each in limits), windows=list(pairwise(at)))
    load = Load(arrival_s=due_s, service_s=work.service_s, first_token_s=to_limit_s)
    return _Search(load=load, work=work, slots=model.rates.slots, limits=limits, goal=goal, window_s=window_s)


def _strictest(limits: Sequence[LatencyLimit]) -> list[LatencyLimit]:
    """For each metric the limit on its highest percentile, which applies to single requests."""
    highest: dict[str, LatencyLimit] = {}
    for limit in sorted(limits, key=lambda each: each.share):
        highest[limit.metric] = limit
    return list(highest.values())


def start_up(fleet: Fleet) -> float | None:
    """Median time from the creation of a replica until it was ready; of those added under load, if there are any."""
    took = [
        (pod.created_s, pod.ready_s - pod.created_s)
        for pod in fleet.pods.values()
        if pod.created_s is not None and pod.ready_s is not None
    ]
    later = [seconds for created_s, seconds in took if created_s > 0] or [seconds for _, seconds in took]
    return float(np.median(later)) if later else None


def _scheduled(
    kind: AlternativeKind, run: Observed, search: _Search, start_up_s: float, text: Sentences
) -> CostAlternative:
    scaler = run.info.autoscaler
    found = perfect(
        search.load,
        search.slots,
        search.goal,
        begin_s=0.0,
        end_s=run.end_s,
        period_s=_sync_s(run),
        start_up_s=start_up_s,
        minimum=max(scaler.min_replicas, 1) if scaler else 1,
        most_steps=_MOST_STEPS,
    )
    singles = " and ".join(f"{each.metric.upper()} ≤ {each.limit_s:g} s" for each in search.limits)
    kept = f"{search.goal.share * 100:g} % of the requests of every {search.window_s:g} s within {singles}"
    if found is None:
        return unknown(kind, f"no number of replicas keeps {kept}")
    missed = _missed(run, search, found)
    after = "" if kind == "perfect" else f" whose replicas take {rounded_duration(start_up_s)} to start"
    conclusion = (
        f"A perfect autoscaler{after} would have cost {text.difference(found.replica_seconds)} and kept {kept}, by a "
        f"replay of this run"
    )
    if missed:
        conclusion += f"; it would have missed {' and '.join(missed)} over the whole run"
    return CostAlternative(
        kind=kind,
        replicas=max(found.replicas),
        start_up_s=start_up_s,
        charge=text.prices.charge(found.replica_seconds),
        least_replica_hours=found.least_replica_seconds / 3600.0,
        meets_limits=not missed,
        conclusion=f"{conclusion}.",
    )


def _missed(run: Observed, search: _Search, found: Schedule) -> list[str]:
    """The limits on latency that a schedule misses over the whole run, such as `TTFT p50 ≤ 0.5 s`."""
    due_s = search.load.arrival_s
    judged = np.flatnonzero(due_s >= min(run.warm_up_s, float(due_s[-1])))
    start_s = replay(due_s, search.work.service_s, _supply(found, search.slots))[judged]
    return [
        f"{each.metric.upper()} p{each.share * 100:g} ≤ {each.limit_s:g} s"
        for each in latency_limits(run.info.limits)
        if not within([each], due_s[judged], start_s, search.work.rows(judged))
    ]


def _supply(found: Schedule, slots: int) -> Supply:
    """The replicas of a schedule; the newest end first."""
    spans: list[tuple[float, float]] = []
    for number in range(max(found.replicas)):
        there = [count > number for count in found.replicas]
        for first, is_there in enumerate(there):
            if is_there and not (first and there[first - 1]):
                last = next((end for end in range(first, len(there)) if not there[end]), None)
                from_s = found.begin_s + first * found.period_s if first else -np.inf
                spans.append((from_s, np.inf if last is None else found.begin_s + last * found.period_s))
    starts_s, ends_s = (np.array(column) for column in zip(*spans, strict=True))
    return Supply(from_s=starts_s, until_s=ends_s, slots=slots)
