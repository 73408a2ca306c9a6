"""Workers of a distributed generator: those on other hosts with their clocks and servers, and those that die."""

import time
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from locust import runners
from locust.env import Environment

from loadgen.base.clock import Clock
from loadgen.base.errors import ExitCode, LoadgenError
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.run_info import RunInfo, ValidityLimits
from loadgen.load.adapters import generators
from loadgen.load.adapters.generators import DistributedGenerator, Worker
from loadgen.load.host import Host
from loadgen.load.share import REFERENCE_MODEL, Assignment
from loadgen.load.tally import Counts
from loadgen.protocols.endpoint import Endpoint
from loadgen.scenario.rates import Constant
from loadgen.scenario.settings import Scenario

SCENARIO = Scenario(name="x", load=Constant(per_s=2, duration_s=1), arrivals="even", request_timeout_s=1)
NOWHERE = Endpoint(address="127.0.0.1:1", protocol="http")  # gRPC wants a process that gevent has patched


class Client:
    def __init__(self, name: str) -> None:
        self.id = name


class Clients:
    def __init__(self, *names: str) -> None:
        self.ready = [Client(name) for name in names]
        self.spawning: list[Client] = []
        self.running: list[Client] = []


class Messages:
    """A hand-written fake of a Locust runner that passes messages; it calls listeners immediately."""

    environment = Namespace(stop_timeout=None)

    def __init__(self, *workers: str) -> None:
        self.listeners: dict[str, Any] = {}
        self.sent: list[tuple[str, Any]] = []
        self.clients = Clients(*workers or ("a",))
        self.answer: Any = None

    def register_message(self, name: str, listener: Any, concurrent: bool = False) -> None:
        self.listeners[name] = listener

    def send_message(self, name: str, data: Any = None, client_id: str | None = None) -> None:
        self.sent.append((name, data))
        if self.answer is not None:
            self.tell("loadgen_prepared", self.answer(data), client_id)

    def tell(self, name: str, data: Any, worker: str | None = "a") -> None:
        message = type("Message", (), {"data": data, "node_id": worker})()
        self.listeners[name](environment=None, msg=message)


def assignment(folder: Path, master: Host) -> Assignment:
    return Assignment(
        folder=str(folder),
        master=master,
        endpoint=NOWHERE,
        model=REFERENCE_MODEL,
        stream=True,
        reference=NOWHERE,
        worker=1,
        workers=2,
    )


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    clock = Clock.start()
    folder = RunFolder.create(tmp_path, "x", clock)
    folder.write_info(
        RunInfo(
            run_id="x",
            scenario="x",
            anchor_unix_s=clock.anchor_unix_s,
            # as on another machine with another uptime
            anchor_monotonic_s=clock.anchor_monotonic_s - 5e6,
            target="grpc://127.0.0.1:1",
            protocol="grpc",
            stream=True,
            validity=ValidityLimits(send_lag_p99_s=0.05, scrape_gap_s=5, min_samples=100),
            settings=SCENARIO.model_dump(mode="json"),
        )
    )
    return folder


def prepared(folder: Path, master: Host) -> dict[str, Any]:
    """Return a worker's answer to this assignment."""
    runner: Any = Messages()
    Worker(Environment(), runner)
    runner.tell("loadgen_prepare", assignment(folder, master).to_message())
    (answer,) = [data for name, data in runner.sent if name == "loadgen_prepared"]
    return dict(answer)


def test_a_worker_on_another_host_starts_its_own_reference_server(run: RunFolder) -> None:
    """The master's reference server is unreachable from there; the worker also reports its wall clock."""
    answer = prepared(run.path, Host(boot="another", network="1"))
    assert answer["error"] is None
    assert answer["unix_s"] == pytest.approx(time.time(), abs=5)
    assert (run.logs / "reference-2.log").read_text().startswith("{")


def test_a_worker_in_another_pod_shares_the_clock_but_not_the_loopback(run: RunFolder) -> None:
    """Pods of one node: the worker starts its own reference server, and clocks need no comparison."""
    answer = prepared(run.path, Host(boot=Host.here().boot, network="another"))
    assert answer["error"] is None
    assert answer["unix_s"] is None
    assert (run.logs / "reference-2.log").exists()


def test_a_worker_on_the_masters_host_uses_the_masters_reference_server(run: RunFolder) -> None:
    """As with --processes; here that server is unreachable, and the self-check reports it."""
    answer = prepared(run.path, Host.here())
    assert "streams to the built-in reference server" in answer["error"]
    assert not (run.logs / "reference-2.log").exists()


def test_a_worker_without_the_run_folder_says_what_to_mount(tmp_path: Path) -> None:
    """A pod without the volume of the runs reports it before any request."""
    answer = prepared(tmp_path / "not-mounted", Host(boot="another", network="1"))
    assert "a worker cannot access the run folder" in answer["error"]
    assert "ReadWriteMany" in answer["error"]
    assert answer["exit_code"] == ExitCode.TOOL


def test_run_time_on_another_host_follows_its_wall_clock() -> None:
    """Both hosts read the same run time at one moment, whatever their monotonic clocks read."""
    master = Clock(anchor_unix_s=time.time() - 100, anchor_monotonic_s=time.monotonic() - 100 - 5e6)
    assert master.elsewhere().now_s() == pytest.approx(100, abs=0.1)
    assert master.elsewhere().to_unix(7.0) == master.to_unix(7.0)


@pytest.mark.parametrize("skew_s", [-2.5, 2.5])
def test_clock_skew_is_refused(skew_s: float, run: RunFolder) -> None:
    """With more than a second of skew, rows of two hosts cannot share a time axis: refused before any request."""
    master: Any = Messages()
    generator = DistributedGenerator(master)
    part = assignment(run.path, Host.here())
    answered = {"folder": part.folder, "error": None, "exit_code": 0}
    master.answer = lambda _: {**answered, "unix_s": time.time() + skew_s}
    with pytest.raises(LoadgenError, match="synchronize all hosts with one time server") as caught:
        generator.prepare([part])
    assert f"{skew_s:+.1f} s" in str(caught.value)
    assert caught.value.exit_code == ExitCode.TOOL


@pytest.mark.parametrize("skew_s", [None, 0.4])
def test_small_clock_skew_is_accepted(skew_s: float | None, run: RunFolder) -> None:
    """Less than a second, or workers on the same host."""
    master: Any = Messages()
    part = assignment(run.path, Host.here())
    answered = {"folder": part.folder, "error": None, "exit_code": 0}
    master.answer = lambda _: {**answered, "unix_s": None if skew_s is None else time.time() + skew_s}
    DistributedGenerator(master).prepare([part])


@pytest.mark.parametrize(("dead", "named"), [(("b",), "2"), (("a", "b"), "1, 2")], ids=["one", "all"])
def test_workers_that_die_are_named_and_not_waited_for(
    dead: tuple[str, ...], named: str, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends with their numbers, and with the rows of those that are alive."""
    monkeypatch.setattr(runners, "HEARTBEAT_LIVENESS", runners.HEARTBEAT_LIVENESS)  # the generator sets it
    monkeypatch.setattr(generators, "_SILENT_S", 0.2)
    master: Any = Messages("a", "b")
    part = assignment(run.path, Host.here())
    master.answer = lambda _: {"folder": part.folder, "error": None, "exit_code": 0, "unix_s": None}
    generator = DistributedGenerator(master)
    generator.prepare([part, part])
    master.answer = None
    generator.start(0.0)
    assert generator.counts().error is None
    master.clients.ready = [client for client in master.clients.ready if client.id not in dead]
    assert generator.counts().error is None  # disconnected, but not silent yet
    time.sleep(0.3)
    for client in master.clients.ready:
        master.tell("loadgen_counts", asdict(Counts(total=1, sent=1, ok=1, closed=True)), client.id)
    assert f"worker {named} of 2 died" in str(generator.counts().error)
    assert not generator.counts().complete
    generator.close()
    assert [name for name, _ in master.sent].count("loadgen_close") == 2


def test_hosts_are_identified() -> None:
    """On Linux, boot and network are known, and the same for two processes of one host."""
    here = Host.here()
    assert here.boot
    assert here.network
    assert here.same_clock(Host.here())
    assert here.same_loopback(Host.here())
    assert not here.same_loopback(Host(boot=here.boot, network="another"))
