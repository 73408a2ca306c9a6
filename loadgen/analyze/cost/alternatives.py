"""Finds what other fleets would have cost for the requests of a run, and whether a replay of it keeps the limits."""

from loadgen.analyze.cost.pricing import Prices
from loadgen.analyze.cost.schedules import perfect_autoscalers
from loadgen.analyze.cost.sentences import NO_LIMIT, Sentences, Used, known, limits_text, unknown
from loadgen.analyze.demand.replica import ReplicaModel, latency_limits
from loadgen.analyze.observed import Observed
from loadgen.analyze.results.cost import AlternativeKind, CostAlternative
from loadgen.analyze.results.demand import Demand
from loadgen.analyze.scaling.replicas import Fleet


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
    text = Sentences(used, prices, limits_text(latency_limits(run.info.limits)))
    return (
        _smallest(demand, text),
        _static_peak(demand, text),
        *perfect_autoscalers(run, fleet, model, text),
    )


def _smallest(demand: Demand, text: Sentences) -> CostAlternative:
    kind: AlternativeKind = "smallest_fixed_fleet"
    smallest = demand.smallest
    if smallest is None:
        return unknown(kind, demand.why_missing or f"no fixed fleet keeps {text.limits}")
    seconds = text.fixed_s(smallest.replicas)
    cost = f"A fixed fleet of {smallest.replicas} would have cost {text.difference(seconds)}"
    unexplained = _unexplained(demand)
    if not text.limits:
        return known(
            kind, seconds, text, f"{cost} and carried the highest offered rate; {NO_LIMIT}.", smallest.replicas
        )
    if unexplained:
        conclusion = f"{cost}; whether it would have met {text.limits} is not known: {unexplained}."
        return known(kind, seconds, text, conclusion, smallest.replicas)
    conclusion = f"{cost} and met {text.limits}{text.missed}, by a replay of this run"
    if smallest.high > smallest.replicas:
        conclusion += f" (95 % interval: {smallest.low} to {smallest.high} replicas"
        undecided = text.cheaper(seconds) and not text.cheaper(text.fixed_s(smallest.high))
        conclusion += ", so which of the two is cheaper is too close to call)" if undecided else ")"
    return known(kind, seconds, text, f"{conclusion}.", smallest.replicas, meets=True)


def _static_peak(demand: Demand, text: Sentences) -> CostAlternative:
    replicas = text.used.static_replicas
    seconds = text.fixed_s(replicas)
    smallest = demand.smallest
    meets: bool | None = None
    if smallest is not None and text.limits and not _unexplained(demand):
        meets = True if replicas >= smallest.high else False if replicas < smallest.low else None
    result = {True: f" and met {text.limits}", False: f" and missed {text.limits}", None: ""}[meets]
    how = ", by a replay of this run" if meets is not None else ""
    conclusion = f"A fleet fixed at the peak of {replicas} would have cost {text.difference(seconds)}{result}{how}."
    return known("static_peak", seconds, text, conclusion, replicas, meets=meets)


def _unexplained(demand: Demand) -> str | None:
    """Why a replay of the run does not tell whether a fleet keeps the limits; None if it does."""
    found = demand.attribution
    if found is None or found.conclusive:
        return None
    return f"the replay does not explain {found.unexplained} of {found.slow} slow requests"
