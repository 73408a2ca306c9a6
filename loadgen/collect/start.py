"""Starts the collector as a child process that does not outlive its parent."""

import sys

from loadgen.base.connection import DIRECT, Connection
from loadgen.base.processes import Child, spawn
from loadgen.collect.connections import to_environment
from loadgen.dataset.folder import RunFolder


def start_collector(folder: RunFolder, connection: Connection = DIRECT) -> Child:
    """Start the collector for a run whose `run.json` is written; `Child.stop` ends it after it has written all data.

    The collector waits for the last responses of Prometheus and the replicas: give it a grace period of 10 s.

    Args:
        folder: The run folder.
        connection: How to connect to the server behind a URL target.

    Raises:
        StackError: the process cannot be started.
    """
    command = [sys.executable, "-m", "loadgen.collect", str(folder.path.resolve())]
    return spawn(command, log=folder.logs / "collector.log", lifeline=True, env=to_environment(connection))
