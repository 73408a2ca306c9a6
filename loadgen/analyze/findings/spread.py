"""Findings about the spread of requests over the replicas, and about cold replicas."""

from loadgen.analyze.balance.age import ttft_limits
from loadgen.analyze.balance.balance import WINDOW_S
from loadgen.analyze.findings import codes
from loadgen.analyze.observed import Observed
from loadgen.analyze.results import Balance, Finding, ReplicaAge, ReplicaUse
from loadgen.base.display import seconds

MAX_VARIATION = 0.25
"""Coefficient of variation beyond that of random choice from which the spread is reported."""
DEFAULT_SHARE_S = 15.0
"""Longest time to the fair share without an autoscaler: the sync period of the HPA controller."""


def spread(run: Observed, balance: Balance) -> list[Finding]:
    """New replicas that got their share late, and an uneven spread over replicas that all answered."""
    return _late_share(run, balance) + _uneven(balance)


def _late_share(run: Observed, balance: Balance) -> list[Finding]:
    """Replicas that answered something; those that answered nothing are a finding of their own."""
    limit_s = run.info.autoscaler.sync_period_s if run.info.autoscaler else DEFAULT_SHARE_S
    took = [
        (use.to_fair_share_s, use.replica)
        for use in balance.replicas
        if use.added and use.requests and use.to_fair_share_s is not None
    ]
    late = [(took_s, replica) for took_s, replica in took if took_s > limit_s]
    if not late:
        return []
    worst_s, worst = max(late)
    more = "" if len(late) == 1 else f" It was the last of {len(late)} such replicas."
    advice = (
        f"{worst} was ready for this long before it got its fair share of the requests: until then it was paid "
        f"for and hardly used, as with clients that keep their connections to older replicas. Balance requests and not "
        f"connections, or limit the age of connections.{more}"
    )
    return [codes.LATE_SHARE.finding(measured=worst_s, limit=limit_s, advice=advice)]


def _uneven(balance: Balance) -> list[Finding]:
    variation, chance = balance.variation, balance.variation_by_chance
    if variation is None or chance is None or variation <= MAX_VARIATION + chance:
        return []
    if balance.verdict == "scaled but not used":
        return []  # the replicas that answered nothing are why
    known = [(use.of_fair_ratio, use) for use in balance.replicas if use.of_fair_ratio is not None]
    if not known:
        return []
    (most_ratio, most), (least_ratio, least) = (pick(known, key=lambda each: each[0]) for pick in (max, min))
    most_s, least_s = _latency_s(most), _latency_s(least)
    if most_s is not None and least_s is not None and most_s < least_s:
        return []  # the gateway spared a replica that was slow, or that had a queue
    shares = (
        f"{most.replica} got {most_ratio * 100:.0f} % of its fair share and {least.replica} {least_ratio * 100:.0f} %"
    )
    if max(most_ratio - 1, 1 - least_ratio) < MAX_VARIATION:
        what = f"Over the whole run {shares}, but not at all times: see when one of them gets more than its share."
    else:
        what = f"{shares}: balance requests and not connections."
    advice = (
        f"The coefficient of variation of the requests for each ready replica, in windows of {WINDOW_S:g} s; random "
        f"choice of a replica gives {chance:.2f}. {what}"
    )
    return [codes.UNEVEN.finding(measured=variation, limit=MAX_VARIATION + chance, advice=advice)]


def _latency_s(use: ReplicaUse) -> float | None:
    """A latency of the requests of a replica, the same for all replicas of a run; None if it is not known."""
    return use.e2e_p95_s if use.server_mean_s is None else use.server_mean_s


def cold_replicas(run: Observed, age: ReplicaAge) -> list[Finding]:
    """A limit on TTFT that is missed because of the first answers of replicas."""
    if age.cold_s is None or age.cold_p95_s is None or age.warm_p95_s is None or age.cold_requests is None:
        return []
    strictest = min(ttft_limits(run), key=lambda limit: limit.limit)
    share = age.cold_requests / max(age.answered, 1)
    advice = (
        f"Replicas answered {age.cold_requests:,} requests ({share * 100:.1f} %) in their first {age.cold_s:g} s of "
        f"serving, with TTFT p95 of {seconds(age.cold_p95_s)}; without them it is {seconds(age.warm_p95_s)}, and "
        f"every limit on TTFT is met. Let a replica answer a few requests before it becomes ready, with warm-up "
        f"requests of the model or with a startup probe that sends some."
    )
    return [codes.COLD_REPLICAS.finding(measured=age.cold_p95_s, limit=strictest.limit, advice=advice)]
