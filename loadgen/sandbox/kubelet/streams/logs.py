"""Reads container logs for `kubectl logs`."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from loadgen.sandbox.kubelet.objects import parse_rfc3339

_CHUNK_BYTES = 64 * 1024
_POLL_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class LogQuery:
    """The options of a log request.

    Attributes:
        follow: Whether to stream the log until the container exits.
        previous: Whether to read the log of the previous container.
        tail_lines: Number of lines from the end of the log.
        limit_bytes: Maximum number of bytes.
        since_s: Nothing is returned if the log was last written longer ago than this, as lines carry no time stamps.
    """

    follow: bool = False
    previous: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since_s: float | None = None

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> "LogQuery":
        """Parse the query of a URL; invalid numbers are ignored."""

        def number(name: str) -> int | None:
            value = query.get(name, "")
            return int(value) if value.isdigit() else None

        since_s: float | None = number("sinceSeconds")
        if query.get("sinceTime"):
            since_s = time.time() - parse_rfc3339(query["sinceTime"])
        return cls(
            follow=query.get("follow") in ("true", "1"),
            previous=query.get("previous") in ("true", "1"),
            tail_lines=number("tailLines"),
            limit_bytes=number("limitBytes"),
            since_s=since_s,
        )


def tail_offset(file: Path, lines: int) -> int:
    """Return the offset of the last lines of a file."""
    with file.open("rb") as source:
        end = source.seek(0, os.SEEK_END)
        position, count = end, 0
        while position > 0:
            size = min(_CHUNK_BYTES, position)
            position -= size
            source.seek(position)
            chunk = source.read(size)
            # the newline at the end of the file does not begin another line
            skip = 1 if position + size == end and chunk.endswith(b"\n") else 0
            chunk = chunk[: len(chunk) - skip]
            newline = len(chunk)
            while (newline := chunk.rfind(b"\n", 0, newline)) >= 0:
                count += 1
                if count == lines:
                    return position + newline + 1
    return 0 if lines else end


async def read_log(file: Path, query: LogQuery, running: Callable[[], bool]) -> AsyncIterator[bytes]:
    """Read a log in chunks.

    Args:
        file: The log; a missing file is an empty log.
        query: Options of the request.
        running: Returns whether the container is still running.

    Yields:
        Chunks of the log; with `follow` until the container has exited.
    """
    left_bytes = query.limit_bytes
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
            was_running = running()
            while chunk := source.read(_CHUNK_BYTES if left_bytes is None else min(_CHUNK_BYTES, left_bytes)):
                left_bytes = None if left_bytes is None else left_bytes - len(chunk)
                yield chunk
            if left_bytes == 0 or not (query.follow and was_running):
                return
            await asyncio.sleep(_POLL_S)
