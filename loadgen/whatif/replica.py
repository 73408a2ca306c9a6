"""A simulated replica: slots, a queue, and the counters that Triton moves when a request ends."""

from bisect import bisect_right
from heapq import heappop, heappush, heapreplace
from math import inf


class Replica:
    """One pod; infinity stands for never.

    Attributes:
        number: Its place in the order of creation.
        created_s: When it was created: from then on it is billed.
        running_s: When its containers run.
        ready_s: When the gateway begins to send requests to it.
        draining_s: When the gateway stops to do so.
        ratio: The ratio that the recording rule last gave for it; None before it had two samples.
    """

    __slots__ = (
        "_compute_s",
        "_free_s",
        "_last_end_s",
        "_queue_s",
        "_running",
        "_samples",
        "_times",
        "created_s",
        "draining_s",
        "number",
        "ratio",
        "ready_s",
        "running_s",
    )

    def __init__(self, number: int, slots: int, *, created_s: float, running_s: float, ready_s: float) -> None:
        self.number = number
        self.created_s, self.running_s, self.ready_s = created_s, running_s, ready_s
        self.draining_s = inf
        self.ratio: float | None = None
        self._free_s = [ready_s] * slots
        self._running: list[tuple[float, float, float]] = []
        self._queue_s = self._compute_s = self._last_end_s = 0.0
        self._times: list[float] = []
        self._samples: list[tuple[float, float]] = []

    @property
    def name(self) -> str:
        """Name of its pod."""
        return f"replica-{self.number}"

    def serve(self, arrival_s: float, service_s: float, timeout_s: float) -> float | None:
        """Queue a request; return when a slot takes it, None if it gives up before."""
        free_s = self._free_s
        start_s = free_s[0] if free_s[0] > arrival_s else arrival_s
        if start_s - arrival_s > timeout_s:
            return None
        end_s = start_s + service_s
        heapreplace(free_s, end_s)
        if end_s > self._last_end_s:
            self._last_end_s = end_s
        heappush(self._running, (end_s, start_s - arrival_s, service_s))
        return start_s

    def in_flight(self, now_s: float) -> int:
        """Requests that it has not finished."""
        self._count(now_s)
        return len(self._running)

    @property
    def gone_s(self) -> float:
        """When it has finished its last request after it began to drain."""
        return max(self.draining_s, self._last_end_s)

    def scrape(self, now_s: float, window_s: float) -> None:
        """Record a sample of its counters and evaluate the recording rule."""
        self._count(now_s)
        times, samples = self._times, self._samples
        times.append(now_s)
        samples.append((self._queue_s, self._compute_s))
        outdated = bisect_right(times, now_s - window_s)
        if outdated:
            del times[:outdated], samples[:outdated]
        if len(times) < 2:
            return
        # `clamp_min(…, 1)`: at least one microsecond of compute per second
        least_s = 1e-6 * (times[-1] - times[0])
        compute_s = max(samples[-1][1] - samples[0][1], least_s)
        self.ratio = (samples[-1][0] - samples[0][0]) / compute_s

    def _count(self, now_s: float) -> None:
        running = self._running
        while running and running[0][0] <= now_s:
            _, queue_s, compute_s = heappop(running)
            self._queue_s += queue_s
            self._compute_s += compute_s
