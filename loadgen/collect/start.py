"""The parent's side: start the collector as a process of its own that does not outlive the parent."""

import sys

from loadgen.base.processes import Child, spawn
from loadgen.dataset.folder import RunFolder


def start_collector(folder: RunFolder) -> Child:
    """Observe a run whose `run.json` is written; `Child.stop` ends it with all that it has seen on disk.

    When Prometheus or a replica hangs at the very end, the last answers are waited for: give it a grace of 10 s.

    Raises:
        StackError: no process can be started.
    """
    command = [sys.executable, "-m", "loadgen.collect", str(folder.path.resolve())]
    return spawn(command, log=folder.logs / "collector.log", lifeline=True)
