"""Compares the cost of another fleet with that of the run, in sentences."""

from collections.abc import Sequence
from dataclasses import dataclass

from loadgen.analyze.cost.pricing import Prices
from loadgen.analyze.demand.capacity import LatencyLimit
from loadgen.analyze.results.cost import AlternativeKind, CostAlternative

NO_LIMIT = "no limit on TTFT or E2E is set"


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


class Sentences:
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


def limits_text(limits: Sequence[LatencyLimit]) -> str:
    """Such as `the limits on TTFT and E2E`; empty without any."""
    names = sorted({limit.metric.upper() for limit in limits}, reverse=True)
    return f"the {'limit' if len(limits) == 1 else 'limits'} on {' and '.join(names)}" if names else ""


def known(
    kind: AlternativeKind,
    replica_seconds: float,
    text: Sentences,
    conclusion: str,
    replicas: int,
    *,
    meets: bool | None = None,
) -> CostAlternative:
    """A fixed fleet."""
    return CostAlternative(
        kind=kind,
        replicas=replicas,
        charge=text.prices.charge(replica_seconds),
        meets_limits=meets,
        conclusion=conclusion,
    )


def unknown(kind: AlternativeKind, why: str) -> CostAlternative:
    """A fleet whose cost is not known."""
    names = {
        "smallest_fixed_fleet": "What the smallest fixed fleet would have cost",
        "static_peak": "What the static peak would have cost",
        "perfect": "What a perfect autoscaler would have cost",
        "perfect_with_start_up": "What a perfect autoscaler with start-up time would have cost",
    }
    return CostAlternative(kind=kind, why_missing=why, conclusion=f"{names[kind]} is not known, because {why}.")
