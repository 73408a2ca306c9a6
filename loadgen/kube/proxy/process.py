"""Starts the processes beside a run against a cluster: relay, port-forward and observer.

Each process reads a JSON file, writes a log, and ends with the process that started it.
"""

import json
import sys
import time
from pathlib import Path

from pydantic import BaseModel

from loadgen.base.errors import StackError
from loadgen.base.processes import Child, spawn
from loadgen.dataset.folder import RunFolder

STOP_S = 5.0
"""How long a process may take to stop."""
_START_TIMEOUT_S = 20.0


def start_process(folder: RunFolder, module: str, config: BaseModel) -> Child:
    """Start a module of `loadgen.kube` as a process.

    Args:
        folder: The run folder. The configuration goes to `stack/<name>.json`, readable by this user only.
        module: The module, such as `proxy.relay`; its last part is the name of the process.
        config: The configuration.
    """
    name = module.rpartition(".")[2]
    file: Path = folder.path / "stack" / f"{name}.json"
    file.parent.mkdir(mode=0o700, exist_ok=True)
    file.write_text(config.model_dump_json(indent=1))
    command: list[str | Path] = [sys.executable, "-m", f"loadgen.kube.{module}", file.resolve()]
    return spawn(command, log=folder.logs / f"{name}.log", lifeline=True)


def wait_for_file(process: Child, file: Path) -> None:
    """Wait until a process has written a file.

    Raises:
        StackError: the process ended, or the file is not there after 20 s.
    """
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise StackError(f"{process.log.stem} failed to start: read {process.log}")
        time.sleep(0.05)


def read_port(process: Child, port_file: Path) -> int:
    """Wait until a process has written the local port that it listens on, and return the port.

    Raises:
        StackError: the process ended, or the file is not there after 20 s.
    """
    wait_for_file(process, port_file)
    port: int = json.loads(port_file.read_text())
    return port
