"""Workers that join or leave during a run: Locust's own master moves no user, so that no request is cut."""

from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from locust import User, __version__, runners, task
from locust.env import Environment
from locust.rpc import Message
from locust.runners import STATE_RUNNING, STATE_STOPPED, MasterRunner

from loadgen.load.adapters.dispatcher import Dispatchers

USERS = 12


class AnyUser(User):
    @task
    def nothing(self) -> None:
        pass


class Server:
    """A hand-written fake of Locust's message server, which records how many users each worker is sent."""

    def __init__(self, host: str, port: int) -> None:
        self.users: dict[str, int] = {}

    def recv_from_client(self) -> None:
        gevent.sleep(60)

    def send_to_client(self, message: Any) -> None:
        if message.type == "spawn":
            self.users[message.node_id] = sum(message.data["user_classes_count"].values())


class Master:
    """Locust's master, and the users that it sends to each worker."""

    def __init__(self) -> None:
        self.runner = MasterRunner(Environment(user_classes=[AnyUser]), "127.0.0.1", 0)
        self.dispatchers = Dispatchers(self.runner)
        self.users: dict[str, int] = self.runner.server.users
        self.runner._wait_for_workers_report_after_ramp_up = lambda: 0.0  # type: ignore[method-assign]

    def join(self, worker: str) -> None:
        self.runner.handle_message(worker, Message("client_ready", __version__, worker))

    def start(self) -> None:
        self.runner.environment.events.test_start.add_listener(lambda **_: self.dispatchers.fix())
        self.runner.start(USERS, 100)
        self.runner.state = STATE_RUNNING


@pytest.fixture
def master(monkeypatch: pytest.MonkeyPatch) -> Iterator[Master]:
    monkeypatch.setattr(runners.rpc, "Server", Server)
    monkeypatch.setattr(MasterRunner, "rebalancing_enabled", lambda _: False)
    master = Master()
    master.join("a")
    master.join("b")
    master.start()
    assert master.users == {"a": 6, "b": 6}
    yield master
    master.runner.greenlet.kill(block=True)


def test_a_worker_that_joins_during_a_run(master: Master, capsys: pytest.CaptureFixture[str]) -> None:
    """It gets no user; the others keep theirs, and with them their requests in flight."""
    master.join("c")
    assert master.users == {"a": 6, "b": 6}
    assert "worker c joined during a run and sends nothing in it" in capsys.readouterr().err


def test_a_worker_that_leaves_during_a_run(master: Master) -> None:
    """The users of the other worker stay; also when Locust asks for a new dispatcher, a minute later."""
    master.runner.handle_message("b", Message("quit", None, "b"))
    assert master.users == {"a": 6, "b": 6}
    master.runner._users_dispatcher = None
    master.runner.start(USERS, 100)
    assert master.users == {"a": 6, "b": 6}


def test_the_next_run_uses_every_worker(master: Master) -> None:
    """A worker that joined during a run takes part in the next one."""
    master.join("c")
    master.runner._users_dispatcher = None
    master.runner.state = STATE_STOPPED
    master.start()
    assert master.users == {"a": 4, "b": 4, "c": 4}


def test_locust_alone_moves_users(master: Master) -> None:
    """Without fixed users, Locust stops users of the others for a worker that joins: the tests above can fail."""
    assert master.dispatchers._current is not None
    master.dispatchers._current.fixed = False
    master.join("c")
    assert master.users == {"a": 4, "b": 4, "c": 4}
