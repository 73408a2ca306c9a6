"""What came back for one request, whatever the protocol: an outcome is a value, never an exception."""

import re
from dataclasses import dataclass, field
from typing import Protocol

from loadgen.dataset import Outcome

_REFUSED = {"RESOURCE_EXHAUSTED", "UNAVAILABLE", "NOT_FOUND", "429", "503", "404"}
_REFUSED_TEXT = re.compile(r"maximum queue size|queue (is )?full|unknown model|no available versions", re.IGNORECASE)


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
    """Outcome and cause of a request that did not end well.

    Args:
        code: gRPC status name or HTTP status, empty when the error came inside a good answer.
        message: The server's or the library's words.
        began: Whether output had begun.
    """
    if code in ("DEADLINE_EXCEEDED", "TIMEOUT"):
        return "timeout", "no last token within the time-out"
    cause = groupable(f"{code}: {message}" if code else message)
    if began:
        return "cut_off", cause
    if code in _REFUSED or _REFUSED_TEXT.search(message):
        return "rejected", cause
    return "error", cause


def groupable(message: str) -> str:
    """A message without the parts that differ from request to request, at most 160 characters long."""
    text = re.sub(r"\b(ipv[46]:)?(\d{1,3}\.){3}\d{1,3}(:\d+)?\b", "ADDRESS", " ".join(message.split()))
    text = re.sub(r"\b0x[0-9a-fA-F]+\b|\b[0-9a-f]{8,}\b|\b\d{3,}\b(?!:)", "N", text)
    return text[:160]
