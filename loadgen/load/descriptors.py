"""Checks before a run that this process may open as many files as the run can need."""

import resource
from pathlib import Path

from loadgen.base.errors import SelfCheckError

RESERVE = 64
"""File descriptors beside the connections: part files, logs, name resolution, Locust's own connections."""


def check_descriptors(connections: int) -> None:
    """Raise the limit on open files as far as needed and allowed.

    Args:
        connections: Largest number of connections at once, one for each Locust user.

    Raises:
        SelfCheckError: the limit is too low, so that requests would fail because of this process.
    """
    needed = _open_files() + connections + RESERVE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if needed <= soft or soft == resource.RLIM_INFINITY:
        return
    if needed > hard != resource.RLIM_INFINITY:
        raise SelfCheckError(
            f"this process may open {hard} files, and {connections} requests can be in flight at once, which needs "
            f"{needed}: raise the limit (ulimit -n {needed}), spread the load with --processes, or reduce "
            f"request_timeout_s or the rate"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _open_files() -> int:
    """Return the number of files that this process has open; 0 where the platform does not tell."""
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return 0
