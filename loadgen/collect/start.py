"""Starts the collector as a child process that does not outlive its parent."""

import sys

from loadgen.base.processes import Child, spawn
from loadgen.dataset.folder import RunFolder


def start_collector(folder: RunFolder) -> Child:
    """Start the collector for a run whose `run.json` is written; `Child.stop` ends it after it has written all data.

    The collector waits for the last responses of Prometheus and the replicas: give it a grace period of 10 s.

    Raises:
        StackError: the process cannot be started.
    """
    command = [sys.executable, "-m", "loadgen.collect", str(folder.path.resolve())]
    return spawn(command, log=folder.logs / "collector.log", lifeline=True)
