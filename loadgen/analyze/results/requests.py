"""How fast requests were, and how they ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

FEWEST_VALUES: Mapping[str, int] = {"p50": 2, "p90": 10, "p95": 20, "p99": 100}
"""A percentile of fewer values, 1 / (1 − p), is their maximum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """Percentiles of a latency in seconds; +inf if the percentile is a value that never arrived.

    Attributes:
        p50: The median.
        p90: The 90th percentile.
        p95: The 95th percentile.
        p99: The 99th percentile.
        max: The maximum.
    """

    p50: float
    p90: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """A latency distribution in seconds: of the values that were measured, and its bounds over all that were due.

    Attributes:
        count: Number of measured values.
        mean: Their mean.
        p50: Their median.
        p90: Their 90th percentile.
        p95: Their 95th percentile.
        p99: Their 99th percentile.
        max: Their maximum.
        covers: `answered` if due requests (ITL: gaps) have no value, so that the seven above are of the others only.
        p50_is_max: Whether the median is the maximum, because it is of fewer than 1 / (1 − p) values.
        p90_is_max: The same of the 90th percentile.
        p95_is_max: The same of the 95th percentile.
        p99_is_max: The same of the 99th percentile.
        due: Number of values that were due, which `lower` and `upper` cover.
        never: Number of these that never arrived: they count as +inf in both.
        unknown: Number of these that were open when the run was stopped: they count with the time until then in
            `lower`, and as +inf in `upper`.
        lower: Lower bounds of the percentiles over all values that were due; None without any, and for the send lag.
        upper: Upper bounds.
    """

    count: int
    mean: float | None
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    max: float | None
    covers: Literal["all", "answered"] = "all"
    p50_is_max: bool = False
    p90_is_max: bool = False
    p95_is_max: bool = False
    p99_is_max: bool = False
    due: int = 0
    never: int = 0
    unknown: int = 0
    lower: Percentiles | None = None
    upper: Percentiles | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """Latencies of one group of requests (a stage, a replica count, or the whole run).

    Attributes:
        name: Stage name, "1 replica" …, or "whole run".
        start_s: Start of the group's span; None for a group without one.
        end_s: End of the group's span.
        scheduled: Number of due requests, without those that a stop kept from being sent.
        answered: Number with outcome `ok`.
        failed: Number with any other outcome, without those that a stop of the run ended before their time-out.
        offered_per_s: Due requests per second.
        completed_per_s: Requests per second that ended `ok` within the span.
        output_tokens_per_s: Output tokens per second received within the span.
        ttft: First token − scheduled, over requests that got a first token.
        itl: Gaps between consecutive tokens, over all tokens of the group.
        tpot: Mean gap of each request with at least two tokens, without those that a stop of the run ended.
        e2e: Last token − scheduled, over `ok` requests.
        send_lag: Sent − scheduled, over sent requests.
        stopped: Number in flight, and younger than the time-out, that a stop of the run ended.
            scheduled = answered + failed + stopped.
    """

    name: str
    start_s: float | None
    end_s: float | None
    scheduled: int
    answered: int
    failed: int
    offered_per_s: float | None
    completed_per_s: float | None
    output_tokens_per_s: float | None
    ttft: Stats
    itl: Stats
    tpot: Stats
    e2e: Stats
    send_lag: Stats
    stopped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeCount:
    """Number of requests with one outcome and cause, and the times of the first and last of them.

    Attributes:
        outcome: Their outcome.
        cause: Template of their cause; `other` for all causes beyond the most frequent ones.
        count: Number of requests.
        first_s: When the first of them ended, or else was due.
        last_s: The same of the last.
        causes: Number of causes: more than 1 for `other`.
    """

    outcome: str
    cause: str | None
    count: int
    first_s: float
    last_s: float
    causes: int = 1
