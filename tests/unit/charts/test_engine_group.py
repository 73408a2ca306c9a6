"""A model on several pods: the chart's programs of leader, workers and agent.

`mpirun` and `tritonserver` are stand-ins, except in two tests, which need Open MPI.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from support.charts.engine_programs import ENGINE, output, until

# writes the name of its host when it is up; rank 0 ends on SIGTERM, the others end with it
SERVER = """#!{python}
import os, pathlib, signal, sys, time
rank = next(flag[5:] for flag in sys.argv if flag.startswith("--id="))
state = pathlib.Path({state!r})
def finish(number, frame):
    time.sleep(0.5)
    (state / f"{{rank}}.finished").touch()
    sys.exit(0)
signal.signal(signal.SIGTERM, finish)
(state / f"{{rank}}.up").write_text(os.environ.get("POD", ""))
while not (rank != "rank0" and (state / "rank0.finished").exists()):
    time.sleep(0.02)
"""
# as with Open MPI, ranks fill the hosts of the file in order, and the agent starts those of other hosts
MPIRUN = """#!{python}
import shlex, signal, subprocess, sys
flags, ranks = sys.argv[1:], [[]]
for flag in flags:
    ranks.append([]) if flag == ":" else ranks[-1].append(flag)
ranks = [rank[rank.index("-n") + 2:] for rank in ranks]
hosts = [line.split() for line in open(flags[flags.index("--hostfile") + 1])]
agent = flags[flags.index("plm_rsh_agent") + 1].split()
started = []
for number, (host, slots) in enumerate(hosts):
    count = int(slots.removeprefix("slots="))
    local, ranks = ranks[:count], ranks[count:]
    if number == 0:
        started += [subprocess.Popen(rank) for rank in local]
    else:
        started.append(subprocess.Popen([*agent, host, " & ".join(map(shlex.join, local)) + " & wait"]))
def kill(number, frame):
    for each in started:
        each.kill()
signal.signal(signal.SIGTERM, kill)
while started:
    codes = [each.poll() for each in started]
    if any(codes):
        kill(0, None)
        sys.exit(1)
    if None not in codes:
        sys.exit(0)
    try:
        started[0].wait(0.05)
    except subprocess.TimeoutExpired:
        pass
"""


class Group:
    """The pods of a group, as processes of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])
        self.started: list[subprocess.Popen[str]] = []
        for name, text in (("tritonserver", SERVER), ("mpirun", MPIRUN)):
            (folder / name).write_text(text.format(python=sys.executable, state=str(folder)))
            (folder / name).chmod(stat.S_IRWXU)

    def leader(
        self, world_size: int = 4, nodes: int = 2, mpirun: str = "", wait_s: float = 30, **environment: str
    ) -> subprocess.Popen[str]:
        return self._start(
            "launch.py", "--world-size", str(world_size), "--nodes", str(nodes), "--port", self.port,
            "--wait-s", str(wait_s), "--tritonserver", str(self.folder / "tritonserver"),
            "--mpirun", mpirun or str(self.folder / "mpirun"), "--model-repository", "/models",
            POD="leader", **environment,
        )  # fmt: skip

    def worker(self, number: int = 1, wait_s: float = 30, **environment: str) -> subprocess.Popen[str]:
        host = f"llm-0-{number}"
        flags = ("--host", host, "--port", self.port, "--wait-s", str(wait_s), "--poll-s", "0.05")
        lws = {"LWS_LEADER_ADDRESS": "127.0.0.1", "LWS_WORKER_INDEX": str(number)}
        return self._start("worker.py", *flags, POD=host, **{**lws, **environment})

    def _start(self, program: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(ENGINE / program), *arguments]
        self.started.append(
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
                env={**os.environ, **environment},
            )
        )
        return self.started[-1]

    def wait_until_up(self, ranks: int) -> None:
        until(lambda: all(self.pod_of(rank) for rank in range(ranks)))

    def pod_of(self, rank: int) -> str:
        """Return the pod that a rank runs on; empty until the rank is up."""
        file = self.folder / f"rank{rank}.up"
        return file.read_text() if file.exists() else ""

    def kill(self, pod: subprocess.Popen[str]) -> list[psutil.Process]:
        """Kill all processes of a pod at once, and return its child processes."""
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(pod.pid).children(recursive=True)
            for process in (psutil.Process(pod.pid), *children):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            return children
        return []

    def end(self) -> None:
        for pod in self.started:
            self.kill(pod)
        for pod in self.started:
            pod.communicate(timeout=20)


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    group = Group(tmp_path)
    yield group
    group.end()


def test_ranks_fill_the_leader_and_then_its_workers(group: Group) -> None:
    """Of three pods with two GPUs the leader has ranks 0 and 1, and servers start once all workers are connected."""
    leader = group.leader(world_size=6, nodes=3)
    group.worker(2)
    assert leader.stdout is not None
    until(lambda: "worker 2 connected" in leader.stdout.readline())
    assert not (group.folder / "rank0.up").exists()
    group.worker(1)
    group.wait_until_up(6)
    pods = ["leader", "leader", "llm-0-1", "llm-0-1", "llm-0-2", "llm-0-2"]
    assert [group.pod_of(rank) for rank in range(6)] == pods


def test_a_terminated_group_finishes_its_requests(group: Group) -> None:
    """Workers that get SIGTERM together with the leader run until it has finished; all exit with 0."""
    pods = [group.leader(), group.worker()]
    group.wait_until_up(4)
    for pod in reversed(pods):
        pod.send_signal(signal.SIGTERM)
    results = [output(pod) for pod in pods]
    assert [code for code, _ in results] == [0, 0], results
    assert (group.folder / "rank0.finished").exists()
    assert "continues until the leader has ended" in results[1][1]


def test_a_leader_that_dies_ends_its_workers(group: Group) -> None:
    """The ranks on the workers end as well, and the exit code 1 makes the controller recreate the group."""
    leader, worker = group.leader(), group.worker()
    group.wait_until_up(4)
    ranks = psutil.Process(worker.pid).children(recursive=True)
    group.kill(leader)
    code, log = output(worker)
    assert (code, "the leader has ended" in log) == (1, True), log
    assert not [rank for rank in ranks if rank.is_running() and rank.status() != psutil.STATUS_ZOMBIE]


def test_a_worker_that_dies_ends_the_leader(group: Group) -> None:
    """A leader exits with an error when a worker is lost."""
    leader, worker = group.leader(), group.worker()
    group.wait_until_up(4)
    group.kill(worker)
    code, log = output(leader)
    assert code != 0, log


def test_a_missing_worker_is_reported(group: Group) -> None:
    """The leader exits after its timeout, with the number of the missing worker."""
    group.worker(1)
    code, log = output(group.leader(world_size=6, nodes=3, wait_s=1.5))
    # on a slow machine worker 1 may be late as well
    assert code == 3, log
    assert re.search("worker (1, )?2 did not connect within 2 s. Check the pods", log), log


def test_an_unreachable_leader_is_reported(group: Group) -> None:
    """A worker exits after its timeout, with the address of the leader."""
    code, log = output(group.worker(wait_s=0.2))
    assert (code, f"the leader 127.0.0.1:{group.port} did not answer" in log) == (3, True), log


def test_a_waiting_pod_ends_at_once(group: Group) -> None:
    """Leader and workers of an incomplete group exit at once on SIGTERM."""
    leader, worker = group.leader(world_size=6, nodes=3), group.worker(1)
    assert leader.stdout is not None
    until(lambda: "worker 1 connected" in leader.stdout.readline())
    leader.send_signal(signal.SIGTERM)
    assert output(leader)[0] == 143
    assert output(worker)[0] == 1
    alone = group.worker()
    assert alone.stdout is not None
    until(lambda: "connects to" in alone.stdout.readline())
    alone.send_signal(signal.SIGTERM)
    assert output(alone)[0] == 143


def test_only_workers_of_the_group_can_connect(group: Group) -> None:
    """A restarted worker replaces its lost connection; connections of other clients are closed."""
    leader = group.leader(world_size=6, nodes=3)
    first = group.worker(1)
    assert leader.stdout is not None
    until(lambda: "worker 1 connected" in leader.stdout.readline())
    for message in (b"GET / HTTP/1.1\r\n", b'{"worker": 3, "host": "x"}\n', b'{"worker": 0, "host": "x"}\n'):
        with socket.create_connection(("127.0.0.1", int(group.port))) as client:
            client.sendall(message)
            assert client.recv(100) == b""
    first.kill()
    group.worker(1)
    group.worker(2)
    group.wait_until_up(6)
    assert group.pod_of(2) == "llm-0-1"


def test_a_worker_without_the_controllers_variables_exits(group: Group) -> None:
    """The message says that the LeaderWorkerSet controller sets the address of the leader."""
    code, log = output(group.worker(LWS_LEADER_ADDRESS=""))
    assert (code, "the LeaderWorkerSet controller sets them" in log) == (2, True), log


def test_an_uneven_number_of_ranks_per_node_is_refused(group: Group) -> None:
    """The number of ranks must be a multiple of the number of nodes."""
    code, log = output(group.leader(world_size=5, nodes=2))
    assert (code, "5 ranks cannot be divided evenly among 2 nodes" in log) == (2, True), log


open_mpi = pytest.mark.skipif(
    shutil.which("mpirun") is None, reason="needs Open MPI's mpirun on PATH, as Triton's TensorRT-LLM image has it"
)


@open_mpi
def test_the_real_mpirun_starts_its_daemons_through_the_agent(group: Group) -> None:
    """With Open MPI the ranks of the worker run, and a drain ends leader and worker with exit code 0."""
    pods = [group.leader(mpirun="mpirun"), group.worker()]
    group.wait_until_up(4)
    assert [group.pod_of(rank) for rank in range(4)] == ["leader", "leader", "llm-0-1", "llm-0-1"]
    for pod in pods:
        pod.send_signal(signal.SIGTERM)
    results = [output(pod) for pod in pods]
    assert [code for code, _ in results] == [0, 0], results


@open_mpi
def test_the_real_mpirun_ends_when_a_worker_is_lost(group: Group) -> None:
    """Open MPI detects the lost daemon, and the leader exits with an error."""
    leader, worker = group.leader(mpirun="mpirun"), group.worker()
    group.wait_until_up(4)
    group.kill(worker)
    assert output(leader)[0] != 0
