"""Defines the answer to a request, the same for all protocols; an outcome is a value, never an exception."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import eq
from typing import Protocol

import gevent

from loadgen.base.text import clean
from loadgen.dataset.causes import cause_template
from loadgen.dataset.names import Cause, Outcome, TokenSource
from loadgen.protocols.engine import EngineTimes
from loadgen.protocols.tokens import MAX_TOKENS, count_tokens

_NOT_MEASURED = EngineTimes()
_MAX_MESSAGE = 2000
"""Characters of a server's message that are looked at: some servers send megabytes."""

_REJECTED_CODES = {"RESOURCE_EXHAUSTED", "NOT_FOUND", "429", "503", "404"}
# Messages of Triton when it rejects a request. gRPC reports UNAVAILABLE both for these and for every broken connection,
# and errors within a stream have no code, so the message decides.
_REJECTED_TEXT = re.compile(
    r"maximum queue size|queue (is )?full|unknown model|no available versions|not (at )?ready|unavailable"
    r"|server (is )?(stopping|exiting|shutting down)|request timeout expired|no healthy upstream",
    re.IGNORECASE,
)
# Messages of the gRPC library, or of a proxy in front of the server, when a connection broke or was never made.
_BROKEN_TEXT = re.compile(
    r"failed to connect|errors? resolving|last error|stream removed|socket closed|connection (refused|reset|terminat)"
    r"|goaway|rst_stream|broken pipe|upstream connect",
    re.IGNORECASE,
)
# A proxy that answers a gRPC call with plain HTTP; the library turns most of its statuses into UNAVAILABLE.
_HTTP_STATUS = re.compile(r"Received http2 header with status: (\d+)")


@dataclass(slots=True, kw_only=True)
class Answer:
    """The answer to one request; times are readings of the monotonic clock, seconds.

    Attributes:
        outcome: How the request ended.
        cause: Short reason when the outcome is not `ok`, the same for similar requests.
        token_times: Arrival of each response with output; empty without streaming.
        last: Arrival of the last output; None when there was none.
        ended: When the outcome was known.
        output_tokens: Number of output tokens received; None when unknown.
        token_source: What `output_tokens` counts: the server's own count, or received chunks; None when unknown.
        received_bytes: Size of the output text.
        coalesced: Number of `token_times` that are those of the next token, as one read returned both: all that is
            known of their arrival is that it was after the connection's previous read.
        engine: How long the request took in the engine, as far as the server says.
        pod: Name of the replica that answered; None when it was not observed.
        on_wire: When the kernel took the last byte of the request; None when it was not observed.
        resent: Whether the request was sent a second time, because the first peer did not take it; None when it was
            not observed.
    """

    outcome: Outcome
    cause: str | None = None
    token_times: list[float] = field(default_factory=list)
    last: float | None = None
    ended: float
    output_tokens: int | None = None
    token_source: TokenSource | None = None
    received_bytes: int = 0
    coalesced: int = 0
    engine: EngineTimes = _NOT_MEASURED
    pod: str | None = None
    on_wire: float | None = None
    resent: bool | None = None


class Interrupted(gevent.GreenletExit):  # type: ignore[misc]  # gevent has no types
    """The greenlet of a request was killed.

    Attributes:
        answer: What had arrived until then; its outcome has no meaning.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class Client(Protocol):
    """A connection that sends one request at a time."""

    def infer(self, prompt: str, max_tokens: int, timeout_s: float) -> Answer:
        """Send a prompt and wait for the complete answer; server and network failures are outcomes, not exceptions.

        Raises:
            Interrupted: the greenlet was killed after the request was sent.
        """
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


def classify_failure(code: str, message: str, *, began: bool) -> tuple[Outcome, str]:
    """Return outcome and cause of a failed request, the same over every protocol.

    Only a message of the server counts as a rejection. A connection that broke, or could not be made, is an error: the
    server may have accepted the request, for example when a replica is stopped without draining it.

    Args:
        code: gRPC status name or HTTP status; empty when the error came inside a successful response.
        message: Error message of the server or the client library.
        began: Whether output had begun.
    """
    message = clean(message, _MAX_MESSAGE)
    if code in ("DEADLINE_EXCEEDED", "TIMEOUT"):
        return Outcome.TIMEOUT, Cause.TIMEOUT
    cause = cause_template(f"{code}: {message}" if code else message)
    if began:
        return Outcome.CUT_OFF, cause
    if _BROKEN_TEXT.search(message):
        return Outcome.ERROR, cause
    if proxy := _HTTP_STATUS.search(message):
        code = proxy[1]
    if code in _REJECTED_CODES or _REJECTED_TEXT.search(message):
        return Outcome.REJECTED, cause
    return Outcome.ERROR, cause


def answer_of(
    texts: Sequence[bytes], counts: Sequence[int | None], times: Sequence[float], ended: float, *, stream: bool
) -> Answer:
    """Return the answer that a sequence of responses makes.

    Args:
        texts: Output text of each response.
        counts: The server's count of output tokens in each response, if it gave one.
        times: Arrival of each response, readings of the monotonic clock, seconds.
        ended: When the answer ended.
        stream: Whether each response is timed, and counted if the server gives no count.
    """
    counted = count_tokens(texts, counts)
    arrived = [at for at, has_output in zip(times, counted.has_output, strict=True) if has_output]
    if not arrived:
        tokens = 0 if stream else None
        return Answer(outcome=Outcome.ERROR, cause=Cause.EMPTY_ANSWER, ended=ended, output_tokens=tokens)
    tokens, source = counted.tokens, TokenSource.SERVER
    if tokens is None and stream:
        tokens, source = len(arrived), TokenSource.CHUNKS
    # times of different reads differ, as the clock has nanoseconds
    coalesced = sum(map(eq, arrived, islice(arrived, 1, None))) if stream else 0
    return Answer(
        outcome=Outcome.OK,
        token_times=arrived if stream else [],
        last=arrived[-1],
        ended=ended,
        output_tokens=tokens,
        token_source=None if tokens is None else source,
        received_bytes=counted.received_bytes,
        coalesced=coalesced,
    )


def valid_token_count(tokens: object) -> int | None:
    """Return a server's count of output tokens; None unless it is an integer from 0 to 2³¹ - 1."""
    return tokens if isinstance(tokens, int) and not isinstance(tokens, bool) and 0 <= tokens <= MAX_TOKENS else None
