"""The processes beside a run against a cluster: each reads a JSON file, ends with its parent, and has a log."""

import json
import sys
import time
from pathlib import Path

from pydantic import BaseModel

from loadgen.base.errors import StackError
from loadgen.base.processes import Child, spawn
from loadgen.dataset.folder import RunFolder

STOP_S = 5.0
_WITHIN_S = 20.0


def start_child(folder: RunFolder, module: str, config: BaseModel) -> Child:
    """Start a module of `loadgen.kube` with its settings in `stack/<name>.json`, readable by this user only."""
    name = module.rpartition(".")[2]
    file: Path = folder.path / "stack" / f"{name}.json"
    file.parent.mkdir(exist_ok=True)
    file.parent.chmod(0o700)
    file.write_text(config.model_dump_json(indent=1))
    command: list[str | Path] = [sys.executable, "-m", f"loadgen.kube.{module}", file.resolve()]
    return spawn(command, log=folder.logs / f"{name}.log", lifeline=True)


def wait_for(child: Child, file: Path) -> None:
    """Wait until a child has written a file.

    Raises:
        StackError: it ends, or takes too long.
    """
    deadline = time.monotonic() + _WITHIN_S
    while not file.exists():
        if child.poll() is not None or time.monotonic() > deadline:
            raise StackError(f"{child.log.stem} does not start: read {child.log}")
        time.sleep(0.05)


def port_of(child: Child, file: Path) -> int:
    """The port of this machine that a child listens on, as it writes it into a file.

    Raises:
        StackError: as `wait_for`.
    """
    wait_for(child, file)
    port: int = json.loads(file.read_text())
    return port
