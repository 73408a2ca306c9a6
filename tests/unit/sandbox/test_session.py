"""Temporary sandboxes of runs."""

import json
import os
import socket
from pathlib import Path

import pytest

from loadgen.base.errors import SettingsError
from loadgen.sandbox import session


def test_only_leftovers_of_killed_runs_are_removed(tmp_path, monkeypatch):
    """Sandboxes that are up, that are being created, or that a user created are kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "triton-loadgen" / "sandboxes"
    for name in ("run-dead", "run-alive", "run-made", "mine"):
        (folder / name).mkdir(parents=True)
    gone = json.dumps({"pid": 2**22 - 1, "started": "1"})
    started = Path(f"/proc/{os.getpid()}/stat").read_text().rpartition(")")[2].split()[19]
    (folder / "run-dead" / "holder.json").write_text(gone)
    (folder / "run-alive" / "holder.json").write_text(json.dumps({"pid": os.getpid(), "started": started}))
    (folder / "mine" / "holder.json").write_text(gone)
    session._remove_leftovers()
    assert sorted(path.name for path in folder.iterdir()) == ["mine", "run-alive", "run-made"]


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
