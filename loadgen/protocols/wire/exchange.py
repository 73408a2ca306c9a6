"""Defines one request in flight: what is sent, and what has arrived of its answer, with a time stamp for every read."""

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final

MAX_ANSWER_BYTES: Final = 64 * 2**20
"""Largest body of an answer."""
MAX_ERROR_BYTES: Final = 64 * 2**10
"""Largest body of an error that is read to its end."""

Pause = Callable[[], None]
"""Called now and then while an answer is decoded, so that the hub can read and send meanwhile."""


def no_pause() -> None:
    """Decode an answer in one go."""


class Exchange:
    """One request and its answer. All times are readings of the monotonic clock, seconds.

    Functions of gevent's hub fill it: they only read, write, stamp and queue. Whoever waits for it decodes it later.

    Args:
        body: Body of the request: JSON, or one gRPC message with its prefix.
        timeout_s: Time from `submitted_at` after which the request ends as timed out.
        on_end: Called in the hub, once, when the outcome is known. It must not block.

    Attributes:
        submitted_at: When it was handed to the channel.
        on_wire_at: When the kernel took the last byte of the request; None until then.
        status: HTTP status of the answer; 0 before its header.
        headers: Fields of the header and of the trailer that somebody reads, by lower-case name.
        data: Body of the answer so far, without the framing of HTTP.
        ends: Length of `data` after each read that added to it.
        stamps: When each of these reads ended.
        complete: Whether the protocol said that the answer is whole.
        bounded: Whether the answer declares its end; otherwise it ends whenever the connection closes.
        code: Why it failed, as a gRPC status name, or `TIMEOUT`; empty otherwise.
        message: Description of the failure; empty without one.
        fault: The exception behind it, if a system call failed.
        ended_at: When the outcome was known; None while it is in flight.
        in_flight: The requests in flight of its channel, from which it is removed at its end.
        connection: The connection that carries it; None before and after.
        resent: Whether it was sent a second time, because the first peer did not take it.
    """

    __slots__ = (
        "body",
        "bounded",
        "code",
        "complete",
        "connection",
        "data",
        "deadline",
        "ended_at",
        "ends",
        "fault",
        "headers",
        "in_flight",
        "message",
        "on_end",
        "on_wire_at",
        "resent",
        "stamps",
        "status",
        "stream_id",
        "submitted_at",
        "timeout_s",
    )

    def __init__(self, body: bytes, timeout_s: float, on_end: Callable[["Exchange"], None]) -> None:
        self.body = body
        self.timeout_s = timeout_s
        self.on_end = on_end
        self.submitted_at = self.deadline = 0.0
        self.resent = False
        self.ended_at: float | None = None
        self.connection: object = None
        self.in_flight: dict[Exchange, None] = {}
        self.stream_id = 0
        self.restart()

    def restart(self) -> None:
        """Forget the answer so far, before the request is sent again."""
        self.status = 0
        self.headers: dict[str, str] = {}
        self.data = bytearray()
        self.ends: list[int] = []
        self.stamps: list[float] = []
        self.complete = False
        self.bounded = True
        self.code = self.message = ""
        self.fault: BaseException | None = None
        self.on_wire_at: float | None = None

    @property
    def answered(self) -> bool:
        """Whether anything of an answer has arrived."""
        return self.status != 0

    def add(self, data: bytes | memoryview, stamp: float) -> bool:
        """Add a part of the body that one read returned; False when the answer is too large, which ends it."""
        self.data += data
        if self.stamps and self.stamps[-1] == stamp:  # another frame or record of the same read
            self.ends[-1] = len(self.data)
        else:
            self.ends.append(len(self.data))
            self.stamps.append(stamp)
        return len(self.data) <= MAX_ANSWER_BYTES

    def arrival(self, length: int) -> float:
        """Return when the first `length` bytes of the body had arrived.

        Raises:
            IndexError: they have not.
        """
        return self.stamps[bisect_left(self.ends, length)]

    def arrivals(self, lengths: Sequence[int]) -> list[float]:
        """Return when each of these numbers of bytes had arrived; `lengths` must be in ascending order."""
        stamps, ends = self.stamps, self.ends
        times = []
        read = 0
        for length in lengths:
            while ends[read] < length:
                read += 1
            times.append(stamps[read])
        return times

    def end(self, now: float | None = None) -> None:
        """Note that the outcome is known; a second call does nothing."""
        if self.ended_at is None:
            self.ended_at = time.monotonic() if now is None else now
            self.in_flight.pop(self, None)
            self.connection = None
            self.on_end(self)

    def fail(self, message: str, *, code: str = "", fault: BaseException | None = None) -> None:
        """End it with a failure."""
        if self.ended_at is None:
            self.code, self.message, self.fault = code, message, fault
            self.end()
