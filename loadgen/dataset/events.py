"""Encodes events: as lines of the journal, and as rows of the table `events`."""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict


class Event(NamedTuple):
    """One event; docs/dataset.md describes the fields. `data` can be encoded as JSON."""

    t_s: float
    kind: str
    pod: str | None = None
    reason: str | None = None
    message: str | None = None
    data: Mapping[str, Any] | None = None

    def line(self) -> bytes:
        """Return the event as a line of `stack/journal.jsonl`."""
        fields = {**self._asdict(), "t_s": round(self.t_s, 6)}
        return json.dumps(fields, ensure_ascii=False).encode() + b"\n"

    def row(self) -> dict[str, Any]:
        """Return the event as a row of `events/`, with its data as JSON text."""
        return {**self._asdict(), "data": None if self.data is None else json.dumps(self.data)}


Emit = Callable[[Event], None]
"""Records an event as soon as it happens."""


class _Line(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)

    t_s: float
    kind: str
    pod: str | None = None
    reason: str | None = None
    message: str | None = None
    data: Any = None


def parse_event(line: bytes) -> Event:
    """Parse a line of the journal.

    Raises:
        pydantic.ValidationError: the line is not an event.
    """
    return Event(**dict(_Line.model_validate_json(line)))
