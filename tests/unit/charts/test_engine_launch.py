"""How tritonserver is started on one GPU and on several, and what SIGTERM does; with stand-ins for both programs."""

import contextlib
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from support.charts.engine_programs import ENGINE, module, output, until

launch, errors = module("launch"), module("errors")

# says that it is up, and after SIGTERM takes a while to finish, as a server with requests does
SERVER = """#!{python}
import pathlib, signal, sys, time
rank = next(flag[5:] for flag in sys.argv if flag.startswith("--id="))
state = pathlib.Path({state!r})
def finish(number, frame):
    (state / f"{{rank}}.asked").touch()
    time.sleep(float((state / "needs_s").read_text()))
    (state / f"{{rank}}.finished").touch()
    sys.exit(0)
signal.signal(signal.SIGTERM, finish)
(state / f"{{rank}}.up").touch()
while not (rank != "rank0" and (state / "rank0.finished").exists()):
    time.sleep(0.02)
"""
# starts what is between the colons; SIGTERM kills every rank at once, as Open MPI's does
MPIRUN = """#!{python}
import signal, subprocess, sys
flags, ranks = sys.argv[1:], [[]]
for flag in flags:
    ranks.append([]) if flag == ":" else ranks[-1].append(flag)
started = [subprocess.Popen(rank[rank.index("-n") + 2:]) for rank in ranks]
def kill(number, frame):
    for each in started:
        each.kill()
signal.signal(signal.SIGTERM, kill)
sys.exit(max(abs(each.wait()) for each in started))
"""


def test_one_rank_is_tritonserver_itself() -> None:
    """With its own shared-memory prefix and everything that was passed on."""
    extra = ["--http-port=8000", "--strict-readiness=true"]
    assert launch.command(1, "/models", extra, "tritonserver", "mpirun", "") == [
        "tritonserver", "--id=rank0", "--model-repository=/models", "--disable-auto-complete-config",
        "--backend-config=python,shm-region-prefix-name=rank0_", "--http-port=8000", "--strict-readiness=true",
    ]  # fmt: skip


def test_further_ranks_serve_nothing_and_load_the_engine_alone() -> None:
    """Flags of the front stay at rank 0, those that every server needs go to all."""
    extra = ["--grpc-port=8001", "--log-verbose=1", "--metrics-config=histogram_latencies=true"]
    argv = launch.command(2, "/models", extra, "tritonserver", "mpirun", "/tmp/pid")
    assert argv[:7] == ["mpirun", "--allow-run-as-root", "--bind-to", "none", "--oversubscribe", "-n", "1"]
    middle = argv.index(":")
    assert argv[7:11] == [sys.executable, str(ENGINE / "launch.py"), "rank0", "/tmp/pid"]
    assert set(extra) < set(argv[11:middle])
    assert argv[middle + 1 :] == [
        "-n", "1", "tritonserver", "--id=rank1", "--model-repository=/models", "--disable-auto-complete-config",
        "--backend-config=python,shm-region-prefix-name=rank1_", "--allow-http=false", "--allow-grpc=false",
        "--allow-metrics=false", "--model-control-mode=explicit", "--load-model=tensorrt_llm", "--log-verbose=1",
    ]  # fmt: skip


def test_eight_ranks_are_eight_parts() -> None:
    """Tensor times pipeline parallelism."""
    argv = launch.command(8, "/models", [], "tritonserver", "mpirun", "/tmp/pid")
    assert argv.count(":") == 7
    assert [flag for flag in argv if flag.startswith("--id=")] == [f"--id=rank{rank}" for rank in range(8)]


def test_the_llm_api_has_one_server_below_its_launcher() -> None:
    """Every rank is the launcher, which runs the server on rank 0 alone: one part, and no rank's own flags."""
    hosts = ["--hostfile", "/tmp/hosts"]
    argv = launch.command(16, "/models", [], "tritonserver", "mpirun", "/tmp/pid", hosts, "trtllm-llmapi-launch")
    begin = ["mpirun", "--allow-run-as-root", "--bind-to", "none", *hosts, "-n", "16", "trtllm-llmapi-launch"]
    assert argv[:9] == begin
    assert argv[9:15] == [sys.executable, str(ENGINE / "launch.py"), "rank0", "/tmp/pid", "tritonserver", "--id=rank0"]
    assert ":" not in argv


@pytest.mark.parametrize("flag", ["--model-repository=/other", "--id=me", "8000"])
def test_a_flag_that_is_the_programs_own_is_refused(flag: str) -> None:
    """Two values of one flag would be decided by chance."""
    with pytest.raises(errors.SettingsError, match="cannot be passed on"):
        launch.command(1, "/models", [flag], "tritonserver", "mpirun", "")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    for name, text in (("tritonserver", SERVER), ("mpirun", MPIRUN)):
        (tmp_path / name).write_text(text.format(python=sys.executable, state=str(tmp_path)))
        (tmp_path / name).chmod(stat.S_IRWXU)

    def _start(world_size: int, needs_s: float, *flags: str) -> subprocess.Popen[str]:
        (tmp_path / "needs_s").write_text(str(needs_s))
        command = [sys.executable, str(ENGINE / "launch.py"), "--world-size", str(world_size), *flags]
        command += ["--tritonserver", str(tmp_path / "tritonserver"), "--mpirun", str(tmp_path / "mpirun")]
        command += ["--model-repository", "/models", "--", "--http-port=8000"]
        started.append(
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
            )
        )
        until(lambda: all((tmp_path / f"rank{rank}.up").exists() for rank in range(world_size)))
        return started[-1]

    yield _start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_one_rank_gets_sigterm_itself(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    """There is no process in between."""
    process = start(1, 0.1)
    process.send_signal(signal.SIGTERM)
    assert output(process)[0] == 0
    assert (tmp_path / "rank0.finished").exists()


def test_with_several_ranks_sigterm_is_a_drain(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    """Only rank 0 is asked, it finishes what it has, and the ranks that wait on it end with it."""
    process = start(2, 1.0)
    process.send_signal(signal.SIGTERM)
    code, said = output(process)
    assert (code, "finishes its requests" in said) == (0, True), said
    assert (tmp_path / "rank0.finished").exists()
    assert not (tmp_path / "rank1.asked").exists()


def test_a_drain_ends_at_its_limit(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    """What lives longer is ended through mpirun."""
    process = start(2, 60.0, "--drain-s", "0.3")
    process.send_signal(signal.SIGTERM)
    assert output(process)[0] == 0
    assert not (tmp_path / "rank0.finished").exists()


def test_a_rank_that_dies_is_the_pods_exit_code(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    """So that the kubelet restarts the container."""
    process = start(2, 0.0)
    os.kill(rank0(process.pid), signal.SIGKILL)
    (tmp_path / "rank0.finished").touch()
    assert output(process)[0] != 0


def rank0(pid: int) -> int:
    below = psutil.Process(pid).children(recursive=True)
    return next(child.pid for child in below if "--id=rank0" in child.cmdline() and ":" not in child.cmdline())
