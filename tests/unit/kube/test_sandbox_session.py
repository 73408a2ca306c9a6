"""A sandbox of a run that was killed is removed by the next one."""

import json
import os
from pathlib import Path

from loadgen.kube.sandbox import session


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
