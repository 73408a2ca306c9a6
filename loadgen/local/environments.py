"""Removes the empty folders that killed Triton servers leave in /tmp.

Triton's Python backend makes one for packed Python environments, also without any, at a fixed place and under a random
name. A server that ends by itself removes its own, after it has unloaded its models, and aborts if it is gone. So only
the folders of killed servers may be removed. A folder does not say whose it is, but a server makes it within
milliseconds, between two lines of its log that have their times.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ENVIRONMENTS = Path("/tmp")  # noqa: S108 fixed in Triton's Python backend
_CLOCK_TICK_S = 0.01
"""A file has the time of the kernel's last tick, which is at most this old."""
# I1130 12:18:54.431449 17638 model_lifecycle.cc:472] "loading: preprocessing:1"
_LINE = re.compile(rb'I(\d{4} [\d:.]{15}) (\d+) \w+\.cc:\d+\] "(.*)')
_BEFORE, _AFTER, _ENDED_BY_ITSELF = b"loading: ", b"TRITONBACKEND_ModelInstanceInitialize: ", b"Found 0 live models"


@dataclass(slots=True)
class _Starts:
    """Servers that started at the same time, and when they made their folders: month, day and time as in the logs."""

    earliest: str
    latest: str
    servers: int = 1


def remove_environment_folders(logs: Path, folder: Path = ENVIRONMENTS) -> None:
    """Remove the empty folders of killed servers; call it when all servers of a stack have ended.

    Args:
        logs: The folder with the logs of the stack.
        folder: Where Triton makes the folders.
    """
    for path in environment_folders(logs, folder):
        with contextlib.suppress(OSError):
            path.rmdir()


def environment_folders(logs: Path, folder: Path = ENVIRONMENTS) -> Iterator[Path]:
    """Yield the folders that are left of the servers of a stack.

    Where there are more folders than servers at one time, some are another stack's, and none is known to be ours.
    """
    made = dict(_folders(folder))
    for starts in _simultaneous(sorted(_not_ended_by_themselves(logs))):
        found = [
            path
            for path, made_unix_s in made.items()
            if starts.earliest <= _stamp(made_unix_s + _CLOCK_TICK_S) and _stamp(made_unix_s) <= starts.latest
        ]
        if len(found) <= starts.servers:
            yield from found


def _folders(folder: Path) -> Iterator[tuple[Path, float]]:
    """Yield the folders of this user, and when they were made or last changed."""
    for path in folder.glob("python_env_??????"):
        with contextlib.suppress(OSError):
            status = path.lstat()
            if status.st_uid == os.geteuid():
                yield path, status.st_mtime


def _not_ended_by_themselves(logs: Path) -> Iterator[tuple[str, str]]:
    """Yield the times before and after each server that did not end by itself made its folder."""
    for log in logs.glob("*.log"):
        before: dict[bytes, bytes] = {}
        after: dict[bytes, bytes] = {}
        with contextlib.suppress(OSError), log.open("rb") as lines:
            for time, pid, message in (match.groups() for line in lines if (match := _LINE.match(line))):
                if message.startswith(_BEFORE):
                    before.setdefault(pid, time)
                elif message.startswith(_AFTER):
                    after.setdefault(pid, time)
                elif _ENDED_BY_ITSELF in message:
                    after.pop(pid, None)
        for pid in before.keys() & after.keys():
            yield before[pid].decode(), after[pid].decode()


def _simultaneous(starts: list[tuple[str, str]]) -> list[_Starts]:
    """Join the starts whose times overlap."""
    joined: list[_Starts] = []
    for earliest, latest in starts:
        if joined and earliest <= joined[-1].latest:
            joined[-1].latest = max(joined[-1].latest, latest)
            joined[-1].servers += 1
        else:
            joined.append(_Starts(earliest, latest))
    return joined


def _stamp(unix_s: float) -> str:
    """Return a time as Triton's log has it, in UTC."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%m%d %H:%M:%S.%f")
