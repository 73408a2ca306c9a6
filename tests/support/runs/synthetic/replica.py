"""Simulates a replica: its slots, its queue and Triton's counters."""

import heapq
from dataclasses import dataclass, field
from math import inf
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from support.runs.synthetic.plan import RATE_WINDOW_S, REQUEST_TIMEOUT_S

Floats = npt.NDArray[np.float64]
NO_TOKENS: Floats = np.empty(0)
RESTART_S = 2.0
"""From a crash until the server process runs again; it is ready `BACK_S` after the crash."""
BACK_S = 6.5
NETWORK_S = 0.001
"""Latency from the client to the replica."""
HAND_OFF_S = 0.0003
"""Time in Triton's queue of a model that hands every request to its engine at once."""
OTHER_QUEUE_S = 0.03
"""Time of a request in the queue of the second model, which post-processes answers."""
OTHER_COMPUTE_S = 0.002
"""Compute time of the second model for each output token."""


class Counted(NamedTuple):
    """The counters of a replica at a scrape, microseconds."""

    t_s: float
    queue_us: float
    compute_us: float
    other_queue_us: float
    other_compute_us: float


def quotient(queue_us: float, compute_us: float, floor_us: float) -> float:
    """A ratio as a rule with a floor computes it; 0 without compute."""
    return queue_us / max(compute_us, floor_us) if compute_us else 0.0


@dataclass(slots=True, kw_only=True)
class Request:
    """One request: times in seconds from the start of the load.

    Attributes:
        number: Number of the arrival.
        due_s: When it was due.
        sent_s: When the generator sent it.
        input_tokens: Length of its prompt.
        max_tokens: Output tokens asked for.
        pod: Replica that got it; None when no replica took it.
        start_s: When a slot took it: it queued until then.
        tokens_s: When the client received each token.
        ended_s: When the client knew the outcome.
        outcome: As in the table `requests`.
        cause: As in the table `requests`.
    """

    number: int
    due_s: float
    sent_s: float
    input_tokens: int
    max_tokens: int
    pod: str | None = None
    start_s: float = inf
    tokens_s: Floats = field(default_factory=lambda: NO_TOKENS)
    ended_s: float = inf
    outcome: str = "ok"
    cause: str | None = None

    def end(self, t_s: float, outcome: str, cause: str) -> None:
        """End without a complete answer; tokens that would have come later are dropped."""
        self.tokens_s = self.tokens_s[self.tokens_s <= t_s]
        self.ended_s, self.outcome, self.cause = t_s, outcome, cause


@dataclass(slots=True, kw_only=True)
class Replica:
    """One pod: the times of its phases and its counters; infinity stands for never."""

    name: str
    slots: int
    waits_in: Literal["triton", "engine"] = "triton"
    created_s: float
    started_s: float
    ready_s: float
    draining_s: float = inf
    stopped_s: float = inf
    crash_s: float = inf
    queue_us: float = 0.0
    compute_us: float = 0.0
    other_queue_us: float = 0.0
    other_compute_us: float = 0.0
    success: int = 0
    failure: int = 0
    _free_s: list[float] = field(default_factory=list)
    _running: list[tuple[float, int, Request]] = field(default_factory=list)
    _scrapes: list[Counted] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._free_s = [self.ready_s] * self.slots

    def is_ready(self, t_s: float) -> bool:
        """Whether the gateway sends requests to it."""
        return self.ready_s <= t_s < self.draining_s and not self.is_down(t_s)

    def is_down(self, t_s: float) -> bool:
        """Whether its server process has crashed and is not ready again."""
        return self.crash_s <= t_s < self.crash_s + BACK_S

    def serve(self, request: Request, steps_s: Floats) -> None:
        """Queue a request whose tokens take `steps_s` one after the other, once a slot is free."""
        request.pod = self.name
        request.start_s = max(request.sent_s + NETWORK_S, heapq.heappop(self._free_s))
        request.tokens_s = request.start_s + np.cumsum(steps_s)
        finished_s, timeout_s = float(request.tokens_s[-1]), request.sent_s + REQUEST_TIMEOUT_S
        if finished_s > timeout_s:
            request.end(timeout_s, "timeout", f"no last token after {REQUEST_TIMEOUT_S:g} s")
            heapq.heappush(self._free_s, max(request.start_s, timeout_s))
            return
        request.ended_s = finished_s + 0.002
        heapq.heappush(self._free_s, finished_s)
        heapq.heappush(self._running, (finished_s, request.number, request))

    def count_finished(self, t_s: float) -> None:
        """Move the counters by every request that finished, as Triton does: at its end, by its whole duration."""
        while self._running and self._running[0][0] <= t_s:
            finished_s, _, request = heapq.heappop(self._running)
            arrived_s = request.sent_s + NETWORK_S
            taken_s = request.start_s if self.waits_in == "triton" else arrived_s + HAND_OFF_S
            self.queue_us += round((taken_s - arrived_s) * 1e6)
            self.compute_us += round((finished_s - taken_s) * 1e6)
            self.other_queue_us += round(OTHER_QUEUE_S * 1e6)
            self.other_compute_us += round(OTHER_COMPUTE_S * len(request.tokens_s) * 1e6)
            self.success += 1

    def scrape(self, t_s: float, rule: str = "own", floor: float = 0.0) -> float | None:
        """Read the counters; returns what the rule gives over the rate window, None on the first scrape."""
        self.count_finished(t_s)
        counters = self.queue_us, self.compute_us, self.other_queue_us, self.other_compute_us
        self._scrapes.append(Counted(t_s, *counters))
        while self._scrapes[0][0] < t_s - RATE_WINDOW_S:
            self._scrapes.pop(0)
        if len(self._scrapes) < 2:
            return None
        queue, compute, other_queue, other_compute = (self._scrapes[-1][i] - self._scrapes[0][i] for i in (1, 2, 3, 4))
        floor_us = floor * RATE_WINDOW_S * 1e6
        if rule == "sums":
            return quotient(queue + other_queue, compute + other_compute, floor_us)
        own = quotient(queue, compute, floor_us)
        return own if rule == "own" else own + quotient(other_queue, other_compute, floor_us)

    def waiting(self, t_s: float) -> int:
        """Requests in its queue."""
        return sum(request.start_s > t_s for *_, request in self._running)

    def active(self, t_s: float) -> int:
        """Requests in its slots."""
        return len(self._running) - self.waiting(t_s)

    def drain(self, t_s: float, *, cut: bool) -> None:
        """Take no more requests and stop after the last answer, or break all streams 0.2 s later."""
        self.draining_s = t_s
        if cut:
            self.count_finished(t_s + 0.2)
            self._cut(t_s + 0.2, "CANCELLED: stream ended without a final answer")
        self.stopped_s = max([t_s, *(finished_s for finished_s, *_ in self._running)]) + 0.4

    def crash(self, t_s: float) -> None:
        """Lose all requests and counters, and be ready again `BACK_S` later."""
        self.count_finished(t_s)
        self._cut(t_s, "UNAVAILABLE: connection reset")
        self.crash_s = t_s
        self.queue_us = self.compute_us = self.other_queue_us = self.other_compute_us = 0.0
        self.success = self.failure = 0
        self._free_s = [t_s + BACK_S] * self.slots
        self._scrapes.clear()

    def _cut(self, t_s: float, cause: str) -> None:
        for *_, request in self._running:
            started = bool((request.tokens_s <= t_s).any())
            request.end(t_s + 0.003, "cut_off" if started else "error", cause)
            request.tokens_s = request.tokens_s[request.tokens_s <= t_s]
        self._running.clear()
