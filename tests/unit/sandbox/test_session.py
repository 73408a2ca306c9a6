"""Temporary sandboxes of runs."""

import os
import socket
from pathlib import Path

import pytest

from loadgen.base.errors import SettingsError
from loadgen.sandbox import session
from loadgen.sandbox.config import SandboxHolder


def test_only_leftovers_of_killed_runs_are_removed(tmp_path, monkeypatch):
    """Sandboxes that are up, that are being created, or that a user created are kept, whatever their name."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "triton-loadgen" / "sandboxes"
    for name in ("run-dead", "run-alive", "run-made", "run-mine"):
        (folder / name).mkdir(parents=True)
    gone = SandboxHolder(pid=2**22 - 1, started="1")
    started = Path(f"/proc/{os.getpid()}/stat").read_text().rpartition(")")[2].split()[19]
    gone.model_copy(update={"of_run": True}).write(folder / "run-dead")
    SandboxHolder(pid=os.getpid(), started=started, of_run=True).write(folder / "run-alive")
    gone.write(folder / "run-mine")
    session._remove_leftovers()
    assert sorted(path.name for path in folder.iterdir()) == ["run-alive", "run-made", "run-mine"]


def test_a_port_in_use_fails_before_a_sandbox_starts(tmp_path, monkeypatch):
    """The exit code is 2, and no folder is created."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(session, "find", lambda progress: {})
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(
            SettingsError,
            match=rf"port {port} cannot be used \(Address already in use\): choose another port",
        ) as raised:
            session.run_inside(["true"], say=lambda _: None, web_port=port)
    assert raised.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []
