"""How fast requests were, and how they ended."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """A latency distribution in seconds; `count` is its number of values."""

    count: int
    mean: float | None
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    max: float | None


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
