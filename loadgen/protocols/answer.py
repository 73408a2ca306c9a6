"""What came back for one request, whatever the protocol: an outcome is a value, never an exception."""

import re
from dataclasses import dataclass, field
from typing import Protocol

from loadgen.dataset.names import Cause, Outcome

_INT32_MAX = 2**31 - 1

_REFUSED = {"RESOURCE_EXHAUSTED", "NOT_FOUND", "429", "503", "404"}
# What Triton says when it does not take a request. gRPC gives UNAVAILABLE to that and to every broken connection, and
# within a stream there is no code at all: the words decide.
_REFUSED_TEXT = re.compile(
    r"maximum queue size|queue (is )?full|unknown model|no available versions|not (at )?ready|unavailable"
    r"|server (is )?(stopping|exiting|shutting down)|request timeout expired|no healthy upstream",
    re.IGNORECASE,
)
# What the gRPC library, or a proxy in front of the server, says of a connection that broke or was never made.
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
        outcome: How it ended.
        cause: Short, groupable reason when the outcome is not `ok`.
        token_times: Arrival of each answer that carried output; empty without streaming.
        last: Arrival of the last output; None when there was none.
        ended: When the outcome was known.
        output_tokens: Output tokens received; None when nobody counted them.
        received_bytes: Size of the output text.
    """

    outcome: Outcome
    cause: str | None = None
    token_times: list[float] = field(default_factory=list)
    last: float | None = None
    ended: float
    output_tokens: int | None = None
    received_bytes: int = 0


class Client(Protocol):
    """One connection of one Locust user; carries one request at a time."""

    def infer(self, prompt: str, max_tokens: int, timeout_s: float) -> Answer:
        """Send a prompt and wait for the end of its answer; never raises for what a server or network does."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


def failed(code: str, message: str, *, began: bool) -> tuple[Outcome, str]:
    """Outcome and cause of a request that did not end well: the same over every protocol.

    Only a server's own word is a refusal. A connection that broke, or could not be made, is an error: the request may
    have been accepted, as when a replica is stopped without draining it.

    Args:
        code: gRPC status name or HTTP status, empty when the error came inside a good answer.
        message: The server's or the library's words.
        began: Whether output had begun.
    """
    if code in ("DEADLINE_EXCEEDED", "TIMEOUT"):
        return Outcome.TIMEOUT, Cause.TIMEOUT
    cause = groupable(f"{code}: {message}" if code else message)
    if began:
        return Outcome.CUT_OFF, cause
    if _BROKEN_TEXT.search(message):
        return Outcome.ERROR, cause
    if proxy := _HTTP_STATUS.search(message):
        code = proxy[1]
    if code in _REFUSED or _REFUSED_TEXT.search(message):
        return Outcome.REJECTED, cause
    return Outcome.ERROR, cause


def counted(tokens: object) -> int | None:
    """What a server says of its number of output tokens; None when that can be no count (32 bits hold any)."""
    return tokens if isinstance(tokens, int) and 0 <= tokens <= _INT32_MAX else None


def groupable(message: str) -> str:
    """A message without the parts that differ from request to request, at most 160 characters long."""
    text = re.sub(r"\b(ipv4:)?(\d{1,3}\.){3}\d{1,3}(:\d+)?\b", "ADDRESS", " ".join(message.split()))
    text = re.sub(r"\bipv6:(%5B|\[)[0-9a-f:.]+(%[0-9a-z]+)?(%5D|\])(:\d+)?", "ADDRESS", text, flags=re.IGNORECASE)
    text = re.sub(r"\b0x[0-9a-fA-F]+\b|\b[0-9a-f]{8,}\b|\b\d{3,}\b(?!:)", "N", text)
    return text[:160]
