"""Reads what this machine allows a run: open files, ports for outgoing connections, space."""

import os
import resource
from pathlib import Path

_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def allow_open_files(needed: int) -> int | None:
    """Raise the limit on open files of this process and its children, as far as needed and allowed.

    Returns:
        The limit, if it is lower than needed; None if it is enough.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if needed <= soft or soft == resource.RLIM_INFINITY:
        return None
    if needed > hard != resource.RLIM_INFINITY:
        return hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    return None


def outgoing_ports() -> int | None:
    """Return how many connections to one address this host can have at once; None where the platform does not tell."""
    try:
        first, last = map(int, _PORT_RANGE.read_text().split())
    except (OSError, ValueError):
        return None
    return last - first + 1


def free_bytes(folder: Path) -> int:
    """Return the free space of the file system of a folder for this user.

    Raises:
        OSError: the folder does not exist.
    """
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize
