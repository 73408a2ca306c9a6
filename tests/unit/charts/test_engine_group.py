"""One model over several pods: leader, workers and the agent between them are the chart's own programs.

`mpirun` and `tritonserver` are stand-ins, but for one test, which runs the real Open MPI where the machine has it.
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

# says on which host it is and that it is up; rank 0 ends when it is told to, the others end with it
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
# what Open MPI does: ranks fill the hosts of the file in order, and other hosts' are started through the agent
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
    mine, ranks = ranks[:count], ranks[count:]
    if number == 0:
        started += [subprocess.Popen(rank) for rank in mine]
    else:
        started.append(subprocess.Popen([*agent, host, " & ".join(map(shlex.join, mine)) + " & wait"]))
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
    """Pods of a group, as processes of this machine."""

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

    def up(self, ranks: int) -> None:
        until(lambda: all((self.folder / f"rank{rank}.up").exists() for rank in range(ranks)))

    def pod_of(self, rank: int) -> str:
        return (self.folder / f"rank{rank}.up").read_text()

    def lose(self, pod: subprocess.Popen[str]) -> list[psutil.Process]:
        """End all processes of a pod at once, as a kernel does."""
        with contextlib.suppress(psutil.NoSuchProcess):
            below = psutil.Process(pod.pid).children(recursive=True)
            for process in (psutil.Process(pod.pid), *below):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            return below
        return []

    def end(self) -> None:
        for pod in self.started:
            self.lose(pod)
        for pod in self.started:
            pod.communicate(timeout=20)


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    one = Group(tmp_path)
    yield one
    one.end()


def test_ranks_fill_the_leader_and_then_its_workers(group: Group) -> None:
    """Three pods with two GPUs each: ranks 0 and 1 at the leader, and no server starts before all workers are there."""
    leader = group.leader(world_size=6, nodes=3)
    group.worker(2)
    assert leader.stdout is not None
    until(lambda: "worker 2 is here" in leader.stdout.readline())
    assert not (group.folder / "rank0.up").exists()
    group.worker(1)
    group.up(6)
    pods = ["leader", "leader", "llm-0-1", "llm-0-1", "llm-0-2", "llm-0-2"]
    assert [group.pod_of(rank) for rank in range(6)] == pods


def test_told_to_end_all_at_once_the_group_finishes_its_answers(group: Group) -> None:
    """Workers that get SIGTERM with their leader lend their GPUs until it has finished; all end with 0."""
    pods = [group.leader(), group.worker()]
    group.up(4)
    for pod in reversed(pods):
        pod.send_signal(signal.SIGTERM)
    told = [output(pod) for pod in pods]
    assert [code for code, _ in told] == [0, 0], told
    assert (group.folder / "rank0.finished").exists()
    assert "works on until the leader has ended" in told[1][1]


def test_a_leader_that_dies_takes_its_workers_with_it(group: Group) -> None:
    """Nothing of the group stays on another pod's GPUs, and the worker's exit code makes the controller start anew."""
    leader, worker = group.leader(), group.worker()
    group.up(4)
    ranks = psutil.Process(worker.pid).children(recursive=True)
    group.lose(leader)
    code, said = output(worker)
    assert (code, "the leader has ended" in said) == (1, True), said
    assert not [rank for rank in ranks if rank.is_running() and rank.status() != psutil.STATUS_ZOMBIE]


def test_a_worker_that_dies_ends_the_leader(group: Group) -> None:
    """A model with a part missing does not stay up: the leader ends with an error."""
    leader, worker = group.leader(), group.worker()
    group.up(4)
    group.lose(worker)
    code, said = output(leader)
    assert code != 0, said


def test_a_worker_that_does_not_come_is_named(group: Group) -> None:
    """The leader ends in time, and says which pod to look at."""
    group.worker(1)
    code, said = output(group.leader(world_size=6, nodes=3, wait_s=1.5))
    # worker 1 may be late, too, on a slow machine
    assert code == 3, said
    assert re.search("worker (1, )?2 did not come within 2 s. Look at the pods", said), said


def test_a_leader_that_does_not_answer_is_named(group: Group) -> None:
    """So does a worker."""
    code, said = output(group.worker(wait_s=0.2))
    assert (code, f"the leader 127.0.0.1:{group.port} did not answer" in said) == (3, True), said


def test_a_pod_that_waits_ends_at_once(group: Group) -> None:
    """SIGTERM before the group is complete has nothing to finish."""
    leader, worker = group.leader(world_size=6, nodes=3), group.worker(1)
    assert leader.stdout is not None
    until(lambda: "worker 1 is here" in leader.stdout.readline())
    leader.send_signal(signal.SIGTERM)
    assert output(leader)[0] == 143
    assert output(worker)[0] == 1
    alone = group.worker()
    assert alone.stdout is not None
    until(lambda: "dials" in alone.stdout.readline())
    alone.send_signal(signal.SIGTERM)
    assert output(alone)[0] == 143


def test_a_worker_that_comes_again_takes_its_own_place_and_strangers_none(group: Group) -> None:
    """A restarted worker replaces its lost connection; what is no worker of this group is turned away."""
    leader = group.leader(world_size=6, nodes=3)
    first = group.worker(1)
    assert leader.stdout is not None
    until(lambda: "worker 1 is here" in leader.stdout.readline())
    for hello in (b"GET / HTTP/1.1\r\n", b'{"worker": 3, "host": "x"}\n', b'{"worker": 0, "host": "x"}\n'):
        with socket.create_connection(("127.0.0.1", int(group.port))) as stranger:
            stranger.sendall(hello)
            assert stranger.recv(100) == b""
    first.kill()
    group.worker(1)
    group.worker(2)
    group.up(6)
    assert group.pod_of(2) == "llm-0-1"


def test_without_the_controllers_variables_a_worker_says_what_is_missing(group: Group) -> None:
    """The address of the leader comes from the controller of LeaderWorkerSet alone."""
    code, said = output(group.worker(LWS_LEADER_ADDRESS=""))
    assert (code, "the controller of LeaderWorkerSet sets them" in said) == (2, True), said


def test_a_world_that_pods_cannot_share_evenly_is_refused(group: Group) -> None:
    """Ranks of one node more than of another would have no GPU."""
    code, said = output(group.leader(world_size=5, nodes=2))
    assert (code, "5 ranks cannot be shared evenly by 2 nodes" in said) == (2, True), said


open_mpi = pytest.mark.skipif(
    shutil.which("mpirun") is None, reason="needs Open MPI's mpirun on PATH, as Triton's TensorRT-LLM image has it"
)


@open_mpi
def test_the_real_mpirun_starts_its_daemons_through_the_agent(group: Group) -> None:
    """Open MPI itself: ranks on the worker run below its own daemon, and a drain ends all of it."""
    pods = [group.leader(mpirun="mpirun"), group.worker()]
    group.up(4)
    assert [group.pod_of(rank) for rank in range(4)] == ["leader", "leader", "llm-0-1", "llm-0-1"]
    for pod in pods:
        pod.send_signal(signal.SIGTERM)
    told = [output(pod) for pod in pods]
    assert [code for code, _ in told] == [0, 0], told


@open_mpi
def test_the_real_mpirun_ends_when_a_worker_is_lost(group: Group) -> None:
    """Open MPI notices the lost daemon, and the leader ends with an error."""
    leader, worker = group.leader(mpirun="mpirun"), group.worker()
    group.up(4)
    group.lose(worker)
    assert output(leader)[0] != 0
