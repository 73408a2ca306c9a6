"""Computes what a run cost, in replica-seconds, GPU-hours and money, and compares it with other fleets."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from loadgen.analyze.cost.alternatives import alternatives
from loadgen.analyze.cost.pricing import Prices
from loadgen.analyze.cost.sentences import Used
from loadgen.analyze.demand.replica import ReplicaModel
from loadgen.analyze.findings.codes import SLO_METRICS
from loadgen.analyze.observed import Observed
from loadgen.analyze.results.attainment import Attainment
from loadgen.analyze.results.cost import Cost, CostAlternative, UnitCost
from loadgen.analyze.results.demand import Demand
from loadgen.analyze.results.finding import Finding
from loadgen.analyze.scaling.replicas import Fleet

_UNKNOWN = Cost(
    replica_seconds=None,
    static_replicas=None,
    static_replica_seconds=None,
    of_static_ratio=None,
    mean_replicas=None,
)


def cost(
    run: Observed,
    fleet: Fleet,
    demand: Demand,
    *,
    model: ReplicaModel | str = "the service times are not known",
    attained: Attainment | None = None,
    met: bool | None = None,
    prices: Prices | None = None,
    chunks: bool = False,
) -> Cost:
    """Compute the cost during the load; unknown without a load or without replica events.

    The static peak has the most replicas that were desired at once during the load; without an autoscaler, the most
    that existed. The needed fleet is the smallest fixed one of the demand.

    Args:
        run: The run.
        fleet: Its replicas.
        demand: What the load needed.
        model: The model of one replica, or why there is none, as the end of a sentence after "because".
        attained: How many requests met the limits for single requests; None without such limits.
        met: Whether the run met its limits on TTFT and E2E; None if that is unknown, or if there are none.
        prices: What a replica costs.
        chunks: Whether the server gave no token counts for some requests.
    """
    prices = prices or Prices()
    length = run.end_s
    if length <= 0 or not fleet.pods:
        return _UNKNOWN
    replicas, seconds = fleet.billed.within(0.0, length)
    used = float(np.nansum(replicas * seconds))
    desired, _ = fleet.desired.within(0.0, length)
    peak = desired if np.isfinite(desired).any() else replicas
    static = int(np.nanmax(peak)) if np.isfinite(peak).any() else 0
    itself = Used(replica_seconds=used, length_s=length, static_replicas=static, met=met)
    others = alternatives(run, fleet, model, demand, itself, prices)
    known = Cost(
        replica_seconds=used,
        static_replicas=static,
        static_replica_seconds=static * length,
        of_static_ratio=used / (static * length) if static else None,
        mean_replicas=used / length,
        billed=prices.charge(used),
        gpus_per_replica=prices.gpus_per_replica,
        gpu_source=prices.gpu_source,
        price_per_gpu_hour=prices.per_gpu_hour,
        currency=prices.currency,
        alternatives=others,
        per_thousand_good=_per_thousand_good(run, fleet, attained, prices),
        per_million_tokens=_per_million_tokens(run, fleet, prices, others, chunks=chunks),
    )
    if demand.smallest is None:
        return replace(known, needed_why_missing=demand.why_missing or "no fixed fleet keeps the limits")
    needed = demand.smallest.replicas
    return replace(
        known,
        needed_replicas=needed,
        needed_replica_seconds=needed * length,
        of_needed_ratio=used / (needed * length),
    )


def met_latency_limits(findings: Sequence[Finding]) -> bool | None:
    """Whether a run met its limits on TTFT and E2E, by its findings; None if that is unknown, or if there are none."""
    found = [each for each in findings if SLO_METRICS.get(each.code, ("",))[0] in ("ttft", "e2e")]
    if any(not each.passed and each.severity == "fail" for each in found):
        return False
    return True if found and all(each.passed for each in found) else None


def _judged_s(run: Observed, fleet: Fleet) -> float:
    """Replica-seconds from the end of the warm-up to the end of the load: those of the requests that are judged."""
    replicas, seconds = fleet.billed.within(min(run.warm_up_s, run.end_s), run.end_s)
    return float(np.nansum(replicas * seconds))


def _per_thousand_good(run: Observed, fleet: Fleet, attained: Attainment | None, prices: Prices) -> UnitCost:
    per = 1_000
    if attained is None:
        return _unknown_unit(per, "1,000 requests that met the SLO", "no limit applies to single requests")
    whole = attained.whole
    if not whole.attained:
        return _unknown_unit(per, "1,000 requests that met the SLO", "no request met every limit", count=0)
    used = _judged_s(run, fleet)
    good, every = (prices.charge(used * per / count) for count in (whole.attained, whole.requests))
    share = whole.attained / whole.requests
    most, least = ("at most ", "at least ") if whole.unknown else ("", "")
    more = "as every request did" if share == 1 else f"{1 / share:.2f} times as much as 1,000 requests of any outcome"
    return UnitCost(
        per=per,
        count=whole.attained,
        charge=good,
        conclusion=f"1,000 requests that met the SLO cost {most}{prices.text(good)}, {more}"
        + ("." if share == 1 else f" ({prices.text(every)}), as {least}{share * 100:.0f} % met it."),
    )


def _per_million_tokens(
    run: Observed, fleet: Fleet, prices: Prices, others: tuple[CostAlternative, ...], *, chunks: bool
) -> UnitCost:
    per, what = 1_000_000, "1,000,000 output tokens"
    answered = run.requests.ok & run.requests.due & run.warm
    tokens = run.requests.output_tokens[answered]
    missing = int(np.isnan(tokens).sum())
    if chunks:
        return _unknown_unit(per, what, "the server gave no token counts for some requests")
    if missing:
        return _unknown_unit(per, what, f"the tokens of {missing:,} of {len(tokens):,} answers were not recorded")
    count = int(tokens.sum())
    if not count:
        return _unknown_unit(per, what, "no output token was received", count=0)
    charge = prices.charge(_judged_s(run, fleet) * per / count)
    text = f"1,000,000 output tokens cost {prices.text(charge)}"
    fixed = next((each for each in others if each.kind == "smallest_fixed_fleet" and each.meets_limits), None)
    if fixed is not None and fixed.replicas is not None and not run.warm_up_s:
        instead = prices.charge(fixed.replicas * run.end_s * per / count)
        text += f"; with a fixed fleet of {fixed.replicas} they would have cost {prices.text(instead)}"
    return UnitCost(per=per, count=count, charge=charge, conclusion=f"{text}.")


def _unknown_unit(per: int, what: str, why: str, count: int | None = None) -> UnitCost:
    conclusion = f"What {what} cost is not known, because {why}."
    return UnitCost(per=per, count=count, why_missing=why, conclusion=conclusion)
