"""Checks before a run that this process may open as many files and connections as the run can need."""

from pathlib import Path

from loadgen.base.errors import SelfCheckError
from loadgen.base.limits import allow_open_files, outgoing_ports

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
    if (limit := allow_open_files(needed)) is not None:
        raise SelfCheckError(
            f"this process may open {limit} files, and {connections} requests can be in flight at once, which needs "
            f"{needed}: raise the limit (ulimit -n {needed}), spread the load with --processes, or reduce "
            f"request_timeout_s or the rate"
        )


def check_ports(connections: int) -> None:
    """Check that this host has a port for every connection to the server.

    Args:
        connections: Largest number of connections at once of all processes on this host.

    Raises:
        SelfCheckError: it has too few, so that requests would fail because of this host.
    """
    ports = outgoing_ports()
    if ports is not None and connections > ports:
        raise SelfCheckError(
            f"this host has {ports} ports for connections to one server, and {connections} requests can be in flight "
            f"at once: widen the range net.ipv4.ip_local_port_range, or reduce request_timeout_s or the rate"
        )


def _open_files() -> int:
    """Return the number of files that this process has open; 0 where the platform does not tell."""
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return 0
