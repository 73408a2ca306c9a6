"""A simulated replica: a batch, a queue, and the counters that Triton moves when a request ends.

All requests of a batch progress at one pace, which falls with their number. So a replica adds up the work that each
request in its batch does: one ends when its own work has been added to what there was at its start.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from math import inf
from typing import NamedTuple

from loadgen.whatif.model import MetricPath, Replicas


class Values(NamedTuple):
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
        "_pace",
        "_path",
        "_queue",
        "_queue_s",
        "_running",
        "_samples",
        "_starts",
        "_stop_s",
        "_timeout_s",
        "created_s",
        "draining_s",
        "number",
        "ready_s",
        "running_s",
    )

    def __init__(
        self,
        number: int,
        settings: Replicas,
        path: MetricPath,
        starts: Starts,
        *,
        created_s: float,
        running_s: float,
        ready_s: float,
    ) -> None:
        self.number = number
        self.created_s, self.running_s, self.ready_s = created_s, running_s, ready_s
        self.draining_s = inf
        self._pace, self._stop_s = settings.pace, settings.stop_s
        self._timeout_s = inf if settings.timeout_s is None else settings.timeout_s
        self._path, self._starts = path, starts
        self._running: list[tuple[float, float, float]] = []
        self._queue: deque[tuple[int, float, float]] = deque()
        # the last start or end of a request, and the work that each request in the batch had done until then
        self._at_s, self._done_s = ready_s, 0.0
        self._queue_s = self._compute_s = 0.0
        self._samples: list[tuple[float, float, float, int]] = []

    @property
    def name(self) -> str:
        """Name of its pod."""
        return f"replica-{self.number}"

    def take(self, requests: Iterable[tuple[int, float, float]]) -> None:
        """Queue requests, each with its arrival and work, in order of their arrival after all before them."""
        self._queue.extend(requests)

    def advance(self, now_s: float) -> None:
        """Do everything that happens until a time: requests end, and others take their place.

        A simulation spends most of its time in this loop, so it works on local variables.
        """
        running, queue, pace, timeout_s = self._running, self._queue, self._pace, self._timeout_s
        starts_s, paces = self._starts.at_s, self._starts.pace
        at_s, done_s, queue_s, compute_s = self._at_s, self._done_s, self._queue_s, self._compute_s
        slots, batch = len(pace) - 1, len(running)
        while True:
            if batch:
                end_s = at_s + (running[0][0] - done_s) * pace[batch]
            elif queue:
                end_s = inf
            else:
                break
            if queue and batch < slots:
                request, arrival_s, work_s = queue[0]
                if arrival_s < end_s:
                    if arrival_s >= now_s:
                        break
                    queue.popleft()
                    if arrival_s > at_s:
                        done_s += (arrival_s - at_s) / pace[batch]
                        at_s = arrival_s
                    elif at_s - arrival_s > timeout_s:
                        continue
                    batch += 1
                    heappush(running, (done_s + work_s, at_s, at_s - arrival_s))
                    starts_s[request] = at_s
                    paces[request] = pace[batch]
                    continue
            if end_s > now_s:
                break
            done_s, start_s, waited_s = heappop(running)
            batch -= 1
            at_s = end_s
            queue_s += waited_s
            compute_s += end_s - start_s
        self._at_s, self._done_s, self._queue_s, self._compute_s = at_s, done_s, queue_s, compute_s

    def in_flight(self, now_s: float) -> int:
        """Requests that it has not finished."""
        self.advance(now_s)
        return len(self._running) + len(self._queue)

    @property
    def gone_s(self) -> float:
        """When it was gone: its last request was finished, and its termination over; infinite as long as it has any."""
        if self._running or self._queue:
            return inf
        return max(self.draining_s + self._stop_s, self._at_s)

    def scrape(self, times_s: Sequence[float]) -> None:
        """Record a sample of its counters at each of these times, in order."""
        queue, timeout_s = self._queue, self._timeout_s
        for now_s in times_s:
            if now_s < self.ready_s:
                continue
            self.advance(now_s)
            while queue and now_s - queue[0][1] > timeout_s:
                queue.popleft()
            waiting = bisect_left(queue, now_s, key=_arrival_s) if queue else 0
            self._samples.append((now_s, self._queue_s, self._compute_s, waiting))

    def values(self, now_s: float) -> Values | None:
        """What the recording rules last gave for it; None before there were two samples in their window."""
        samples, path = self._samples, self._path
        end = len(samples)
        while end and samples[end - 1][0] + path.rule_after_s > now_s:
            end -= 1
        if not end:
            return None
        last_s, queue_s, compute_s, waiting = samples[end - 1]
        start = bisect_right(samples, (last_s + path.rule_after_s - path.window_s, inf), 0, end)
        length_s = last_s - samples[start][0] if start < end else 0.0
        if length_s <= 0:
            return None
        queue_s, compute_s = queue_s - samples[start][1], compute_s - samples[start][2]
        return Values(
            # `clamp_min(…, 1)`: at least one microsecond of compute per second
            ratio=queue_s / max(compute_s, 1e-6 * length_s),
            busy=min(compute_s / (length_s * (len(self._pace) - 1)), 1.0),
            waiting=float(waiting),
        )


def _arrival_s(request: tuple[int, float, float]) -> float:
    return request[1]
