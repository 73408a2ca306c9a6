"""Sends one process's share of the arrivals, each at its due time, independent of earlier responses (open loop)."""

import heapq
import time
from collections.abc import Callable
from dataclasses import replace

import gevent

from loadgen.dataset.causes import cause_template
from loadgen.dataset.names import Cause, Outcome
from loadgen.load.plan import Arrival, LoadPlan
from loadgen.load.recorder import Recorder
from loadgen.load.tally import Counts, OnAnswer, Tally
from loadgen.protocols.answer import Answer, Client, Interrupted
from loadgen.protocols.local_fault import local_fault

_OVERDUE_S = 1.0
_POLL_S = 1.0
"""How often a user that waits for a due time checks whether the run was stopped."""


class Sender:
    """Sends the share of one process; its Locust users call `send_next` repeatedly.

    Args:
        plan: All arrivals of the run.
        numbers: Numbers of the arrivals to send from here.
        start: Reading of the monotonic clock at which the load starts, seconds.
        connect: Opens a connection; idle connections are reused, the most recently used first.
        recorder: Records the rows.
        on_answer: Called after every request, for Locust's statistics.
    """

    def __init__(
        self,
        *,
        plan: LoadPlan,
        numbers: range,
        start: float,
        connect: Callable[[], Client],
        recorder: Recorder,
        on_answer: OnAnswer,
    ) -> None:
        self._plan = plan
        self._numbers = iter(numbers)
        self._returned: list[int] = []  # a heap: arrivals whose user was stopped before they were due
        self._tally = Tally(len(numbers))
        self._start = start
        self._connect = connect
        self._recorder = recorder
        self._on_answer = on_answer
        self._idle: list[Client] = []
        self._stopped_at: float | None = None

    def send_next(self) -> bool:
        """Wait for the next arrival, send it and record it; returns False when none is left or the run stops."""
        number = self._next_number()
        if number is None:
            return False
        arrival = self._plan.arrival(number)
        due = self._start + arrival.due_s
        is_due = False
        try:
            is_due = self._wait_until(due)
        finally:
            if not is_due:
                heapq.heappush(self._returned, number)  # another user sends it: this one is being stopped
        if is_due:
            self._send(arrival, due)
        return is_due

    def stop(self) -> None:
        """Stop sending; requests in flight continue. A second call does nothing."""
        if self._stopped_at is None:
            self._stopped_at = time.monotonic()

    def counts(self) -> Counts:
        """Return the progress of this process."""
        return self._tally.counts()

    def close(self, grace_s: float = 0.0) -> None:
        """Record arrivals that were due and never sent, close all connections and write the last part file.

        Call it after all users have stopped.

        Args:
            grace_s: Unused: Locust has waited for its users.
        """
        self.stop()
        assert self._stopped_at is not None
        while (number := self._next_number()) is not None:
            arrival = self._plan.arrival(number)
            due = self._start + arrival.due_s
            if due > self._stopped_at:
                break
            self._tally.not_sent()
            overdue = due < self._stopped_at - _OVERDUE_S
            self._recorder.record_unsent(arrival, due, Cause.NO_FREE_USER if overdue else Cause.RUN_STOPPED)
        while self._idle:
            self._idle.pop().close()

    def _next_number(self) -> int | None:
        return heapq.heappop(self._returned) if self._returned else next(self._numbers, None)

    def _wait_until(self, due: float) -> bool:
        """Wait for a due time; returns False when the run was stopped."""
        while self._stopped_at is None and (left := due - time.monotonic()) > 0:
            gevent.sleep(min(left, _POLL_S))
        return self._stopped_at is None

    def _send(self, arrival: Arrival, due: float) -> None:
        prompt = arrival.prompt
        client: Client | None = None
        self._tally.sent += 1
        sent = time.monotonic()
        try:
            client = self._idle.pop() if self._idle else self._connect()
            sent = time.monotonic()
            answer = client.infer(prompt.text, prompt.max_tokens, self._plan.scenario.request_timeout_s)
        except BaseException as error:
            # a bug of ours or a stop must not lose the row: it is an outcome, which the report shows
            self._end(arrival, due, sent, self._interrupted(error))
            if client is not None:
                client.close()
            if not isinstance(error, Exception):
                raise
        else:
            self._idle.append(client)
            self._end(arrival, due, sent, answer)

    def _interrupted(self, error: BaseException) -> Answer:
        """Return the answer of a request that an exception ended, with the tokens that had arrived."""
        now = time.monotonic()
        if isinstance(error, Exception):
            cause = local_fault(error) or cause_template(f"client: {error!r}")
            return Answer(outcome=Outcome.ERROR, cause=cause, ended=now)
        cause = Cause.USER_STOPPED if self._stopped_at is None else Cause.RUN_STOPPED
        if isinstance(error, Interrupted):
            return replace(error.answer, outcome=Outcome.CUT_OFF, cause=cause, ended=now)
        return Answer(outcome=Outcome.CUT_OFF, cause=cause, ended=now)

    def _end(self, arrival: Arrival, due: float, sent: float, answer: Answer) -> None:
        self._tally.ended(due, answer)
        self._recorder.record(arrival, due, sent, answer)
        self._on_answer(arrival, due, answer)
