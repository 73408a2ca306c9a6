"""Finds what other fleets would have cost for the requests of a run, and whether a replay of it keeps the limits.

Fixed fleets keep the limits over the whole run. Autoscalers keep them in every window of the SLO attainment: no such
fleet is slow for a minute and makes up for it later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from loadgen.analyze.attainment import MAX_WINDOWS, window_edges, window_length_s
from loadgen.analyze.cost.load import Load
from loadgen.analyze.cost.oracle import Goal, Schedule, perfect
from loadgen.analyze.cost.pricing import Prices
from loadgen.analyze.demand.capacity import LatencyLimit, Work, filled
from loadgen.analyze.demand.replica import NO_WAITS, ReplicaModel, latency_limits
from loadgen.analyze.observed import Observed
from loadgen.analyze.results.cost import AlternativeKind, CostAlternative
from loadgen.analyze.results.demand import Demand
from loadgen.analyze.scaling.replicas import Fleet

DEFAULT_SYNC_S = 15.0
"""Sync period of an autoscaler where the run has none: that of the HPA controller."""
MOST_REQUESTS = 500_000
"""The schedule of an autoscaler is not searched for more: it replays every request several times."""
MOST_PERIODS = 10_000
_MOST_STEPS = 400_000
"""Requests that may be replayed to improve one schedule."""
_NO_LIMIT = "no limit on TTFT or E2E is set"


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What the run itself used.

    Attributes:
        replica_seconds: Its replica-seconds.
        length_s: Length of its load.
        static_replicas: Most replicas desired at once.
        met: Whether it met its limits on TTFT and E2E; None if that is unknown, or if there are none.
    """

    replica_seconds: float
    length_s: float
    static_replicas: int
    met: bool | None


def alternatives(
    run: Observed, fleet: Fleet, model: ReplicaModel | str, demand: Demand, used: Used, prices: Prices
) -> tuple[CostAlternative, ...]:
    """The smallest fixed fleet, the static peak, and perfect autoscalers with and without start-up time.

    Args:
        run: The run.
        fleet: Its replicas.
        model: The model of one replica, or why there is none.
        demand: What the load needed.
        used: What the run used.
        prices: What a replica costs.
    """
    text = _Sentences(used, prices, _limits_text(latency_limits(run.info.limits)))
    return (
        _smallest(demand, text),
        _static_peak(demand, text),
        *_perfect(run, fleet, model, text),
    )


class _Sentences:
    """Sentences that compare a fleet with the run."""

    def __init__(self, used: Used, prices: Prices, limits: str) -> None:
        self.used, self.prices, self.limits = used, prices, limits
        self.missed = f", which this run missed{'' if limits else ' its limits'}" if used.met is False else ""

    def fixed_s(self, replicas: int) -> float:
        """Replica-seconds of a fixed fleet."""
        return replicas * self.used.length_s

    def difference(self, replica_seconds: float) -> str:
        """Such as `31 % less (0.052 GPU-hours)`, against the run."""
        saved = self.used.replica_seconds - replica_seconds
        share = abs(saved) / self.used.replica_seconds if self.used.replica_seconds else 0.0
        if share < 0.005:
            return "as much"
        amount = self.prices.text(self.prices.charge(abs(saved)))
        return f"{share * 100:.{0 if share >= 0.0995 else 1}f} % {'less' if saved > 0 else 'more'} ({amount})"

    def cheaper(self, replica_seconds: float) -> bool:
        """Whether it costs less than the run."""
        return replica_seconds < self.used.replica_seconds


def _limits_text(limits: Sequence[LatencyLimit]) -> str:
    names = sorted({limit.metric.upper() for limit in limits}, reverse=True)
    return f"the {'limit' if len(limits) == 1 else 'limits'} on {' and '.join(names)}" if names else ""


def _smallest(demand: Demand, text: _Sentences) -> CostAlternative:
    kind: AlternativeKind = "smallest_fixed_fleet"
    smallest = demand.smallest
    if smallest is None:
        return _unknown(kind, demand.why_missing or f"no fixed fleet keeps {text.limits}")
    seconds = text.fixed_s(smallest.replicas)
    cost = f"A fixed fleet of {smallest.replicas} would have cost {text.difference(seconds)}"
    unexplained = _unexplained(demand)
    if not text.limits:
        return _known(
            kind, seconds, text, f"{cost} and carried the highest offered rate; {_NO_LIMIT}.", smallest.replicas
        )
    if unexplained:
        conclusion = f"{cost}; whether it would have met {text.limits} is not known: {unexplained}."
        return _known(kind, seconds, text, conclusion, smallest.replicas)
    conclusion = f"{cost} and met {text.limits}{text.missed}, by a replay of this run"
    if smallest.high > smallest.replicas:
        conclusion += f" (95 % interval: {smallest.low} to {smallest.high} replicas"
        undecided = text.cheaper(seconds) and not text.cheaper(text.fixed_s(smallest.high))
        conclusion += ", so which of the two is cheaper is too close to call)" if undecided else ")"
    return _known(kind, seconds, text, f"{conclusion}.", smallest.replicas, meets=True)


def _static_peak(demand: Demand, text: _Sentences) -> CostAlternative:
    replicas = text.used.static_replicas
    seconds = text.fixed_s(replicas)
    smallest = demand.smallest
    meets: bool | None = None
    if smallest is not None and text.limits and not _unexplained(demand):
        meets = True if replicas >= smallest.high else False if replicas < smallest.low else None
    result = {True: f" and met {text.limits}", False: f" and missed {text.limits}", None: ""}[meets]
    how = ", by a replay of this run" if meets is not None else ""
    conclusion = f"A fleet fixed at the peak of {replicas} would have cost {text.difference(seconds)}{result}{how}."
    return _known("static_peak", seconds, text, conclusion, replicas, meets=meets)


def _unexplained(demand: Demand) -> str | None:
    """Why a replay of the run does not tell whether a fleet keeps the limits; None if it does."""
    found = demand.attribution
    if found is None or found.conclusive:
        return None
    return f"the replay does not explain {found.unexplained} of {found.slow} slow requests"


def _perfect(run: Observed, fleet: Fleet, model: ReplicaModel | str, text: _Sentences) -> tuple[CostAlternative, ...]:
    kinds: tuple[AlternativeKind, ...] = ("perfect", "perfect_with_start_up")
    why = _why_not(run, model)
    if why is not None:
        return tuple(_unknown(kind, why) for kind in kinds)
    assert not isinstance(model, str)
    load, goal, window_s = _load_and_goal(run, model)
    start_up_s = start_up(fleet)
    return tuple(
        _unknown(kind, "the start-up of no replica was observed")
        if delay_s is None
        else _scheduled(kind, run, load, model.rates.slots, goal, delay_s, window_s, text)
        for kind, delay_s in zip(kinds, (0.0, start_up_s), strict=True)
    )


def _why_not(run: Observed, model: ReplicaModel | str) -> str | None:
    if isinstance(model, str):
        return model
    if not model.slots_known:
        return NO_WAITS
    if not latency_limits(run.info.limits):
        return _NO_LIMIT
    if run.requests.due.sum() > MOST_REQUESTS:
        return f"the run has more than {MOST_REQUESTS:,} requests"
    if run.end_s > MOST_PERIODS * _sync_s(run):
        return f"the run has more than {MOST_PERIODS:,} sync periods"
    return None


def _sync_s(run: Observed) -> float:
    scaler = run.info.autoscaler
    return scaler.sync_period_s if scaler and scaler.sync_period_s > 0 else DEFAULT_SYNC_S


def _load_and_goal(run: Observed, model: ReplicaModel) -> tuple[Load, Goal, float]:
    """The requests, what has to be kept, and the length of its windows.

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
    return Load(arrival_s=due_s, service_s=work.service_s, first_token_s=to_limit_s), goal, window_s


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
    kind: AlternativeKind,
    run: Observed,
    load: Load,
    slots: int,
    goal: Goal,
    start_up_s: float,
    window_s: float,
    text: _Sentences,
) -> CostAlternative:
    scaler = run.info.autoscaler
    found = perfect(
        load,
        slots,
        goal,
        begin_s=0.0,
        end_s=run.end_s,
        period_s=_sync_s(run),
        start_up_s=start_up_s,
        minimum=max(scaler.min_replicas, 1) if scaler else 1,
        most_steps=_MOST_STEPS,
    )
    if found is None:
        return _unknown(kind, f"no number of replicas keeps {text.limits} in every window of {window_s:g} s")
    after = "" if kind == "perfect" else f" whose replicas take {start_up_s:.0f} s to start"
    return CostAlternative(
        kind=kind,
        replicas=max(found.replicas),
        start_up_s=start_up_s,
        charge=text.prices.charge(found.replica_seconds),
        least_replica_hours=found.least_replica_seconds / 3600.0,
        meets_limits=True,
        conclusion=_conclusion(found, after, window_s, text),
    )


def _conclusion(found: Schedule, after: str, window_s: float, text: _Sentences) -> str:
    kept = f"kept {text.limits} in every window of {window_s:g} s"
    return (
        f"A perfect autoscaler{after} would have cost {text.difference(found.replica_seconds)} and {kept}, by a replay "
        f"of this run."
    )


def _known(
    kind: AlternativeKind,
    replica_seconds: float,
    text: _Sentences,
    conclusion: str,
    replicas: int,
    *,
    meets: bool | None = None,
) -> CostAlternative:
    return CostAlternative(
        kind=kind,
        replicas=replicas,
        charge=text.prices.charge(replica_seconds),
        meets_limits=meets,
        conclusion=conclusion,
    )


def _unknown(kind: AlternativeKind, why: str) -> CostAlternative:
    names = {
        "smallest_fixed_fleet": "What the smallest fixed fleet would have cost",
        "static_peak": "What the static peak would have cost",
        "perfect": "What a perfect autoscaler would have cost",
        "perfect_with_start_up": "What a perfect autoscaler with start-up time would have cost",
    }
    return CostAlternative(kind=kind, why_missing=why, conclusion=f"{names[kind]} is not known, because {why}.")
