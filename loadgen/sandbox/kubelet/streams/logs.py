"""Reads a container's log as `kubectl logs` asks for it."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from loadgen.sandbox.kubelet.meta import unix_s

_CHUNK_BYTES = 64 * 1024
_LOOK_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class LogQuery:
    """What of a log is asked for.

    Attributes:
        follow: Whether to go on with what is still to be written.
        previous: Whether the container's life before this one is meant.
        tail_lines: Only the last lines.
        limit_bytes: Not more than so much.
        since_s: Nothing when the log was not written to for so long: lines carry no time.
    """

    follow: bool = False
    previous: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since_s: float | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "LogQuery":
        """The query in a URL; numbers that are none are left out."""

        def number(name: str) -> int | None:
            value = query.get(name, "")
            return int(value) if value.isdigit() else None

        since_s: float | None = number("sinceSeconds")
        if query.get("sinceTime"):
            since_s = time.time() - unix_s(query["sinceTime"])
        return cls(
            follow=query.get("follow") in ("true", "1"),
            previous=query.get("previous") in ("true", "1"),
            tail_lines=number("tailLines"),
            limit_bytes=number("limitBytes"),
            since_s=since_s,
        )


def tail_offset(file: Path, lines: int) -> int:
    """Where the last lines of a file begin."""
    with file.open("rb") as source:
        end = source.seek(0, os.SEEK_END)
        position, found, last = end, 0, b""
        while position > 0:
            size = min(_CHUNK_BYTES, position)
            position -= size
            source.seek(position)
            last = source.read(size)
            # the end of the last line does not begin another one
            skip = 1 if position + size == end and last.endswith(b"\n") else 0
            body = last[: len(last) - skip]
            at = len(body)
            while (at := body.rfind(b"\n", 0, at)) >= 0:
                found += 1
                if found == lines:
                    return position + at + 1
    return 0 if lines else end


async def read_log(file: Path, query: LogQuery, running: Callable[[], bool]) -> AsyncIterator[bytes]:
    """Pieces of a log.

    Args:
        file: The log; a missing one is empty.
        query: What of it.
        running: Whether its container still writes to it.

    Yields:
        The next piece; when following, until the container has ended.
    """
    left = query.limit_bytes
    try:
        old = query.since_s is not None and time.time() - file.stat().st_mtime > query.since_s
        offset = file.stat().st_size if old else 0
        if query.tail_lines is not None:
            offset = max(offset, tail_offset(file, query.tail_lines))
    except FileNotFoundError:
        return
    with file.open("rb") as source:
        source.seek(offset)
        while True:
            writing = running()
            while piece := source.read(_CHUNK_BYTES if left is None else min(_CHUNK_BYTES, left)):
                left = None if left is None else left - len(piece)
                yield piece
            if left == 0 or not (query.follow and writing):
                return
            await asyncio.sleep(_LOOK_S)
