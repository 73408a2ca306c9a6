"""Counts the requests of one process, for the progress line and the end of the load."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from loadgen.dataset.names import Outcome
from loadgen.load.plan import Arrival
from loadgen.protocols.answer import Answer

OnAnswer = Callable[[Arrival, float, Answer], None]
"""Called with an arrival, its due time (monotonic clock, seconds) and its answer."""

_RECENT_S = 10.0
_RECENT = 2000
"""Most TTFT that are remembered for the progress line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Progress of one process, or of several together.

    Attributes:
        total: Arrivals to send.
        sent: Requests sent.
        ok: Requests with outcome `ok`.
        failed: Requests with any other outcome.
        recent_ttft_s: TTFT of the requests that ended within the last ten seconds, at most of the last 2,000.
        closed: Whether all rows are written.
        error: Why a process failed, as one sentence.
    """

    total: int = 0
    sent: int = 0
    ok: int = 0
    failed: int = 0
    recent_ttft_s: tuple[float, ...] = ()
    closed: bool = False
    error: str | None = None

    @property
    def in_flight(self) -> int:
        """Requests that were sent and have no outcome yet."""
        return self.sent - self.ok - self.failed

    @property
    def complete(self) -> bool:
        """Whether every arrival has an outcome."""
        return self.ok + self.failed >= self.total

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            total=self.total + other.total,
            sent=self.sent + other.sent,
            ok=self.ok + other.ok,
            failed=self.failed + other.failed,
            recent_ttft_s=self.recent_ttft_s + other.recent_ttft_s,
            closed=self.closed and other.closed,
            error=self.error or other.error,
        )


class Tally:
    """The counts of one process.

    Attributes:
        sent: Requests sent.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self.sent = 0
        self._ok = self._failed = 0
        self._recent: deque[tuple[float, float]] = deque(maxlen=_RECENT)

    def ended(self, due: float, answer: Answer) -> None:
        """Count the outcome of a request that was sent."""
        if answer.outcome == Outcome.OK:
            self._ok += 1
        else:
            self._failed += 1
        if answer.token_times:
            self._recent.append((answer.ended, answer.token_times[0] - due))

    def not_sent(self) -> None:
        """Count an arrival that was due and never sent; it is not in flight."""
        self.sent += 1
        self._failed += 1

    def counts(self) -> Counts:
        """Return the progress."""
        horizon = time.monotonic() - _RECENT_S
        while self._recent and self._recent[0][0] < horizon:
            self._recent.popleft()
        return Counts(
            total=self._total,
            sent=self.sent,
            ok=self._ok,
            failed=self._failed,
            recent_ttft_s=tuple(ttft for _, ttft in self._recent),
        )
