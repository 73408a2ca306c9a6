"""The two sums of an engine that many requests share: time spent waiting for it and time spent in it.

A request's account is what the engine's own clock says, and is exact once the request has ended:

    arrival ──── queue ────▶ first scheduled ──── compute ────▶ last token

The engine tells a request's first two times with its first token and the third with its last one. Sums of ended
requests alone would be blind to a burst of long requests until the first of them ends, and would say "no waiting"
just while the queue grows. So an open request is booked with what is certain of it, and corrected when it ends:

* With its first token its queue time is exact. From then on its compute time is booked up to its latest token, but
  never up to later than ``HOLDBACK_NS`` ago, so that a late delivery cannot make it longer than it was.
* Without a token it waits, if the engine is busy with others (see ``waiting``). Its queue time is then booked up to
  ``HOLDBACK_NS`` and the longest recent prefill ago: it may have been scheduled meanwhile without a token to show.

While requests wait, the queue sum thus grows by the number of waiting requests for each second, and the compute sum
by the number of running ones. Should a prefill nevertheless take longer than that, its account is corrected downwards
when it ends; a counter cannot, so ``queue_us`` and ``compute_us`` stand still until the true sums have caught up.

A request that was cancelled or failed has no last token: its account ends at that moment on this process's clock,
as queue time if it was never scheduled and as compute time otherwise.

All times are nanoseconds of the machine's monotonic clock, which is the engine's as well. Only the standard library
is imported, and nothing here reads a clock: the caller says what time it is.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

HOLDBACK_NS = 1_000_000_000
STATS_FRESH_NS = 1_500_000_000
RECENT_PREFILLS = 64


class Times(NamedTuple):
    """The engine's times of one request, in ns; 0 for what has not happened yet."""

    arrival_ns: int = 0
    first_scheduled_ns: int = 0
    first_token_ns: int = 0
    last_token_ns: int = 0

    @property
    def scheduled(self) -> bool:
        """Return whether the queue time is known."""
        return self.arrival_ns > 0 and self.first_scheduled_ns > 0


class OpenRequest:
    """A request that the engine has and that has not ended."""

    __slots__ = ("compute_ns", "first_ns", "latest_ns", "queue_ns", "since_ns", "times")

    def __init__(self, since_ns: int) -> None:
        self.since_ns = since_ns
        self.times = Times()
        self.first_ns: int | None = None  # when its first and its latest token came here
        self.latest_ns = since_ns
        self.queue_ns = 0
        self.compute_ns = 0


class Account:
    """Every open request, and the sums over all requests so far."""

    def __init__(self) -> None:
        self._open: dict[OpenRequest, None] = {}  # in the order in which the engine got them
        self._closed_queue_ns = 0
        self._closed_compute_ns = 0
        self._prefills_ns: deque[int] = deque(maxlen=RECENT_PREFILLS)
        self._scheduled = 0
        self._scheduled_at_ns: int | None = None
        self.queue_us = 0
        self.compute_us = 0

    def __len__(self) -> int:
        return len(self._open)

    def open(self, since_ns: int) -> OpenRequest:
        """Start the account of a request that was handed over to the engine at this time."""
        request = OpenRequest(since_ns)
        self._open[request] = None
        return request

    def token(self, request: OpenRequest, now_ns: int, times: Times) -> float | None:
        """Note that tokens of a request have come.

        Returns:
            With the first ones, the time to first token in ms: the engine's own, or ours if it gave none.
        """
        request.latest_ns = now_ns
        request.times = times
        if request.first_ns is not None:
            return None
        request.first_ns = now_ns
        if not (times.scheduled and times.first_token_ns):
            return (now_ns - request.since_ns) / 1e6
        self._prefills_ns.append(times.first_token_ns - times.first_scheduled_ns)
        return (times.first_token_ns - times.arrival_ns) / 1e6

    def close(self, request: OpenRequest, now_ns: int) -> None:
        """End the account of a request: with the engine's last token if there was one, else now."""
        del self._open[request]
        times = request.times
        if times.scheduled:
            self._closed_queue_ns += times.first_scheduled_ns - times.arrival_ns
            self._closed_compute_ns += max(0, (times.last_token_ns or now_ns) - times.first_scheduled_ns)
        elif request.first_ns is not None:  # tokens came, but no times: only what was certain
            self._closed_queue_ns += request.queue_ns
            self._closed_compute_ns += now_ns - request.first_ns
        else:
            self._closed_queue_ns += now_ns - request.since_ns

    def engine_scheduled(self, requests: int, now_ns: int) -> None:
        """Note how many requests the engine had in its latest iteration."""
        self._scheduled = requests
        self._scheduled_at_ns = now_ns

    def running(self, now_ns: int) -> int:
        """Return how many open requests the engine works on.

        These are the ones that have a token, or the number in the engine's latest iteration if that is more: it also
        knows of those whose prompt is being processed. Without such numbers, one at least: an engine with work runs.
        """
        with_token = sum(1 for r in self._open if r.first_ns is not None)
        scheduled = self._scheduled if self._is_told(now_ns) else 1
        return min(len(self._open), max(with_token, scheduled))

    def waiting(self, now_ns: int) -> int:
        """Return how many open requests wait for the engine."""
        return len(self._open) - self.running(now_ns)

    def book(self, now_ns: int) -> None:
        """Bring both sums up to what is certain now."""
        certain_ns = now_ns - HOLDBACK_NS
        unscheduled_ns = certain_ns - max(self._prefills_ns, default=0)
        without_token = [r for r in self._open if r.first_ns is None]
        waiting = self.waiting(now_ns)
        # Without the engine's numbers the others may all be in their first prefill, which can be a very long one.
        if waiting and (self._is_told(now_ns) or len(without_token) < len(self._open)):
            for request in without_token[-waiting:]:  # first come, first served
                request.queue_ns = max(request.queue_ns, unscheduled_ns - request.since_ns)
        for request in self._open:
            times = request.times
            if times.scheduled:
                request.queue_ns = times.first_scheduled_ns - times.arrival_ns
            if request.first_ns is not None:
                start_ns = times.first_scheduled_ns if times.scheduled else request.first_ns
                request.compute_ns = max(request.compute_ns, min(request.latest_ns, certain_ns) - start_ns)
        queue_ns = self._closed_queue_ns + sum(r.queue_ns for r in self._open)
        compute_ns = self._closed_compute_ns + sum(r.compute_ns for r in self._open)
        self.queue_us = max(self.queue_us, queue_ns // 1000)
        self.compute_us = max(self.compute_us, compute_ns // 1000)

    def _is_told(self, now_ns: int) -> bool:
        return self._scheduled_at_ns is not None and now_ns - self._scheduled_at_ns < STATS_FRESH_NS
