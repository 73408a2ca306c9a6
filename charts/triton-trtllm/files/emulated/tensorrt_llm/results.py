"""Results of a request: its response so far, and its times in the engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace

from loadgen.local.engine.core import Sequence


@dataclass(kw_only=True)
class CompletionOutput:
    """The response so far.

    Attributes:
        text: The text.
        token_ids: The tokens.
        finish_reason: Why it ended; None while it is running.
        stop_reason: Always None, as there are no stop words.
        cumulative_logprob: Always None.
        request_perf_metrics: The request's times and blocks so far.
    """

    index: int = 0
    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    finish_reason: str | None = None
    stop_reason: str | None = None
    cumulative_logprob: float | None = None
    request_perf_metrics: SimpleNamespace | None = None


def perf_metrics(sequence: Sequence) -> SimpleNamespace:
    """Return the times and blocks of a request; 0 for events that have not happened yet."""
    return SimpleNamespace(
        timing_metrics=SimpleNamespace(
            arrival_time=_since_start(sequence.arrival_ns),
            first_scheduled_time=_since_start(sequence.first_scheduled_ns),
            first_token_time=_since_start(sequence.first_token_ns),
            last_token_time=_since_start(sequence.last_token_ns),
        ),
        kv_cache_metrics=SimpleNamespace(
            num_total_allocated_blocks=sequence.blocks,
            num_new_allocated_blocks=sequence.blocks,
            num_reused_blocks=0,
            num_missed_blocks=sequence.blocks,
            kv_cache_hit_rate=0.0,
        ),
        speculative_decoding=SimpleNamespace(acceptance_rate=0.0, total_accepted_draft_tokens=0, total_draft_tokens=0),
    )


def _since_start(time_ns: int | None) -> timedelta:
    """Return a time of the monotonic clock in the LLM API's form, with whole microseconds."""
    return timedelta(microseconds=(time_ns or 0) // 1000)
