"""Start and termination of tritonserver on one or several GPUs, with stand-ins for tritonserver and mpirun."""

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

# writes a file when it is up, and finishes some time after SIGTERM, as a server with requests does
SERVER = """#!{python}
import pathlib, signal, sys, time
rank = next(flag[5:] for flag in sys.argv if flag.startswith("--id="))
state = pathlib.Path({state!r})
def finish(number, frame):
    (state / f"{{rank}}.terminated").touch()
    time.sleep(float((state / "needs_s").read_text()))
    (state / f"{{rank}}.finished").touch()
    sys.exit(0)
signal.signal(signal.SIGTERM, finish)
(state / f"{{rank}}.up").touch()
while not (rank != "rank0" and (state / "rank0.finished").exists()):
    time.sleep(0.02)
"""
# starts the commands between the colons; SIGTERM kills all ranks at once, as with Open MPI
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


def test_a_single_rank_runs_tritonserver_directly() -> None:
    """The command is tritonserver with its own shared-memory prefix and the flags of the user."""
    extra = ["--http-port=8000", "--strict-readiness=true"]
    assert launch.command(1, "/models", extra, "tritonserver", "mpirun", "") == [
        "tritonserver", "--id=rank0", "--model-repository=/models", "--disable-auto-complete-config",
        "--backend-config=python,shm-region-prefix-name=rank0_", "--http-port=8000", "--strict-readiness=true",
    ]  # fmt: skip


def test_other_ranks_have_no_endpoints_and_load_only_the_engine() -> None:
    """Only rank 0 gets the flags of endpoints; all ranks get the flags that every server needs."""
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


def test_eight_ranks_are_eight_commands() -> None:
    """The command line of mpirun has one part per rank."""
    argv = launch.command(8, "/models", [], "tritonserver", "mpirun", "/tmp/pid")
    assert argv.count(":") == 7
    assert [flag for flag in argv if flag.startswith("--id=")] == [f"--id=rank{rank}" for rank in range(8)]


def test_the_llm_api_starts_its_launcher_on_every_rank() -> None:
    """The command line of mpirun has one part: the launcher, which runs the server on rank 0 only."""
    hosts = ["--hostfile", "/tmp/hosts"]
    argv = launch.command(16, "/models", [], "tritonserver", "mpirun", "/tmp/pid", hosts, "trtllm-llmapi-launch")
    begin = ["mpirun", "--allow-run-as-root", "--bind-to", "none", *hosts, "-n", "16", "trtllm-llmapi-launch"]
    assert argv[:9] == begin
    assert argv[9:15] == [sys.executable, str(ENGINE / "launch.py"), "rank0", "/tmp/pid", "tritonserver", "--id=rank0"]
    assert ":" not in argv


@pytest.mark.parametrize("flag", ["--model-repository=/other", "--id=me", "8000"])
def test_a_flag_that_the_program_sets_is_refused(flag: str) -> None:
    """A flag that launch.py sets itself, and an argument that is not a flag, cannot be passed to tritonserver."""
    with pytest.raises(errors.SettingsError, match="is not supported"):
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


def test_a_single_rank_receives_sigterm_directly(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    """A single tritonserver receives SIGTERM and finishes its requests."""
    process = start(1, 0.1)
    process.send_signal(signal.SIGTERM)
    assert output(process)[0] == 0
    assert (tmp_path / "rank0.finished").exists()


def test_with_several_ranks_sigterm_drains_rank_0(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    """Only rank 0 receives SIGTERM; it finishes its requests, and the other ranks end with it."""
    process = start(2, 1.0)
    process.send_signal(signal.SIGTERM)
    code, log = output(process)
    assert (code, "finishes its requests" in log) == (0, True), log
    assert (tmp_path / "rank0.finished").exists()
    assert not (tmp_path / "rank1.terminated").exists()


def test_a_drain_ends_at_its_limit(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    """Ranks that still run after the time limit are ended through mpirun."""
    process = start(2, 60.0, "--drain-s", "0.3")
    process.send_signal(signal.SIGTERM)
    assert output(process)[0] == 0
    assert not (tmp_path / "rank0.finished").exists()


def test_a_rank_that_dies_fails_the_container(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    """The exit code is not 0, so that the kubelet restarts the container."""
    process = start(2, 0.0)
    os.kill(rank0(process.pid), signal.SIGKILL)
    (tmp_path / "rank0.finished").touch()
    assert output(process)[0] != 0


def rank0(pid: int) -> int:
    below = psutil.Process(pid).children(recursive=True)
    return next(child.pid for child in below if "--id=rank0" in child.cmdline() and ":" not in child.cmdline())
