"""Watches the memory of containers that have a limit, once a second, and ends those that exceed it."""

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

PERIOD_S = 1.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limit:
    namespace: str
    limit_bytes: int
    exceeded: Callable[[], None]


class MemoryWatch:
    """All limits of a node: one walk through /proc serves them all, and none is done while there are none."""

    def __init__(self) -> None:
        self._limits: dict[int, _Limit] = {}
        self._any = asyncio.Event()

    def add(self, pid: int, limit_bytes: int, exceeded: Callable[[], None]) -> None:
        """Watch the container whose first process this is.

        Args:
            pid: Process id.
            limit_bytes: Its limit.
            exceeded: Called when it uses more.
        """
        namespace = _namespace(str(pid))
        if namespace:
            self._limits[pid] = _Limit(namespace=namespace, limit_bytes=limit_bytes, exceeded=exceeded)
            self._any.set()

    def remove(self, pid: int) -> None:
        """Stop watching it."""
        self._limits.pop(pid, None)
        if not self._limits:
            self._any.clear()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await self._any.wait()
            used = used_bytes()
            for limit in list(self._limits.values()):
                if used.get(limit.namespace, 0) > limit.limit_bytes:
                    limit.exceeded()
            await asyncio.sleep(PERIOD_S)


def used_bytes() -> dict[str, int]:
    """Memory of the processes of each PID namespace.

    Pages that a process has for itself count for each; of those that it may share, such as libraries and shared
    memory, the largest share of one process counts once.
    """
    own: dict[str, int] = {}
    shared: dict[str, int] = {}
    for namespace, resident, mapped in _processes():
        own[namespace] = own.get(namespace, 0) + resident - mapped
        shared[namespace] = max(shared.get(namespace, 0), mapped)
    return {namespace: bytes_ + shared[namespace] for namespace, bytes_ in own.items()}


def _processes() -> Iterator[tuple[str, int, int]]:
    for folder in Path("/proc").iterdir():
        namespace = _namespace(folder.name) if folder.name.isdigit() else ""
        if namespace:
            try:
                _, resident, mapped, *_ = (folder / "statm").read_text().split()
            except (OSError, ValueError):
                continue
            yield namespace, int(resident) * _PAGE_BYTES, int(mapped) * _PAGE_BYTES


def _namespace(pid: str) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return ""
