"""Builds the result of a run's demand: lags, what they did to requests, elasticity and the smallest fleet."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from loadgen.analyze.bounds import e2e_bounds, ttft_bounds
from loadgen.analyze.demand.attribution import attribution, following, shortages, smallest_fleet
from loadgen.analyze.demand.backlog import Backlog, backlog
from loadgen.analyze.demand.capacity import LatencyLimit, Work, filled
from loadgen.analyze.demand.chance import percentile_intervals
from loadgen.analyze.demand.elasticity import elasticity
from loadgen.analyze.demand.lag import lags, phase_s, with_phase
from loadgen.analyze.demand.need import Need
from loadgen.analyze.demand.replay import replay
from loadgen.analyze.demand.replica import NO_WAITS, ReplicaModel, latency_limits
from loadgen.analyze.demand.served import as_served, supply
from loadgen.analyze.observed import Bools, Floats, Observed
from loadgen.analyze.results import ScalingEvent, Span
from loadgen.analyze.results.demand import Demand, LevelLag, SmallestFleet
from loadgen.analyze.scaling.recovery import recovery_limit
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.analyze.stats import QUANTILES
from loadgen.dataset.names import EventKind

DEFAULT_STEP_S = 15.0
"""Time step of the instability without an autoscaler: the sync period of the HPA controller."""


@dataclass(frozen=True, slots=True)
class Assessed:
    """The demand of a run, when the requests were due that its lags made slow, and the backlog that they left."""

    demand: Demand
    slow_by_lag_s: Floats
    backlog: Backlog | None = None


def assess(
    run: Observed, fleet: Fleet, model: ReplicaModel | str, needed: Need | str, scaling: Sequence[ScalingEvent]
) -> Assessed:
    """Assess a run; without a model or a need, the result says why nothing is known."""
    if isinstance(model, str) or isinstance(needed, str):
        why = model if isinstance(model, str) else str(needed)
        return Assessed(Demand(why_missing=why), np.empty(0))
    if not model.slots_known:
        # One replica is enough even for the fewest slots that it may have, and that is all that is known.
        one = SmallestFleet(replicas=1, low=1, high=1)
        unknown = Demand(
            service_method=model.services.method,
            policy=model.rates.policy,
            rates=needed.rates,
            source=needed.source,
            smallest=None if latency_limits(run.info.limits) else one,
            why_missing=NO_WAITS,
        )
        return Assessed(unknown, np.empty(0))
    due = run.requests.due
    due_s = run.requests.scheduled_s[due]
    known = model.services.known[due]
    if not known.any():
        return Assessed(Demand(why_missing="no answered request was due"), np.empty(0))
    service_s, prefill_s = model.services.service_s[due], model.services.prefill_s[due]
    work = filled(Work(service_s=service_s, prefill_s=prefill_s), known)
    limit, slow = _slow(run)
    attributed, mask = None, np.zeros(len(due_s), dtype=np.bool_)
    scaler, slots, policy = run.info.autoscaler, model.rates.slots, model.rates.policy
    served = as_served(run, fleet, float(work.service_s.mean()), slots, policy)
    bounds = (scaler.min_replicas, scaler.max_replicas) if scaler else (1, None)
    ideal = following(needed.curve, max(bounds[0], 1), bounds[1], slots, policy)
    replays = limit is not None or any(event.direction == "up" for event in scaling)
    gone = None
    if replays:
        served_start_s, ideal_start_s = (replay(due_s, work.service_s, each) for each in (served, ideal))
        gone = backlog(served_start_s, ideal_start_s, work.service_s)
        if limit is not None:
            turns = len(served.from_s)
            lagged = [(start, gone.gone_s(end, turns) or np.inf) for start, end in shortages(served, ideal)]
            attributed, mask = attribution(due_s, work, slow, [limit], served_start_s, ideal_start_s, turns, lagged)
            mask = mask if attributed.conclusive else np.zeros(len(due_s), dtype=np.bool_)
    slow_ratio = None if limit is None else float(slow.mean())
    step_s = run.info.autoscaler.sync_period_s if run.info.autoscaler else DEFAULT_STEP_S
    served_curve = supply(fleet)
    level_lags = _lags(run, fleet, needed, scaling)
    demand = Demand(
        capacity=model.rates.capacity,
        service_method=model.services.method,
        slots=model.rates.slots,
        full_batch=model.full_batch,
        policy=model.rates.policy,
        rates=needed.rates,
        source=needed.source,
        needed=needed.spans,
        lags=level_lags,
        attribution=attributed,
        smallest=_smallest(run, model, needed, due_s, work),
        percentiles=percentile_intervals(run, due_s, work, served, needed.rate),
        elasticity_serving=elasticity(needed.curve, served_curve, run.end_s, step_s, slow_ratio),
        elasticity_billed=elasticity(needed.curve, fleet.billed, run.end_s, step_s, slow_ratio),
    )
    return Assessed(demand, due_s[mask], gone)


def until_backlog_gone(windows: Sequence[Span], slow_by_lag_s: Floats) -> tuple[Span, ...]:
    """Lag windows that last until the backlog of the lag was gone: the last request that it made slow was due.

    Args:
        windows: Lag windows, in order, each until the new replicas served.
        slow_by_lag_s: When the requests were due that the lag made slow.
    """
    longer = []
    for number, window in enumerate(windows):
        next_s = windows[number + 1].start_s if number + 1 < len(windows) else np.inf
        own = slow_by_lag_s[(slow_by_lag_s >= window.start_s) & (slow_by_lag_s < next_s)]
        end_s = max(window.end_s, float(own.max()) if len(own) else window.end_s)
        longer.append(Span(name=window.name, start_s=window.start_s, end_s=end_s))
    return tuple(longer)


def _slow(run: Observed) -> tuple[LatencyLimit | None, Bools]:
    """The limit for single requests, and which due requests exceeded it."""
    limit = recovery_limit(run.info.limits)
    if limit is None:
        return None, np.empty(0, dtype=np.bool_)
    values = ttft_bounds(run) if limit.metric == "ttft" else e2e_bounds(run)
    one = LatencyLimit(metric=limit.metric, share=QUANTILES[limit.statistic], limit_s=limit.limit)
    return one, values.broken(limit.limit)


def _lags(run: Observed, fleet: Fleet, needed: Need, scaling: Sequence[ScalingEvent]) -> tuple[LevelLag, ...]:
    """Lags of all levels; those that a scale-up answered with the phase of the HPA."""
    scaler = run.info.autoscaler
    found = lags(needed.spans, supply(fleet), run.end_s)
    if scaler is None:
        return found
    syncs = np.array([event.t_s for event in run.of_kind(EventKind.HPA_SYNC)])
    since: dict[int, float] = {}
    made = []
    for lag, span in zip(found, needed.spans, strict=True):
        until = run.end_s if span.end is None else span.end.value
        answer = next(
            (
                event
                for event in scaling
                if event.direction == "up"
                and event.before < span.replicas <= event.after
                and since.get(span.replicas, -np.inf) <= event.decided_s < until
            ),
            None,
        )
        since[span.replicas] = until
        over_s = answer.over_target_s if answer else None
        # A metric that was over its target since an earlier decision met the controller at no random moment.
        chance = over_s is not None and all(event.decided_s != over_s for event in scaling)
        phase = phase_s(over_s, syncs, scaler.sync_period_s) if chance and over_s is not None else None
        made.append(with_phase(lag, phase, scaler.sync_period_s))
    return tuple(made)


def _smallest(run: Observed, model: ReplicaModel, needed: Need, due_s: Floats, work: Work) -> SmallestFleet | None:
    """The smallest fixed fleet by replay; without a limit, the one that carries the highest offered rate."""
    limits = latency_limits(run.info.limits)
    if limits:
        return smallest_fleet(due_s, work, limits, model.rates.slots, model.rates.policy)
    capacity = model.rates.capacity
    most, low, high = (int(needed.highest_per_s // each) + 1 for each in (capacity.value, capacity.high, capacity.low))
    return SmallestFleet(replicas=most, low=low, high=high)
