"""Defines the parameters of an emulated engine: duration of a step, batch size, KV cache and queue.

Only the standard library is imported: the same file runs inside the server's isolated Python process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class StepModel:
    """Duration of one iteration as a linear function of its batch.

    ``step = base + per_sequence·B + per_context_token·Σctx + per_prefill_token·P + per_prefill_pair·Q`` with B
    generating sequences, Σctx the tokens in their contexts, P prompt tokens processed in this iteration and Q the
    pairs (prompt token, earlier token that it attends to). All in seconds. The first three terms are the decode
    step ``a + b·batch + c·batch·context``, whose residual on a real 8B model on an H200 is about 3 %.

    Attributes:
        base_s: Cost of an empty iteration: reading the weights, launching the kernels.
        per_sequence_s: Cost of each generating sequence.
        per_context_token_s: Cost of reading one token's keys and values, for each generating sequence.
        per_prefill_token_s: Cost of one prompt token.
        per_prefill_pair_s: Quadratic part of prefill; 0 for short prompts.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    base_s: float
    per_sequence_s: float
    per_context_token_s: float
    per_prefill_token_s: float
    per_prefill_pair_s: float = 0.0

    def __post_init__(self) -> None:
        if self.base_s <= 0:
            raise ValueError("base_s must be above 0: an engine whose steps take no time never ends")
        parts = (self.per_sequence_s, self.per_context_token_s, self.per_prefill_token_s, self.per_prefill_pair_s)
        if min(parts) < 0:
            raise ValueError("the costs of a step must not be negative")

    def seconds(self, *, generating: int, context_tokens: int, prefill_tokens: int, prefill_pairs: int) -> float:
        """Return the duration of one iteration in seconds."""
        return (
            self.base_s
            + self.per_sequence_s * generating
            + self.per_context_token_s * context_tokens
            + self.per_prefill_token_s * prefill_tokens
            + self.per_prefill_pair_s * prefill_pairs
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Limits set by the engine build and the server's parameters.

    Attributes:
        step: Duration of an iteration.
        max_batch_size: Maximum number of sequences in flight.
        max_num_tokens: Token budget of one iteration: one for each generating sequence, the rest for prefill.
        kv_blocks: Blocks of the paged KV cache.
        tokens_per_block: Tokens in a block.
        max_seq_len: Maximum number of prompt and output tokens of one sequence; longer outputs are cut, as upstream.
        max_queue_size: Maximum number of waiting sequences, 0 for no limit; further requests are refused.
        max_active_requests: Maximum number of sequences that the metrics count as active, running or waiting.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    step: StepModel
    max_batch_size: int
    max_num_tokens: int
    kv_blocks: int
    tokens_per_block: int
    max_seq_len: int
    max_queue_size: int = 0
    max_active_requests: int = 512

    def __post_init__(self) -> None:
        for name in ("max_batch_size", "max_num_tokens", "kv_blocks", "tokens_per_block", "max_seq_len"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if self.max_queue_size < 0 or self.max_active_requests < 1:
            raise ValueError("max_queue_size must not be negative and max_active_requests at least 1")
        if self.max_num_tokens < self.max_batch_size + self.tokens_per_block:
            raise ValueError("max_num_tokens must hold a full batch and one block of prefill")
        if self.max_seq_len > self.kv_blocks * self.tokens_per_block:
            raise ValueError("max_seq_len must fit into the KV cache, or such a sequence waits forever")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRate:
    """A published maximum throughput to compare the profile with.

    Attributes:
        input_tokens: Prompt length of every request.
        output_tokens: Output length of every request.
        output_tokens_per_s: Output tokens per second and GPU at maximum load.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    input_tokens: int
    output_tokens: int
    output_tokens_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredStep:
    """A measured decode step to compare the profile with.

    Attributes:
        batch: Generating sequences.
        context_tokens: Context of each of them.
        step_s: Duration of the step.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    batch: int
    context_tokens: int
    step_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineProfile:
    """One emulated engine.

    Attributes:
        name: Name in a scenario: ``demo``, ``h100-fp8-llama-3.1-8b`` …
        title: Title of the emulated engine, for the report.
        source: Source of the parameters, and what they omit.
        engine: The engine's parameters.
        bls_instance_count: Instances of ``tensorrt_llm_bls``, which limit its concurrent requests.
        published: Maximum throughputs to compare with.
        measured: Decode steps to compare with.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    title: str
    source: str
    engine: EngineConfig
    bls_instance_count: int
    published: tuple[PublishedRate, ...] = ()
    measured: tuple[MeasuredStep, ...] = ()

    def __post_init__(self) -> None:
        if self.bls_instance_count < 1:
            raise ValueError("bls_instance_count must be at least 1")
