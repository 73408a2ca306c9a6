"""A sandbox of a run that was killed is removed by the next one."""

import json
import os
import socket
from pathlib import Path

import pytest

from loadgen.base.errors import SettingsError
from loadgen.sandbox import session


def test_leftovers_of_killed_runs_are_removed_and_nothing_else(tmp_path, monkeypatch):
    """Of a run whose holder is gone; not of one that stands, that is just being made, or that a person made."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "triton-loadgen" / "sandboxes"
    for name in ("run-dead", "run-alive", "run-made", "mine"):
        (folder / name).mkdir(parents=True)
    gone = json.dumps({"pid": 2**22 - 1, "started": "1"})
    started = Path(f"/proc/{os.getpid()}/stat").read_text().rpartition(")")[2].split()[19]
    (folder / "run-dead" / "holder.json").write_text(gone)
    (folder / "run-alive" / "holder.json").write_text(json.dumps({"pid": os.getpid(), "started": started}))
    (folder / "mine" / "holder.json").write_text(gone)
    session._sweep()
    assert sorted(path.name for path in folder.iterdir()) == ["mine", "run-alive", "run-made"]


def test_a_port_that_is_taken_is_told_before_a_sandbox_starts(tmp_path, monkeypatch):
    """A flag is wrong: exit code 2, and no folder is made."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(session, "find", lambda progress: {})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            SettingsError,
            match=rf"port {port} of this machine cannot be had \(Address already in use\): choose another",
        ) as told:
            session.run_inside(["true"], say=lambda _: None, web_port=port)
    assert told.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []
