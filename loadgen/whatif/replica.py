"""A simulated replica: a batch, a queue, and the counters that Triton moves when a request ends.

All requests of a batch progress at one pace, which falls with their number. So a replica adds up the work that each
request in its batch does: one ends when its own work has been added to what there was at its start.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """What the recording rules gave for a replica: the ratio, the share of its slots in use, and waiting requests."""

    ratio: float
    busy: float
    waiting: float


class Starts:
    """When the requests of a simulation start, and how many times longer than alone they take at that moment."""

    def __init__(self, count: int) -> None:
        self.at_s = [inf] * count
        self.pace = [1.0] * count


class Replica:
    """One pod; infinity stands for never.

    Attributes:
        number: Its place in the order of creation.
        created_s: When it was created: from then on it is billed.
        running_s: When its containers run.
        ready_s: When the gateway begins to send requests to it.
        draining_s: When the gateway stops to do so.
    """

    __slots__ = (
        "_at_s",
        "_compute_s",
        "_done_s",
        "_last_end_s",
        "_next",
        "_pace",
        "_queue_s",
        "_running",
        "_samples",
        "_starts",
        "_stop_s",
        "_timeout_s",
        "_times",
        "_values",
        "_waiting",
        "created_s",
        "draining_s",
        "number",
        "ready_s",
        "running_s",
    )

    def __init__(
        self,
        number: int,
        pace: Sequence[float],
        timeout_s: float,
        starts: Starts,
        *,
        created_s: float,
        running_s: float,
        ready_s: float,
        stop_s: float = 0.0,
    ) -> None:
        self.number = number
        self.created_s, self.running_s, self.ready_s = created_s, running_s, ready_s
        self.draining_s = inf
        self._values: Values | None = None
        self._next: tuple[float, Values] | None = None
        self._pace, self._timeout_s, self._starts, self._stop_s = pace, timeout_s, starts, stop_s
        self._running: list[tuple[float, float, float]] = []
        self._waiting: deque[tuple[int, float, float]] = deque()
        self._at_s = self._done_s = ready_s
        self._queue_s = self._compute_s = self._last_end_s = 0.0
        self._times: list[float] = []
        self._samples: list[tuple[float, float]] = []

    @property
    def name(self) -> str:
        """Name of its pod."""
        return f"replica-{self.number}"

    @property
    def slots(self) -> int:
        """Requests that it computes at the same time."""
        return len(self._pace) - 1

    def serve(self, request: int, arrival_s: float, work_s: float) -> None:
        """Queue a request, which arrives no earlier than all before it."""
        self.advance(arrival_s)
        if len(self._running) < self.slots:
            self._start(request, arrival_s, arrival_s, work_s)
        else:
            self._waiting.append((request, arrival_s, work_s))

    def advance(self, now_s: float) -> None:
        """Do everything that happens until a time: requests end, and waiting ones take their place."""
        running, pace, at_s, done_s = self._running, self._pace, self._at_s, self._done_s
        while running:
            now_pace = pace[len(running)]
            end_s = at_s + (running[0][0] - done_s) * now_pace
            if end_s > now_s:
                self._done_s = done_s + (now_s - at_s) / now_pace
                break
            done_s, start_s, waited_s = heappop(running)
            self._done_s, self._last_end_s, at_s = done_s, end_s, end_s
            self._queue_s += waited_s
            self._compute_s += end_s - start_s
            if self._waiting:
                self._give_up(end_s)
            if self._waiting:
                request, arrival_s, work_s = self._waiting.popleft()
                self._start(request, end_s, arrival_s, work_s)
        self._at_s = now_s

    def _start(self, request: int, now_s: float, arrival_s: float, work_s: float) -> None:
        heappush(self._running, (self._done_s + work_s, now_s, now_s - arrival_s))
        self._starts.at_s[request] = now_s
        self._starts.pace[request] = self._pace[len(self._running)]

    def _give_up(self, now_s: float) -> None:
        """Drop the requests that have waited for too long."""
        waiting = self._waiting
        while waiting and now_s - waiting[0][1] > self._timeout_s:
            waiting.popleft()

    def in_flight(self, now_s: float) -> int:
        """Requests that it has not finished."""
        self.advance(now_s)
        return len(self._running) + len(self._waiting)

    @property
    def gone_s(self) -> float:
        """When it was gone: its last request was finished, and its termination over; infinite as long as it has any."""
        if self._running or self._waiting:
            return inf
        return max(self.draining_s + self._stop_s, self._last_end_s)

    def values(self, now_s: float) -> Values | None:
        """What the recording rules last gave for it; None before it had two samples."""
        if self._next is not None and self._next[0] <= now_s:
            self._values, self._next = self._next[1], None
        return self._values

    def scrape(self, now_s: float, window_s: float, rule_after_s: float = 0.0) -> None:
        """Record a sample of its counters, which the recording rules use a moment later."""
        self.values(now_s)
        self.advance(now_s)
        self._give_up(now_s)
        times, samples = self._times, self._samples
        times.append(now_s)
        samples.append((self._queue_s, self._compute_s))
        outdated = bisect_right(times, now_s + rule_after_s - window_s)
        if outdated:
            del times[:outdated], samples[:outdated]
        if len(times) < 2:
            return
        length_s = times[-1] - times[0]
        queue_s, compute_s = samples[-1][0] - samples[0][0], samples[-1][1] - samples[0][1]
        values = Values(
            # `clamp_min(…, 1)`: at least one microsecond of compute per second
            ratio=queue_s / max(compute_s, 1e-6 * length_s),
            busy=min(compute_s / (length_s * self.slots), 1.0),
            waiting=float(len(self._waiting)),
        )
        self._next = now_s + rule_after_s, values
