"""The dispatcher: every arrival is sent when it is due and has one row, whatever server, listeners and stops do."""

import time
from collections.abc import Callable
from pathlib import Path

import gevent
import pandas as pd
import pytest

from loadgen.base.clock import Clock
from loadgen.dataset.folder import RunFolder
from loadgen.load.dispatcher import Dispatcher
from loadgen.load.plan import Arrival, LoadPlan
from loadgen.load.recorder import Recorder
from loadgen.load.timer import Timer
from loadgen.protocols.answer import Answer
from loadgen.protocols.wire.exchange import Exchange
from loadgen.scenario.rates import Constant
from loadgen.scenario.settings import Scenario

SCENARIO = Scenario(name="x", load=Constant(per_s=100, duration_s=0.2), arrivals="even", request_timeout_s=5)


class Server:
    """A hand-written client and channel in one, whose requests end after `hold_s`, or never."""

    def __init__(self, hold_s: float | None = 0.0) -> None:
        self.hold_s = hold_s
        self.submitted: list[float] = []
        self.ended: list[float] = []
        self.most_at_once = self.open = self.closed = 0
        self.codec = self.channel = self

    def encode(self, prompt: str, max_tokens: int) -> bytes:
        return prompt.encode()

    def submit(self, exchange: Exchange) -> None:
        exchange.submitted_at = time.monotonic()
        self.submitted.append(exchange.submitted_at)
        self.open += 1
        self.most_at_once = max(self.most_at_once, self.open)
        if self.hold_s is not None:
            gevent.spawn_later(self.hold_s, self._answer, exchange)

    def _answer(self, exchange: Exchange) -> None:
        self.open -= 1
        exchange.end()
        self.ended.append(exchange.ended_at or 0.0)

    def cancel(self, exchange: Exchange, message: str, code: str) -> None:
        exchange.fail(message, code=code)

    def answer(self, exchange: Exchange, pause: object = None) -> Answer:
        assert exchange.ended_at is not None
        first = exchange.submitted_at
        return Answer(outcome="ok", token_times=[first], last=first, ended=exchange.ended_at, output_tokens=1)

    def close(self) -> None:
        self.closed += 1


class Bench:
    """A dispatcher with its recorder."""

    def __init__(
        self,
        path: Path,
        server: Server,
        scenario: Scenario = SCENARIO,
        on_answer: Callable[[Arrival, float, Answer], None] | None = None,
    ) -> None:
        self.folder, clock = RunFolder(path), Clock.start()
        self.recorder = Recorder(self.folder, clock, worker=0)
        self.reported: list[int] = []
        self.plan = LoadPlan(scenario)
        self.start = time.monotonic() + 0.05
        self.start_s = clock.at_monotonic(self.start)
        self.dispatcher = Dispatcher(
            plan=self.plan,
            numbers=self.plan.share(0, 1),
            start=self.start,
            client=server,  # type: ignore[arg-type]  # hand-written
            recorder=self.recorder,
            on_answer=on_answer or (lambda arrival, due, answer: self.reported.append(arrival.number)),
        )

    def wait(self) -> None:
        with gevent.Timeout(20):
            while not self.dispatcher.counts().complete:
                gevent.sleep(0.01)

    def rows(self, grace_s: float = 0.0) -> pd.DataFrame:
        self.dispatcher.close(grace_s)
        self.recorder.flush()
        return self.folder.read("requests").set_index("request_id").sort_index()


def test_every_arrival_is_sent_when_it_is_due(tmp_path: Path) -> None:
    """Each of the 20 arrivals has a row with its due time, is reported to Locust, and is not sent before."""
    server = Server()
    bench = Bench(tmp_path, server)
    bench.wait()
    rows = bench.rows()
    assert list(rows.index) == list(range(20))
    assert rows.scheduled_s.tolist() == pytest.approx([bench.start_s + (k + 0.5) / 100 for k in range(20)])
    assert (rows.sent_s >= rows.scheduled_s).all()
    assert sorted(bench.reported) == list(range(20))
    assert (bench.dispatcher.counts().ok, server.closed) == (20, 1)


def test_no_answer_holds_up_the_load(tmp_path: Path) -> None:
    """While the server answers nothing, all 20 requests are sent at their times: all are in flight at once."""
    server = Server(hold_s=0.4)
    bench = Bench(tmp_path, server)
    bench.wait()
    assert server.most_at_once == 20
    assert bench.dispatcher.counts().failed == 0


def test_a_stop_loses_nothing(tmp_path: Path) -> None:
    """After a stop nothing is sent; what is in flight ends by itself within the grace time, or is cut off after it."""
    for hold_s, grace_s, outcome in ((0.3, 5.0, "ok"), (None, 0.1, "cut_off")):
        server = Server(hold_s)
        (folder := tmp_path / outcome).mkdir()
        bench = Bench(folder, server)
        with gevent.Timeout(20):
            while len(server.submitted) < 5:
                gevent.sleep(0.001)
        bench.dispatcher.stop()
        sent = len(server.submitted)
        rows = bench.rows(grace_s)
        assert len(server.submitted) == sent
        assert rows.outcome[:sent].tolist() == [outcome] * sent
        assert set(rows.outcome[sent:]) <= {"not_sent"}  # due before the stop, and the timer had no turn
        assert set(rows.cause.dropna()) <= {"run stopped"}
        assert bench.dispatcher.counts().in_flight == 0


def test_arrivals_that_were_due_and_never_sent(tmp_path: Path) -> None:
    """If the hub has no turn from the first due time to the stop, each due arrival has a row that says so."""
    server = Server()
    bench = Bench(tmp_path, server)
    gevent.sleep(0)  # requests are encoded
    time.sleep(0.16)
    bench.dispatcher.stop()
    rows = bench.rows()
    assert len(rows) >= 10
    assert set(rows.outcome) == {"not_sent"}
    assert set(rows.cause) == {"run stopped"}
    assert not server.submitted


def test_a_listener_that_blocks_sees_every_request_and_moves_no_stamp(tmp_path: Path) -> None:
    """A listener that takes longer than the load gets every answer; rows are recorded before it has returned."""
    seen: list[int] = []

    def blocking(arrival: Arrival, due: float, answer: Answer) -> None:
        gevent.sleep(0.05)
        seen.append(arrival.number)

    server = Server()
    bench = Bench(tmp_path, server, on_answer=blocking)
    bench.wait()
    reported_at_the_end = len(seen)
    rows = bench.rows()
    assert reported_at_the_end < 20
    assert sorted(seen) == list(range(20))
    assert sorted(rows.ended_s + bench.start - bench.start_s) == pytest.approx(sorted(server.ended), abs=1e-6)


def test_an_exception_of_ours_is_reported(tmp_path: Path) -> None:
    """A listener of ours that fails ends the run with a sentence, and loses no row."""

    def failing(arrival: Arrival, due: float, answer: Answer) -> None:
        raise RuntimeError("boom")

    bench = Bench(tmp_path, Server(), on_answer=failing)
    bench.wait()
    assert "boom" in (bench.dispatcher.counts().error or "")
    assert len(bench.rows()) == 20


def test_an_answer_that_cannot_be_decoded_is_an_outcome(tmp_path: Path) -> None:
    """A fault of ours in one answer costs this answer."""

    class Faulty(Server):
        def answer(self, exchange: Exchange, pause: object = None) -> Answer:
            if len(self.submitted) == 7:
                raise ValueError("boom")
            return super().answer(exchange, pause)

    bench = Bench(tmp_path, Faulty())
    bench.wait()
    rows = bench.rows()
    assert len(rows) == 20
    assert rows.cause.dropna().str.contains("boom").all()
    assert rows.outcome.value_counts().get("error", 0) >= 1


def test_bytes_ahead_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are encoded ahead of time only up to a number of bytes, and all are sent in the end."""
    monkeypatch.setattr("loadgen.load.dispatcher._AHEAD_BYTES", 1)
    monkeypatch.setattr("loadgen.load.dispatcher._POLL_S", 0.001)
    server = Server()
    bench = Bench(tmp_path, server)
    bench.wait()
    assert len(bench.rows()) == 20


def test_a_timer_calls_once_and_not_too_early() -> None:
    """A start in the past calls now; a later start replaces an earlier one."""
    called: list[float] = []
    timer = Timer(lambda: called.append(time.monotonic()))
    timer.start(time.monotonic() - 1)
    gevent.sleep(0.02)
    assert len(called) == 1
    due = time.monotonic() + 0.05
    timer.start(time.monotonic() + 0.01)
    timer.start(due)
    gevent.sleep(0.1)
    timer.close()
    timer.close()
    assert len(called) == 2
    assert called[1] >= due
