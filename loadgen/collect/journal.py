"""Follows the journal of the fleet: one event per line, append-only."""

import logging
from pathlib import Path

from pydantic import ValidationError

from loadgen.dataset.events import Event, parse_event

MAX_BYTES = 1 << 20
_log = logging.getLogger(__name__)


class Journal:
    """Reads the lines that were appended since the last call; incomplete lines wait for the next one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[Event]:
        """Return the new events in order, at most about one mebibyte of them; none while the file does not exist."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                chunk = file.read(MAX_BYTES)
        except FileNotFoundError:
            return []
        except OSError as error:
            _log.warning("cannot read %s: %s", self._path, error)
            return []
        end = chunk.rfind(b"\n") + 1
        if not end and len(chunk) == MAX_BYTES:
            _log.error("skipped a line of %s with more than %d bytes", self._path, MAX_BYTES)
            end = len(chunk)
        self._offset += end
        events = [self._event(line) for line in chunk[:end].split(b"\n") if line.strip()]
        return [event for event in events if event]

    def _event(self, text: bytes) -> Event | None:
        try:
            return parse_event(text)
        except ValidationError as error:
            _log.warning("skipped a line of %s that is not an event: %s", self._path, error.errors()[0]["msg"])
            return None
