"""How requests were spread over the replicas, and how replicas answered by their age."""

from dataclasses import dataclass
from typing import Literal

BalanceSource = Literal["requests", "counters"]
BalanceVerdict = Literal["used", "partly used", "scaled but not used", "not scaled", "not known"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaUse:
    """One replica during the load; a value is None where it is unknown.

    Attributes:
        replica: Its name.
        ready_s: For how long it was ready.
        requests: Requests that it got: those that it answered, and by counters those in its queue, too.
        share: Its share of those of all replicas.
        fair: Its fair share in requests: the sum of 1 / (ready replicas) over those of all replicas while it was ready.
        of_fair_ratio: requests / fair.
        added: Whether it became ready during the load.
        to_fair_share_s: From ready to the first of the requests of which it got at least 80 % of its fair share; None
            if it never did, if it was not added, or if too few requests came.
        ttft_p50_s: Median TTFT of the requests that it answered.
        ttft_p95_s: 95th percentile of it.
        e2e_p95_s: 95th percentile of their E2E.
        server_mean_s: Mean time of a request inside the server, queue and compute, by its counters.
        connections_mean: Mean of its open connections.
        connections_peak: Most open connections.
    """

    replica: str
    ready_s: float
    requests: int | None
    share: float | None
    fair: float | None
    of_fair_ratio: float | None
    added: bool
    to_fair_share_s: float | None = None
    ttft_p50_s: float | None = None
    ttft_p95_s: float | None = None
    e2e_p95_s: float | None = None
    server_mean_s: float | None = None
    connections_mean: float | None = None
    connections_peak: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """The balance of a run.

    Attributes:
        verdict: `used`: every added replica got its fair share; `partly used`: one got less than half of it;
            `scaled but not used`: one answered nothing; `not scaled`: none was added; or `not known`.
        reason: Why, one sentence.
        source: Where it is from: the replicas that requests name, or the counters of the replicas.
        replicas: Every replica that was ready during the load, in the order of creation.
        variation: Coefficient of variation of the requests of each ready replica, as the mean over windows; None if
            there were never two ready ones.
        variation_by_chance: What it would be if every request went to a replica at random.
    """

    verdict: BalanceVerdict
    reason: str
    source: BalanceSource | None = None
    replicas: tuple[ReplicaUse, ...] = ()
    variation: float | None = None
    variation_by_chance: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeGroup:
    """Requests by the age of the replica that answered them: the time since its first request of a ready span.

    Attributes:
        from_s: Youngest age.
        to_s: Oldest age, which is not in the group; None for no limit.
        requests: Their number.
        ttft_p50_s: Median TTFT.
        ttft_p95_s: 95th percentile of it.
        ttft_p99_s: 99th percentile of it.
        ttft_max_s: Longest TTFT.
    """

    from_s: float
    to_s: float | None
    requests: int
    ttft_p50_s: float
    ttft_p95_s: float
    ttft_p99_s: float
    ttft_max_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaAge:
    """TTFT by the age of the replica.

    Attributes:
        known: Answered requests of which the age of the replica is known.
        answered: All answered requests.
        groups: Requests by age, the youngest first; groups without requests are left out.
        cold_s: The age until which replicas were cold: the least edge of the groups for which a limit on TTFT is missed
            with younger replicas and met without them; None if there is none.
        cold_requests: Requests that younger replicas answered.
        cold_p95_s: 95th percentile of their TTFT.
        warm_p95_s: 95th percentile of TTFT of the other requests, unanswered ones included.
        why_missing: Why the groups are missing, as the end of a sentence after "because".
    """

    known: int = 0
    answered: int = 0
    groups: tuple[AgeGroup, ...] = ()
    cold_s: float | None = None
    cold_requests: int | None = None
    cold_p95_s: float | None = None
    warm_p95_s: float | None = None
    why_missing: str | None = None
