"""The sender: open loop, one row per arrival, and no lost rows when the run is stopped."""

import errno
import time
from pathlib import Path

import gevent
import pandas as pd
import pytest
from gevent.pool import Group

from loadgen.base.clock import Clock
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.names import GENERATOR_CAUSES, Cause
from loadgen.load.plan import Arrival, LoadPlan
from loadgen.load.recorder import Recorder
from loadgen.load.sender import Sender
from loadgen.protocols.answer import Answer, Interrupted
from loadgen.scenario.rates import Constant
from loadgen.scenario.settings import Scenario

SCENARIO = Scenario(name="x", load=Constant(per_s=100, duration_s=1), arrivals="even", request_timeout_s=5)


class Server:
    """A hand-written fake of all connections: answers after `hold_s` or fails with `error`, and counts connections.

    With `first_at_once`, a request that is killed has had its first token.
    """

    def __init__(self, hold_s: float = 0.0, error: Exception | None = None, *, first_at_once: bool = False) -> None:
        self.hold_s = hold_s
        self.first_at_once = first_at_once
        self.error = error
        self.connections = 0
        self.closed = 0
        self.answering = self.most_at_once = 0

    def connect(self) -> "Server":
        self.connections += 1
        return self

    def infer(self, prompt: str, max_tokens: int, timeout_s: float) -> Answer:
        self.answering += 1
        self.most_at_once = max(self.most_at_once, self.answering)
        first = time.monotonic()
        try:
            gevent.sleep(self.hold_s)
        except gevent.GreenletExit as stop:
            if not self.first_at_once:
                raise
            raise Interrupted(Answer(outcome="ok", token_times=[first], last=first, ended=first)) from stop
        self.answering -= 1
        if self.error:
            raise self.error
        now = time.monotonic()
        return Answer(outcome="ok", token_times=[now], last=now, ended=now, output_tokens=1)

    def close(self) -> None:
        self.closed += 1


class Bench:
    """A sender with its recorder and any number of users."""

    def __init__(self, folder: RunFolder, server: Server, scenario: Scenario = SCENARIO) -> None:
        clock = Clock.start()
        self.folder = folder
        self.plan = LoadPlan(scenario)
        self.reported: list[Arrival] = []
        self.start = time.monotonic() + 0.05
        self.recorder = Recorder(folder, clock, worker=0)
        self.sender = Sender(
            plan=self.plan,
            numbers=self.plan.share(0, 1),
            start=self.start,
            connect=server.connect,
            recorder=self.recorder,
            on_answer=lambda arrival, due, answer: self.reported.append(arrival),
        )
        self.start_s = clock.at_monotonic(self.start)
        self.users = Group()
        self.stopped = False

    def spawn(self, users: int) -> None:
        def user() -> None:
            while self.sender.send_next() or not (self.sender.counts().complete or self.stopped):
                gevent.sleep(0.01)

        for _ in range(users):
            self.users.spawn(user)

    def rows(self) -> pd.DataFrame:
        self.sender.close()
        self.recorder.flush()
        return self.folder.read("requests").set_index("request_id").sort_index()


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def test_every_arrival_has_a_row_and_its_due_time(folder: RunFolder) -> None:
    """100 arrivals give 100 rows with the planned times, all answered, all reported to Locust."""
    bench = Bench(folder, Server())
    bench.spawn(bench.plan.users(1))
    bench.users.join()
    rows = bench.rows()
    assert list(rows.index) == list(range(100))
    assert rows.scheduled_s.to_list() == pytest.approx((bench.plan.due_s + bench.start_s).tolist())
    assert (rows.outcome == "ok").all()
    assert len(bench.reported) == 100
    assert bench.sender.counts().complete


def test_a_stalled_server_does_not_hold_up_the_load(folder: RunFolder) -> None:
    """While nothing is answered for longer than the load lasts, every request is still sent when it is due."""
    bench = Bench(folder, Server(hold_s=1.5))
    bench.spawn(bench.plan.users(1))
    bench.users.join()
    rows = bench.rows()
    # a closed loop would send nothing more until the first answer at 1.5 s
    assert len(rows) == 100
    assert (rows.sent_s < bench.start_s + 1.4).all()


def test_latency_counts_from_the_due_time(folder: RunFolder) -> None:
    """One user for many requests sends them late; the rows show when they were due and when they were sent."""
    bench = Bench(folder, Server(hold_s=0.02))
    bench.spawn(1)
    bench.users.join()
    rows = bench.rows()
    lag = rows.sent_s - rows.scheduled_s
    # 100 answers of 20 ms each take 2 s, the load lasts 1 s: the last is a second late
    assert lag.iloc[-1] > 0.8
    assert (rows.first_token_s - rows.scheduled_s).iloc[-1] > 0.8


def test_stopping_loses_nothing(folder: RunFolder) -> None:
    """When users are killed, what was in flight is cut off, what was due is not sent, what was not due has no row."""
    bench = Bench(folder, Server(hold_s=60))
    bench.spawn(20)
    gevent.sleep(0.6)
    stopped_s = time.monotonic() - bench.start + bench.start_s
    bench.sender.stop()
    bench.users.kill()
    rows = bench.rows()
    in_flight = rows[rows.outcome == "cut_off"]
    unsent = rows[rows.outcome == "not_sent"]
    assert len(in_flight) == 20
    assert set(in_flight.cause) == {Cause.RUN_STOPPED}
    assert len(rows) == len(in_flight) + len(unsent)
    assert set(unsent.cause) <= {Cause.RUN_STOPPED, Cause.NO_FREE_USER}
    assert unsent.sent_s.isna().all()
    assert list(rows.index) == list(range(len(rows)))
    due = int((bench.plan.due_s + bench.start_s <= stopped_s).sum())
    assert due <= len(rows) <= due + 5
    assert bench.sender.counts().in_flight == 0


def test_a_request_that_a_stop_cuts_off_keeps_its_first_token(folder: RunFolder) -> None:
    """Without it, the TTFT of every stream that is open at the stop would be unknown."""
    bench = Bench(
        folder, Server(hold_s=60, first_at_once=True), SCENARIO.replace(load=Constant(per_s=10, duration_s=0.1))
    )
    bench.spawn(1)
    gevent.sleep(0.3)
    bench.sender.stop()
    bench.users.kill()
    (row,) = bench.rows().itertuples()
    assert (row.outcome, row.cause) == ("cut_off", Cause.RUN_STOPPED)
    assert row.sent_s <= row.first_token_s == row.last_token_s < row.ended_s


def test_an_arrival_whose_user_is_stopped_is_sent_by_another(folder: RunFolder) -> None:
    """Locust stops one of 8 users while it waits for a due time: every arrival is still sent."""
    bench = Bench(folder, Server())
    bench.spawn(8)
    gevent.sleep(0.3)
    bench.users.killone(next(iter(bench.users)))
    bench.users.join()
    rows = bench.rows()
    assert list(rows.index) == list(range(100))
    assert set(rows.outcome) == {"ok"}


def test_a_request_whose_user_is_stopped_is_cut_off(folder: RunFolder) -> None:
    """A user that is stopped while the run continues: its cause makes the run invalid, unlike a stop of the run."""
    bench = Bench(folder, Server(hold_s=60), SCENARIO.replace(load=Constant(per_s=10, duration_s=0.1)))
    bench.spawn(1)
    gevent.sleep(0.3)
    bench.users.kill()
    rows = bench.rows()
    assert rows.cause.to_list() == [Cause.USER_STOPPED]


def test_after_a_stop_nothing_is_sent_and_users_return(folder: RunFolder) -> None:
    """In the grace time, requests in flight finish, and arrivals that become due leave no row."""
    bench = Bench(folder, Server(hold_s=0.5))
    bench.spawn(bench.plan.users(1))
    gevent.sleep(0.4)
    bench.sender.stop()
    stopped_s = time.monotonic() - bench.start + bench.start_s
    bench.stopped = True
    with gevent.Timeout(10):
        bench.users.join()
    gevent.sleep(1.2)  # what was due before the stop would now be overdue
    rows = bench.rows()
    assert (rows.scheduled_s <= stopped_s).all()
    assert set(rows.outcome) <= {"ok", "not_sent"}
    assert set(rows.cause.dropna()) <= {Cause.RUN_STOPPED}
    assert list(rows.index) == list(range(len(rows)))


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (OSError(errno.EMFILE, "Too many open files"), Cause.NO_DESCRIPTOR),
        (OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"), Cause.NO_PORT),
        (MemoryError(), Cause.NO_MEMORY),
    ],
)
def test_a_connection_that_cannot_be_made_is_an_outcome(fault: Exception, cause: Cause, folder: RunFolder) -> None:
    """One connection fails for lack of something: its row is an error of the load generator, the others are sent."""

    class Short(Server):
        def connect(self) -> "Server":
            super().connect()
            if self.connections == 1:
                raise fault
            return self

    bench = Bench(folder, Short())
    bench.spawn(bench.plan.users(1))
    bench.users.join()
    rows = bench.rows()
    assert len(rows) == 100
    assert rows.outcome.value_counts().to_dict() == {"ok": 99, "error": 1}
    assert rows.cause.dropna().to_list() == [cause]
    assert cause in GENERATOR_CAUSES


def test_users_waiting_for_a_due_time_leave_no_row(folder: RunFolder) -> None:
    """A user that is stopped while it waits for a due time in the future leaves no row."""
    late = SCENARIO.replace(load=Constant(per_s=0.1, duration_s=60))
    bench = Bench(folder, Server(), late)
    bench.spawn(3)
    gevent.sleep(0.1)
    bench.users.kill()
    assert len(bench.rows()) == 0


def test_an_exception_in_the_client_is_an_outcome(folder: RunFolder) -> None:
    """An exception in the client is recorded as an error with its name; the load continues."""
    server = Server(error=RuntimeError("boom"))
    bench = Bench(folder, server)
    bench.spawn(bench.plan.users(1))
    bench.users.join()
    rows = bench.rows()
    assert set(rows.outcome) == {"error"}
    assert set(rows.cause) == {"client: RuntimeError('boom')"}
    assert server.closed == server.connections


def test_connections_are_reused(folder: RunFolder) -> None:
    """Requests that do not overlap share one connection, and it is closed at the end."""
    server = Server()
    bench = Bench(folder, server)
    bench.spawn(bench.plan.users(1))
    bench.users.join()
    bench.sender.close()
    bench.recorder.flush()
    # how many overlap depends on the machine: after a stall, all that became due meanwhile do
    assert server.connections <= server.most_at_once
    assert server.closed == server.connections
