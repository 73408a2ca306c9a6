"""The local stack leaves nothing behind, however it ends; each test starts a stack of its own."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from loadgen.base.errors import StackError
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.stack import StackFolder, StackState
from loadgen.local.environments import environment_folders
from loadgen.scenario.fleets import Local
from loadgen.targets.local import start_stack
from support.runs.stack_runs import eventually, journal, left_on_disk, processes_of, run_folder
from support.servers.token_stream import TokenStream

# Patched by gevent, as Locust is, this process starts the stack and continues.
PARENT = """
from gevent import monkey
monkey.patch_all()
import sys, time
from pathlib import Path
from loadgen.dataset.folder import RunFolder
from loadgen.targets.local import start_stack
stack = start_stack(RunFolder(Path(sys.argv[1])), on_progress=lambda line: None)
time.sleep(600)
"""


def serving(folder: RunFolder) -> StackState | None:
    """Return the state once a replica is ready and all components run; None before."""
    record = StackFolder(folder.path)
    if not record.state_file.exists():
        return None
    state = record.read()
    return state if state.replicas and state.replicas[0].phase == "ready" and state.gateway else None


def listening(state: StackState) -> list[str]:
    """Return the addresses of the stack that still accept connections."""
    replicas = [address for each in state.replicas for address in (each.http, each.grpc, each.metrics)]
    open_addresses = []
    for address in (state.gateway, (state.prometheus or "").removeprefix("http://"), *replicas):
        host, _, port = (address or "").rpartition(":")
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                open_addresses.append(f"{host}:{port}")
    return open_addresses


@pytest.mark.parametrize(("victim", "phase"), [("parent", "stopping"), ("stack", "failed")])
def test_nothing_is_left_behind(tmp_path: Path, victim: str, phase: str) -> None:
    """Whichever of the processes is killed, no process, port, shared memory or temporary folder remains."""
    folder = run_folder(tmp_path, Local(startup_delay_s=0.5))
    with subprocess.Popen([sys.executable, "-c", PARENT, str(folder.path)]) as parent:
        try:
            state = eventually(lambda: serving(folder), of="a stack that serves")
            (supervisor,) = psutil.Process(parent.pid).children()
            (stack,) = supervisor.children()
            assert len(processes_of(folder, supervisor.pid)) > 5
            assert left_on_disk(supervisor.pid)
            assert list(environment_folders(folder.logs))
            assert listening(state)
            pids = {"parent": parent.pid, "stack": stack.pid}
            os.kill(pids[victim], signal.SIGKILL)
            eventually(
                lambda: [each for each in processes_of(folder, supervisor.pid) if each.pid != parent.pid] == [],
                of="the end of all processes",
            )
        finally:
            parent.kill()
    assert left_on_disk(supervisor.pid) == []
    assert listening(state) == []
    assert list(environment_folders(folder.logs)) == []
    last = StackFolder(folder.path).read()
    assert (last.phase, last.replicas) == (phase, ())
    if phase == "failed":
        assert journal(folder, "part_died")[-1]["data"] == {"part": "stack", "exit_code": -signal.SIGKILL}


def test_the_run_cleans_up_after_a_killed_supervisor(tmp_path: Path) -> None:
    """If stack and supervisor are killed under load, the run ends what they started, models that are busy included."""
    folder = run_folder(tmp_path, Local())
    stack = start_stack(folder, on_progress=lambda line: None)
    streams = [TokenStream(stack.endpoint.address, 2000) for _ in range(8)]
    eventually(lambda: any(stream.tokens for stream in streams), of="a token")
    (child,) = psutil.Process(stack.pid).children()
    state = stack.state()
    os.kill(stack.pid, signal.SIGKILL)
    child.kill()
    assert eventually(stack.failure, of="the failure") == (
        f"the local stack ended by itself (exit code -9): read {folder.logs}/stack.log"
    )
    stack.stop()
    eventually(lambda: processes_of(folder, stack.pid) == [], of="the end of all processes")
    assert left_on_disk(stack.pid) == []
    assert list(environment_folders(folder.logs)) == []
    assert listening(state) == []
    for stream in streams:
        stream.finish()


def test_a_component_that_does_not_start_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If Prometheus cannot run, the start fails with the last line of its log, and no process remains."""
    broken = tmp_path / "bin" / "prometheus"
    broken.parent.mkdir()
    broken.write_text(
        "#!/bin/sh\ncase $1 in --version) echo version 9.9.9;; *) echo no storage for me; exit 1;; esac\n"
    )
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken.parent}:{os.environ['PATH']}")
    folder = run_folder(tmp_path, Local())
    with pytest.raises(StackError, match=r"prometheus did not start: no storage for me; read .*prometheus\.log"):
        start_stack(folder, on_progress=lambda line: None)
    last = StackFolder(folder.path).read()
    assert (last.phase, last.versions["prometheus"]) == ("failed", "9.9.9")
    eventually(lambda: [each for each in processes_of(folder, 0) if each.pid != os.getpid()] == [])


def test_full_disk_ends_the_stack(tmp_path: Path) -> None:
    """When events cannot be recorded for long, the stack says so and ends: the run could not be judged correctly."""
    folder = run_folder(tmp_path, Local())
    (folder.path / "stack").mkdir()
    (folder.path / "stack" / "journal.jsonl").symlink_to("/dev/full")
    stack = start_stack(folder, on_progress=lambda line: None)
    assert "No space left on device; free space" in eventually(stack.failure, of="the failure")
    stack.stop()
    eventually(lambda: [each for each in processes_of(folder, 0) if each.pid != os.getpid()] == [])
