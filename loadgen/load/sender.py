"""Sends one process's share of the arrivals, each at its due time, whatever became of the others."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import gevent

from loadgen.load.plan import Arrival, LoadPlan
from loadgen.load.recorder import Recorder
from loadgen.protocols.answer import Answer, Client

RUN_STOPPED = "run stopped"
NO_FREE_USER = "no free user"

_RECENT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Where a process stands.

    Attributes:
        total: Arrivals in its share.
        taken: Arrivals that a user took on.
        sent: Requests sent.
        ok: Requests that ended well.
        failed: Requests that ended otherwise.
        recent_ttft_s: TTFT of the requests that ended within the last ten seconds.
        closed: Whether everything is recorded and nothing more will come.
        error: Why the process gave up, one sentence.
    """

    total: int = 0
    taken: int = 0
    sent: int = 0
    ok: int = 0
    failed: int = 0
    recent_ttft_s: tuple[float, ...] = ()
    closed: bool = False
    error: str | None = None

    @property
    def in_flight(self) -> int:
        """Requests sent and not ended."""
        return self.sent - self.ok - self.failed

    @property
    def over(self) -> bool:
        """Whether every arrival has its outcome."""
        return self.ok + self.failed >= self.total

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            total=self.total + other.total,
            taken=self.taken + other.taken,
            sent=self.sent + other.sent,
            ok=self.ok + other.ok,
            failed=self.failed + other.failed,
            recent_ttft_s=self.recent_ttft_s + other.recent_ttft_s,
            closed=self.closed and other.closed,
            error=self.error or other.error,
        )


class Sender:
    """The share of one process; its Locust users call `carry` again and again.

    Args:
        plan: All arrivals of the run.
        numbers: Numbers of the arrivals to send from here.
        start: Reading of the monotonic clock at which the load starts, seconds.
        connect: Makes a connection; connections are kept and the last used is used first.
        recorder: Keeps the rows.
        report: Told of every request that was sent, for Locust's statistics: arrival, due time, answer.
    """

    def __init__(
        self,
        *,
        plan: LoadPlan,
        numbers: range,
        start: float,
        connect: Callable[[], Client],
        recorder: Recorder,
        report: Callable[[Arrival, float, Answer], None],
    ) -> None:
        self._plan = plan
        self._numbers = iter(numbers)
        self._total = len(numbers)
        self._start = start
        self._connect = connect
        self._recorder = recorder
        self._report = report
        self._idle: list[Client] = []
        self._taken = self._sent = self._ok = self._failed = 0
        self._recent: deque[tuple[float, float]] = deque()
        self._closed = False

    def carry(self) -> bool:
        """Take the next arrival, wait until it is due, send it, record it; False when none is left."""
        number = next(self._numbers, None)
        if number is None:
            return False
        self._taken += 1
        arrival = self._plan.arrival(number)
        due = self._start + arrival.due_s
        try:
            gevent.sleep(max(0.0, due - time.monotonic()))
        except BaseException:
            self._give_up(arrival, due, RUN_STOPPED)
            raise
        self._send(arrival, due)
        return True

    def counts(self) -> Counts:
        """Where this process stands now."""
        horizon = time.monotonic() - _RECENT_S
        while self._recent and self._recent[0][0] < horizon:
            self._recent.popleft()
        return Counts(
            total=self._total,
            taken=self._taken,
            sent=self._sent,
            ok=self._ok,
            failed=self._failed,
            recent_ttft_s=tuple(ttft for _, ttft in self._recent),
            closed=self._closed,
        )

    def close(self) -> None:
        """Record what was due and never taken, close all connections and the last part; call it once users stopped.

        Raises:
            RecordError: the disk refuses the last part.
        """
        overdue = time.monotonic() - 1.0
        for number in self._numbers:
            arrival = self._plan.arrival(number)
            due = self._start + arrival.due_s
            if due > time.monotonic():
                break
            self._give_up(arrival, due, NO_FREE_USER if due < overdue else RUN_STOPPED)
        while self._idle:
            self._idle.pop().close()
        self._closed = True
        self._recorder.flush()

    def _give_up(self, arrival: Arrival, due: float, cause: str) -> None:
        if due <= time.monotonic():
            self._failed += 1
            self._sent += 1  # keeps `in_flight` what it is: due, and over
            self._recorder.record_unsent(arrival, due, cause)

    def _send(self, arrival: Arrival, due: float) -> None:
        client = self._idle.pop() if self._idle else self._connect()
        prompt = arrival.prompt
        sent = time.monotonic()
        self._sent += 1
        try:
            answer = client.infer(prompt.text, prompt.max_tokens, self._plan.scenario.request_timeout_s)
        except Exception as error:
            # a fault of ours must not lose the row: it is an outcome, and it shows on the page
            answer = Answer(outcome="error", cause=f"client: {error!r}"[:160], ended=time.monotonic())
            client.close()
        except BaseException:
            stopped = Answer(outcome="cut_off", cause=RUN_STOPPED, ended=time.monotonic())
            self._end(arrival, due, sent, stopped)
            client.close()
            raise
        else:
            self._idle.append(client)
        self._end(arrival, due, sent, answer)

    def _end(self, arrival: Arrival, due: float, sent: float, answer: Answer) -> None:
        if answer.outcome == "ok":
            self._ok += 1
        else:
            self._failed += 1
        if answer.token_times:
            self._recent.append((answer.ended, answer.token_times[0] - due))
        self._recorder.record(arrival, due, sent, answer)
        self._report(arrival, due, answer)
