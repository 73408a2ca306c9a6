"""Sums the queue time and the compute time of all requests to an engine.

A request's times come from the engine's own clock, and are exact once the request has ended:

    arrival ──── queue ────▶ first scheduled ──── compute ────▶ last token

The engine reports the first two times with the first token, and the third with the last one. Sums over ended requests
only would not show a burst of long requests until the first of them ends, just while the queue grows. So an open
request is counted as far as its times are certain, and corrected when it ends:

* With its first token its queue time is exact. From then on its compute time is counted up to its latest token, but
  never up to later than ``HOLDBACK_NS`` ago, so that a late delivery cannot make it longer than it was.
* Without a token it waits if the engine is busy with others (see ``waiting``). Its queue time is then counted up to
  ``HOLDBACK_NS`` and the longest recent prefill ago, since it may have been scheduled without a token yet.

While requests wait, the queue sum thus grows by the number of waiting requests for each second, and the compute sum
by the number of running ones. If a prefill takes longer than that, its account is corrected downwards when it ends. A
counter must not decrease, so ``queue_us`` and ``compute_us`` stand still until the true sums have caught up.

The account of a cancelled or failed request, which has no last token, ends at that moment by this process's clock: as
queue time if it was never scheduled, and as compute time otherwise.

All times are nanoseconds of the machine's monotonic clock, which the engine uses, too. This module imports only the
standard library and does not read a clock: callers pass the time.
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
    """A request in the engine that has not ended."""

    __slots__ = ("compute_ns", "first_ns", "latest_ns", "queue_ns", "since_ns", "times")

    def __init__(self, since_ns: int) -> None:
        self.since_ns = since_ns
        self.times = Times()
        self.first_ns: int | None = None  # arrival of its first and its latest token here
        self.latest_ns = since_ns
        self.queue_ns = 0
        self.compute_ns = 0


class Account:
    """The open requests, and the sums over all requests so far."""

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
        """Start the account of a request that was passed to the engine at this time."""
        request = OpenRequest(since_ns)
        self._open[request] = None
        return request

    def token(self, request: OpenRequest, now_ns: int, times: Times) -> float | None:
        """Record that tokens of a request have arrived.

        Returns:
            For the first ones, the time to first token in ms: by the engine, or else by this process.
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
        elif request.first_ns is not None:  # tokens without times: count what is certain
            self._closed_queue_ns += request.queue_ns
            self._closed_compute_ns += now_ns - request.first_ns
        else:
            self._closed_queue_ns += now_ns - request.since_ns

    def engine_scheduled(self, requests: int, now_ns: int) -> None:
        """Record the number of requests in the engine's latest iteration."""
        self._scheduled = requests
        self._scheduled_at_ns = now_ns

    def running(self, now_ns: int) -> int:
        """Return the number of open requests that the engine processes.

        It is the number of requests with a token, or of requests in the engine's latest iteration if that is higher,
        since it includes requests in prefill. Without iteration statistics it is at least one.
        """
        with_token = sum(1 for r in self._open if r.first_ns is not None)
        scheduled = self._scheduled if self._has_fresh_stats(now_ns) else 1
        return min(len(self._open), max(with_token, scheduled))

    def waiting(self, now_ns: int) -> int:
        """Return the number of open requests that wait for the engine."""
        return len(self._open) - self.running(now_ns)

    def book(self, now_ns: int) -> None:
        """Update both sums as far as times are certain now."""
        certain_ns = now_ns - HOLDBACK_NS
        unscheduled_ns = certain_ns - max(self._prefills_ns, default=0)
        without_token = [r for r in self._open if r.first_ns is None]
        waiting = self.waiting(now_ns)
        # Without iteration statistics all others may be in their first prefill, which can be very long.
        if waiting and (self._has_fresh_stats(now_ns) or len(without_token) < len(self._open)):
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

    def _has_fresh_stats(self, now_ns: int) -> bool:
        return self._scheduled_at_ns is not None and now_ns - self._scheduled_at_ns < STATS_FRESH_NS
