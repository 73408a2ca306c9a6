"""Emulates in-flight batching by iteration: scheduling, duration and tokens of each step.

The core uses no server, thread or clock. Its inputs are the arrival times of the sequences, and its outputs the start
and end of each iteration, in integer nanoseconds. While there is work, an iteration starts exactly at the end of the
previous one, so token times depend only on the arrivals and do not drift with the process that runs the core:

    arrivals   A  B                C
    iteration  |--A prefill--|-A+B prefill-|--A+B--|--A+B+C prefill--| …
    tokens                   A             A,B     A,B               A,B,C

Only the standard library is imported: the same file runs inside the server's isolated Python process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from loadgen.local.engine.config import EngineConfig

NS_PER_S = 1_000_000_000


class QueueFullError(Exception):
    """The waiting queue is at its limit; the message is the one of TensorRT-LLM's executor."""


class InvalidSequenceError(Exception):
    """The sequence can never run on this engine; the message is the one of TensorRT-LLM's executor."""


class Sequence:
    """One request in the engine.

    Attributes:
        key: The caller's identifier.
        prompt_tokens: Length of the prompt.
        output_tokens: Tokens to generate; the engine may cut it to ``max_seq_len``.
        arrival_ns: Arrival at the engine.
        prefilled: Prompt tokens processed so far.
        generated: Tokens generated so far.
        first_scheduled_ns: Start of the first iteration it took part in.
        first_token_ns: End of the iteration that yielded its first token.
        last_token_ns: End of the iteration that yielded its last token.
    """

    __slots__ = (
        "arrival_ns",
        "blocks",
        "cancelled",
        "first_scheduled_ns",
        "first_token_ns",
        "generated",
        "key",
        "last_token_ns",
        "output_tokens",
        "prefilled",
        "prompt_tokens",
    )

    def __init__(self, *, key: Any, prompt_tokens: int, output_tokens: int, arrival_ns: int) -> None:
        self.key = key
        self.prompt_tokens = prompt_tokens
        self.output_tokens = output_tokens
        self.arrival_ns = arrival_ns
        self.prefilled = 0
        self.generated = 0
        self.blocks = 0
        self.cancelled = False
        self.first_scheduled_ns: int | None = None
        self.first_token_ns: int | None = None
        self.last_token_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Iteration:
    """One planned step of the engine.

    Attributes:
        number: Counts from 1.
        start_ns: Time of its start.
        end_ns: Time of its tokens.
        generating: Sequences that get one more token.
        prefill: Sequences with the prompt tokens processed for them in this step.
        waiting: Sequences that have arrived and are not scheduled.
    """

    number: int
    start_ns: int
    end_ns: int
    generating: tuple[Sequence, ...]
    prefill: tuple[tuple[Sequence, int], ...]
    waiting: int

    @property
    def prefill_tokens(self) -> int:
        """Return the prompt tokens of this step."""
        return sum(tokens for _, tokens in self.prefill)


@dataclass(frozen=True, slots=True)
class Token:
    """One generated token.

    Attributes:
        sequence: The sequence of the token.
        index: Position in the output, from 0.
        at_ns: Time of generation.
        final: Whether it is the last token of the sequence.
    """

    sequence: Sequence
    index: int
    at_ns: int
    final: bool


class Engine:
    """An executor with in-flight batching, paged KV blocks and chunked prefill.

    Scheduling follows TensorRT-LLM's ``guaranteed_no_evict``: first come, first served, and a sequence is admitted
    only when the batch has room and the blocks for its whole prompt and output fit, so that it never has to be
    evicted. Generating sequences take one token each of the iteration's budget; prefill gets what is left, in
    chunks of whole blocks. The iteration that processes the end of a prompt yields the first token.

    Call ``start`` and ``finish`` in turn; ``submit`` and ``cancel`` may come between them.
    """

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self.free_blocks = config.kv_blocks
        self._waiting: deque[Sequence] = deque()
        self._context: list[Sequence] = []
        self._generating: list[Sequence] = []
        self._iterations = 0
        self._clock_ns = 0
        self._open = False

    @property
    def waiting(self) -> int:
        """Return the number of sequences not yet admitted."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Return the number of admitted sequences."""
        return len(self._context) + len(self._generating)

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence; arrivals come in the order of their times.

        Raises:
            QueueFullError: ``max_queue_size`` sequences wait already.
            InvalidSequenceError: The prompt does not fit or there is nothing to generate.
        """
        config = self.config
        if sequence.output_tokens < 1:
            raise InvalidSequenceError("Assertion failed: mMaxNewTokens > 0")
        if sequence.prompt_tokens < 1:
            raise InvalidSequenceError("Assertion failed: !mInputTokenIds.empty()")
        if sequence.prompt_tokens >= config.max_seq_len:
            raise InvalidSequenceError(
                f"Prompt length ({sequence.prompt_tokens}) exceeds maximum input length ({config.max_seq_len - 1}). "
                "Set log level to info and check TRTGptModel logs for how maximum input length is set"
            )
        if config.max_queue_size and len(self._waiting) >= config.max_queue_size:
            raise QueueFullError(
                f"Maximum queue size of {config.max_queue_size} has been reached, please try again later"
            )
        sequence.output_tokens = min(sequence.output_tokens, config.max_seq_len - sequence.prompt_tokens)
        # The last token's keys are never read, yet its slot is allocated: the real scheduler counts it too.
        sequence.blocks = -(-(sequence.prompt_tokens + sequence.output_tokens) // config.tokens_per_block)
        self._waiting.append(sequence)

    def cancel(self, sequence: Sequence) -> bool:
        """Cancel a sequence: it yields no more tokens, and its slot and blocks are free for the next iteration.

        Returns:
            False if the sequence had already ended.
        """
        if sequence.cancelled or sequence.last_token_ns is not None:
            return False
        sequence.cancelled = True
        if sequence in self._waiting:
            self._waiting.remove(sequence)
        elif not self._open:
            self._release_cancelled()
        return True

    def start(self) -> Iteration | None:
        """Plan the next iteration, or return None if there is no work."""
        assert not self._open, "start() needs the iteration before to be finished"
        start_ns = self._clock_ns
        if not self.running:
            if not self._waiting:
                return None
            start_ns = max(start_ns, self._waiting[0].arrival_ns)
        self._admit(start_ns)
        generating = tuple(self._generating)
        prefill = self._chunks(self.config.max_num_tokens - len(generating))
        waiting = sum(1 for s in self._waiting if s.arrival_ns <= start_ns)
        duration_s = self.config.step.seconds(
            generating=len(generating),
            context_tokens=sum(s.prompt_tokens + s.generated for s in generating),
            prefill_tokens=sum(tokens for _, tokens in prefill),
            prefill_pairs=sum(n * s.prefilled + n * (n + 1) // 2 for s, n in prefill),
        )
        for sequence, _ in prefill:
            if sequence.first_scheduled_ns is None:
                sequence.first_scheduled_ns = start_ns
        self._iterations += 1
        self._open = True
        return Iteration(
            number=self._iterations,
            start_ns=start_ns,
            end_ns=start_ns + round(duration_s * NS_PER_S),
            generating=generating,
            prefill=prefill,
            waiting=waiting + len(self._context) - len(prefill),
        )

    def finish(self, iteration: Iteration) -> list[Token]:
        """Apply the results of a planned iteration and return its tokens, oldest sequence first."""
        assert self._open, "finish() needs an iteration from start()"
        self._open = False
        self._clock_ns = iteration.end_ns
        yielding = list(iteration.generating)
        for sequence, tokens in iteration.prefill:
            sequence.prefilled += tokens
            if sequence.prefilled == sequence.prompt_tokens:
                yielding.append(sequence)
        out = []
        for sequence in yielding:
            if not sequence.cancelled:
                out.append(self._token(sequence, iteration.end_ns))
        ready = [s for s in self._context if s.prefilled == s.prompt_tokens]
        self._context = [s for s in self._context if s.prefilled < s.prompt_tokens]
        self._generating += ready
        for sequence in self._generating:
            if sequence.generated == sequence.output_tokens:
                self.free_blocks += sequence.blocks
        self._generating = [s for s in self._generating if s.generated < s.output_tokens]
        self._release_cancelled()
        return out

    def _token(self, sequence: Sequence, at_ns: int) -> Token:
        index = sequence.generated
        sequence.generated += 1
        final = sequence.generated == sequence.output_tokens
        if index == 0:
            sequence.first_token_ns = at_ns
        if final:
            sequence.last_token_ns = at_ns
        return Token(sequence, index, at_ns, final)

    def _admit(self, now_ns: int) -> None:
        while self._waiting and self.running < self.config.max_batch_size:
            head = self._waiting[0]
            if head.arrival_ns > now_ns or head.blocks > self.free_blocks:
                return
            self.free_blocks -= head.blocks
            self._context.append(self._waiting.popleft())

    def _chunks(self, budget: int) -> tuple[tuple[Sequence, int], ...]:
        block = self.config.tokens_per_block
        chunks = []
        for sequence in self._context:
            rest = sequence.prompt_tokens - sequence.prefilled
            tokens = rest if rest <= budget else budget // block * block
            if not tokens:
                break
            budget -= tokens
            chunks.append((sequence, tokens))
        return tuple(chunks)

    def _release_cancelled(self) -> None:
        for running in (self._context, self._generating):
            for sequence in [s for s in running if s.cancelled]:
                running.remove(sequence)
                self.free_blocks += sequence.blocks


def play(engine: Engine, sequences: Iterable[Sequence]) -> Iterator[Token]:
    """Run the engine under a virtual clock over sequences in the order of their arrival, and yield every token."""
    for sequence in sequences:
        engine.submit(sequence)
    while (iteration := engine.start()) is not None:
        yield from engine.finish(iteration)
