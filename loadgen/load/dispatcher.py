"""Sends one process's share of the arrivals, each at its due time, without a greenlet for each request (open loop).

A greenlet encodes requests ahead of their due times. A timer of the hub hands them to the channel when they are due.
When their answers have ended, a greenlet decodes and records them, and another one reports them to Locust: whatever
these do, the time stamps have been taken.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

import gevent
from gevent.event import Event

from loadgen.base.errors import unexpected
from loadgen.dataset.causes import cause_template
from loadgen.dataset.names import Cause, Outcome
from loadgen.load.plan import Arrival, LoadPlan
from loadgen.load.recorder import Recorder
from loadgen.load.tally import Counts, OnAnswer, Tally
from loadgen.load.timer import Pause, Timer
from loadgen.protocols.answer import Answer
from loadgen.protocols.wire.client import WireClient
from loadgen.protocols.wire.exchange import Exchange

_AHEAD_S = 2.0
"""How long before their due times requests are encoded."""
_AHEAD_BYTES = 64 * 2**20
"""Most bytes of requests that are encoded and not yet due."""
_PER_TURN = 64
"""Most requests that one turn of the hub sends."""
_POLL_S = 0.1
_REPORT_TIMEOUT_S = 30.0
"""Time for Locust's listeners to handle the last requests."""


class Dispatcher:
    """Sends the share of one process.

    Args:
        plan: All arrivals of the run.
        numbers: Numbers of the arrivals to send from here.
        start: Reading of the monotonic clock at which the load starts, seconds.
        client: Sends the requests.
        recorder: Records the rows.
        on_answer: Called after every request, for Locust's statistics; it may block, and delays nothing but itself.
    """

    def __init__(
        self,
        *,
        plan: LoadPlan,
        numbers: range,
        start: float,
        client: WireClient,
        recorder: Recorder,
        on_answer: OnAnswer,
    ) -> None:
        self._plan = plan
        self._start = start
        self._client = client
        self._recorder = recorder
        self._on_answer = on_answer
        self._tally = Tally(len(numbers))
        self._arrivals = (plan.arrival(number) for number in numbers)
        self._next: Arrival | None = next(self._arrivals, None)
        self._encoded: deque[tuple[Arrival, float, bytes]] = deque()
        self._encoded_bytes = 0
        self._in_flight: dict[Exchange, tuple[Arrival, float]] = {}
        self._ended: deque[Exchange] = deque()
        self._something_ended = Event()
        self._answers: deque[tuple[Arrival, float, Answer]] = deque()
        self._something_to_report = Event()
        self._stopped_at: float | None = None
        self._fault: BaseException | None = None
        self._pauses = {name: Pause() for name in ("encode", "record", "report")}
        self._timer = Timer(self._send_due)
        self._greenlets = [
            gevent.spawn(self._guarded, each) for each in (self._encode_ahead, self._record, self._report)
        ]

    def stop(self) -> None:
        """Stop sending; requests in flight continue. A second call does nothing."""
        if self._stopped_at is None:
            self._stopped_at = time.monotonic()
            self._timer.close()

    def drain(self, grace_s: float) -> None:
        """Wait for the requests in flight, until `grace_s` seconds after the stop."""
        assert self._stopped_at is not None
        deadline = self._stopped_at + grace_s
        while self._in_flight and time.monotonic() < deadline:
            gevent.sleep(min(_POLL_S, max(deadline - time.monotonic(), 0.0)))

    def counts(self) -> Counts:
        """Return the progress of this process."""
        counts = self._tally.counts()
        return counts if self._fault is None else replace(counts, error=str(unexpected(self._fault)))

    def close(self, grace_s: float = 0.0) -> None:
        """Stop sending, end what is in flight, record what was never sent, and close all connections.

        Args:
            grace_s: Time for requests in flight to end by themselves, seconds.
        """
        self.stop()
        assert self._stopped_at is not None
        self.drain(grace_s)
        for exchange in [each for each in self._in_flight if each.ended_at is None]:
            self._client.channel.cancel(exchange, Cause.RUN_STOPPED, "STOPPED")
        self._record_unsent(self._stopped_at)
        deadline = time.monotonic() + _REPORT_TIMEOUT_S
        while (self._in_flight or self._answers) and time.monotonic() < deadline and self._fault is None:
            gevent.sleep(_POLL_S / 10)
        gevent.killall(self._greenlets)
        for pause in self._pauses.values():
            pause.close()
        self._client.close()

    def _guarded(self, function: Callable[[], None]) -> None:
        try:
            function()
        except Exception as fault:  # a bug of ours must end the run with a message rather than lose rows
            self._fault = fault

    def _record_unsent(self, stopped_at: float) -> None:
        rest = [arrival for arrival, _, _ in self._encoded]
        self._encoded.clear()
        for arrival in (*rest, *self._unencoded()):
            due = self._start + arrival.due_s
            if due > stopped_at:
                break
            self._tally.not_sent()
            self._recorder.record_unsent(arrival, due, Cause.RUN_STOPPED)

    # -- encoding -----------------------------------------------------------------------------------------------------

    def _unencoded(self) -> Iterator[Arrival]:
        while self._next is not None:
            arrival, self._next = self._next, next(self._arrivals, None)
            yield arrival

    def _encode_ahead(self) -> None:
        pause = self._pauses["encode"]
        while self._next is not None and self._stopped_at is None:
            if self._encoded_bytes > _AHEAD_BYTES or self._start + self._next.due_s > time.monotonic() + _AHEAD_S:
                gevent.sleep(_POLL_S)
                pause.begin()
            else:
                pause()
                self._encode_next()
                if len(self._encoded) == 1:
                    self._timer.start(self._encoded[0][1])

    def _encode_next(self) -> None:
        arrival, self._next = self._next, next(self._arrivals, None)
        assert arrival is not None
        body = self._client.codec.encode(arrival.prompt.text, arrival.prompt.max_tokens)
        self._encoded.append((arrival, self._start + arrival.due_s, body))
        self._encoded_bytes += len(body)

    # -- sending, in the hub ------------------------------------------------------------------------------------------

    def _send_due(self) -> None:
        encoded, timeout_s, channel = self._encoded, self._plan.scenario.request_timeout_s, self._client.channel
        now = time.monotonic()
        left = _PER_TURN
        while encoded and encoded[0][1] <= now and left:
            left -= 1
            arrival, due, body = encoded.popleft()
            self._encoded_bytes -= len(body)
            exchange = Exchange(body, timeout_s, self._on_end)
            self._in_flight[exchange] = arrival, due
            self._tally.sent += 1
            channel.submit(exchange)
        if encoded:
            self._timer.start(encoded[0][1])

    def _on_end(self, exchange: Exchange) -> None:
        self._ended.append(exchange)
        self._something_ended.set()

    # -- recording and reporting --------------------------------------------------------------------------------------

    def _record(self) -> None:
        """Decode and record answers as they end, in slices between which the hub reads and sends."""
        pause = self._pauses["record"]
        while True:
            self._something_ended.wait()
            self._something_ended.clear()
            pause.begin()
            while self._ended:
                exchange = self._ended.popleft()
                self._record_one(exchange, *self._in_flight.pop(exchange))
                pause()

    def _record_one(self, exchange: Exchange, arrival: Arrival, due: float) -> None:
        try:
            answer = self._client.answer(exchange, self._pauses["record"])
        except Exception as error:  # a bug of ours must not lose the row: it is an outcome, which the report shows
            cause = cause_template(f"client: {error!r}")
            answer = Answer(outcome=Outcome.ERROR, cause=cause, ended=exchange.ended_at or time.monotonic())
        if exchange.code == "STOPPED":
            answer.outcome, answer.cause = Outcome.CUT_OFF, Cause.RUN_STOPPED
        self._tally.ended(due, answer)
        self._recorder.record(arrival, due, exchange.submitted_at, answer)
        self._answers.append((arrival, due, answer))
        self._something_to_report.set()

    def _report(self) -> None:
        """Report answers to Locust, whose listeners may take their time."""
        pause = self._pauses["report"]
        while True:
            self._something_to_report.wait()
            self._something_to_report.clear()
            pause.begin()
            while self._answers:
                self._on_answer(*self._answers[0])
                self._answers.popleft()
                pause()
