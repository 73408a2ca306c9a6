"""Kills containers that exceed their memory limit, checked once a second."""

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

PERIOD_S = 1.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limit:
    pid_namespace: str
    limit_bytes: int
    on_exceeded: Callable[[], None]


class MemoryLimiter:
    """Checks all memory limits of a node with one pass through /proc, and makes no pass while there are no limits."""

    def __init__(self) -> None:
        self._limits: dict[int, _Limit] = {}
        self._any = asyncio.Event()

    def add(self, pid: int, limit_bytes: int, on_exceeded: Callable[[], None]) -> None:
        """Limit the memory of a container.

        Args:
            pid: First process of the container.
            limit_bytes: The limit.
            on_exceeded: Called when the container uses more.
        """
        namespace = _pid_namespace(str(pid))
        if namespace:
            self._limits[pid] = _Limit(pid_namespace=namespace, limit_bytes=limit_bytes, on_exceeded=on_exceeded)
            self._any.set()

    def remove(self, pid: int) -> None:
        """Remove the limit of a container."""
        self._limits.pop(pid, None)
        if not self._limits:
            self._any.clear()

    async def run(self) -> None:
        """Check the limits until cancelled."""
        while True:
            await self._any.wait()
            used = used_bytes()
            for limit in list(self._limits.values()):
                if used.get(limit.pid_namespace, 0) > limit.limit_bytes:
                    limit.on_exceeded()
            await asyncio.sleep(PERIOD_S)


def used_bytes() -> dict[str, int]:
    """Return the memory used in each PID namespace.

    Private pages count for every process. Pages that may be shared, such as libraries and shared memory, count once:
    the largest amount that any process maps.
    """
    private: dict[str, int] = {}
    shared: dict[str, int] = {}
    for namespace, resident, mapped in _processes():
        private[namespace] = private.get(namespace, 0) + resident - mapped
        shared[namespace] = max(shared.get(namespace, 0), mapped)
    return {namespace: bytes_ + shared[namespace] for namespace, bytes_ in private.items()}


def _processes() -> Iterator[tuple[str, int, int]]:
    """Yield PID namespace, resident bytes and shared bytes of every process."""
    for folder in Path("/proc").iterdir():
        namespace = _pid_namespace(folder.name) if folder.name.isdigit() else ""
        if namespace:
            try:
                _, resident, mapped, *_ = (folder / "statm").read_text().split()
            except (OSError, ValueError):
                continue
            yield namespace, int(resident) * _PAGE_BYTES, int(mapped) * _PAGE_BYTES


def _pid_namespace(pid: str) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return ""
