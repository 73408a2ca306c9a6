"""Reads what this machine allows: open files, ports for outgoing connections, space, memory."""

import os
import resource
from pathlib import Path

_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_MEMORY = Path("/proc/meminfo")
_GROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


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


def free_memory_bytes() -> int | None:
    """Return how much memory this process can get at most; None where the platform does not tell."""
    limits = [limit for limit in (_available_bytes(), _group_limit_bytes()) if limit is not None]
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return min([*limits, *([] if soft == resource.RLIM_INFINITY else [soft])], default=None)


def _available_bytes() -> int | None:
    try:
        lines = dict(line.split(":", 1) for line in _MEMORY.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError, IndexError):
        return None


def _group_limit_bytes() -> int | None:
    """The limit of the control group, as of a container; None without one."""
    try:
        return int(_GROUP_LIMIT.read_text())
    except (OSError, ValueError):
        return None
