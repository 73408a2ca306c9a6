"""Whether the signal of the autoscaler can be trusted, what it does not show, and what limited the replicas."""

from dataclasses import dataclass
from typing import Literal

SignalVerdict = Literal["trustworthy", "late", "blind", "noisy", "not known"]
Bottleneck = Literal["batch", "kv_cache", "triton_queue", "compute"]
GapKind = Literal["no_ratio", "no_counters", "undefined"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineUse:
    """The use of the engine of one replica, or of all of them, during the load; None where it was not collected.

    Attributes:
        replica: Name of the replica; None for all replicas together.
        waiting_peak: Most requests that waited inside the engine at once.
        waiting_ratio: Share of the sampled time in which requests waited inside the engine; of all replicas: of any.
        active_peak: Most requests that the engine executed at once.
        full_ratio: Share of the sampled time in which requests waited while the engine executed as many as it ever did.
        kv_peak: Highest share of the KV cache in use; of all replicas: of any.
        kv_full_ratio: Share of the sampled time with at least 90 % of the KV cache in use; of all replicas: of any.
        queued_peak: Most requests in Triton's queue at once.
        queued_ratio: Share of the sampled time with requests in Triton's queue; of all replicas: of any.
        bottleneck: What limited the throughput: the batch of the engine, its KV cache, Triton's queue (its instances),
            or compute; None where nothing did, or where it is unknown.
        reason: One sentence about the bottleneck.
    """

    replica: str | None
    waiting_peak: float | None
    waiting_ratio: float | None
    active_peak: float | None
    full_ratio: float | None
    kv_peak: float | None
    kv_full_ratio: float | None
    queued_peak: float | None
    queued_ratio: float | None
    bottleneck: Bottleneck | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalCandidate:
    """A recorded series that the autoscaler could read, as a mean over replicas.

    Attributes:
        signal: Its name, as in `loadgen.dataset.names.SignalName`.
        lead_s: Least time by which it rose above its noise before a limit on latency was broken; negative where it was
            late; None where no limit was broken.
        blind: Whether it stayed within its noise during a breach.
        monotonicity: Spearman's rank correlation with the requests in flight per ready replica; None where one of the
            two never changed.
        gain: By how many standard deviations of its noise it is higher at the highest tenth of that load than at the
            lowest; None where it has no noise.
        noise_ratio: Share of the time without a broken limit in which it was beyond its noise; None without such time.
    """

    signal: str
    lead_s: float | None
    blind: bool
    monotonicity: float | None
    gain: float | None
    noise_ratio: float | None


CauseName = Literal[
    "completion delay",
    "engine wait",
    "mean of ratios",
    "missing series",
    "stale values",
    "sum over models",
    "floor in divisor",
    "not attributed",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalCause:
    """A cause of the difference of the ratio that the autoscaler read from the truth; the means add up to it.

    Attributes:
        name: The cause (docs/metrics.md).
        mean: Its mean over the syncs, as a part of the ratio; None where it is unknown. Waits inside the engine are
            then in neither the truth nor a cause, and the others are in `not attributed`.
        mean_absolute: The mean of its size: causes of both signs cancel in `mean`.
        syncs: Number of syncs.
        why_missing: Why it is unknown.
    """

    name: CauseName
    mean: float | None
    mean_absolute: float | None
    syncs: int
    why_missing: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalTruth:
    """Whether the ratio can be trusted as a signal for scaling (docs/metrics.md).

    Attributes:
        verdict: `blind` (it stayed within its noise while a limit was broken), `late` (it rose above its noise after
            the limit was broken), `noisy` (at constant load, chance alone moves it past the target), `trustworthy`, or
            `not known`.
        reason: One sentence.
        lead_s: Least time by which it rose above its noise before the limit was broken; negative where it was late;
            None where no limit was broken, and where it never rose above its noise.
        noise_limit: Value up to which it is within its noise; None where it is unknown.
        false_ratio: Chance that one evaluation at constant load and replicas reads past the target and its tolerance,
            from a level on the other side; None where there was too little constant load.
        false_low: Lower end of its 95 % interval.
        false_high: Upper end of its 95 % interval.
        constant_s: Seconds of constant load and replicas that were evaluated.
        candidates: The recorded series, the ratio among them, the best first (docs/metrics.md).
        causes: What the ratio that the autoscaler read differs from the truth by; empty where its reads or the counters
            were not recorded.
    """

    verdict: SignalVerdict
    reason: str
    lead_s: float | None = None
    noise_limit: float | None = None
    false_ratio: float | None = None
    false_low: float | None = None
    false_high: float | None = None
    constant_s: float = 0.0
    candidates: tuple[SignalCandidate, ...] = ()
    causes: tuple[SignalCause, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalGap:
    """A time of the load without a value of the ratio.

    Attributes:
        kind: `no_ratio` (no sample of the recorded ratio of any replica), `no_counters` (the counters of a ready
            replica were not read), or `undefined` (the counters were read, and no replica completed a request in the
            rate window).
        replica: Name of the replica; None for all replicas.
        start_s: When it began: the last sample before it.
        end_s: When it ended: the first sample after it, or the end of the load.
        in_flight: Whether requests were in flight throughout.
    """

    kind: GapKind
    replica: str | None
    start_s: float
    end_s: float
    in_flight: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockOffset:
    """The offset of the clock of samples and events from that of the requests (docs/metrics.md).

    Attributes:
        offset_s: Seconds by which the clock of samples and events is ahead; None where it is unknown.
        error_s: Half the width of the interval that holds it.
        why_missing: Why it is unknown.
    """

    offset_s: float | None
    error_s: float | None
    why_missing: str | None = None

    @property
    def is_larger_than_error(self) -> bool:
        """Whether the clocks differ for certain."""
        return self.offset_s is not None and self.error_s is not None and abs(self.offset_s) > self.error_s
