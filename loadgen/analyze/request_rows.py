"""Reads the requests of a run part by part: rows that cannot be true are left out and counted, as in `rows`.

Only the columns that analyses need are kept, as NumPy arrays, so that neither the whole table nor a copy of it is ever
in memory.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from loadgen.analyze.columns import Bools, Columns, Floats, Ints, Texts, arrow
from loadgen.analyze.observed import Damage, Tables
from loadgen.analyze.rows import Rows, repeated, span
from loadgen.analyze.tokens import REPEATED
from loadgen.base.text import clean
from loadgen.dataset.names import OUTCOMES, Cause, Outcome
from loadgen.dataset.run_info import RunInfo
from loadgen.dataset.tables import MAX_REQUEST_ID, MAX_RUN_S

TIMES = ("scheduled_s", "sent_s", "on_wire_s", "first_token_s", "last_token_s", "ended_s")
_DURATIONS = ("engine_queue_s", "engine_prefill_s", "engine_decode_s")
_NUMBERS = (*TIMES, "output_tokens", "max_tokens", "resent", *_DURATIONS)
_TEXTS = ("outcome", "cause", "token_source", "pod")
_CHUNK_ROWS = 1 << 16
"""Rows that are checked at a time: a few parts, whose columns fit into the cache."""
_DENSE = 4
"""Request numbers are counted one by one where the largest is at most this many times their count."""


class RequestRows:
    """The rows of `requests` that can be true.

    Each column can be taken once: it is then no longer kept here.

    Args:
        info: The content of `run.json`.
        tables: The four tables.
    """

    def __init__(self, info: RunInfo, tables: Tables) -> None:
        ids = _Grown(np.dtype(np.int64))
        self._numbers = {name: _Grown(np.dtype(np.float64)) for name in _NUMBERS}
        self._codes = {name: _Grown(np.dtype(np.int32)) for name in _TEXTS}
        self._names: dict[str, dict[str, int]] = {name: {} for name in _TEXTS}
        self._use: Bools | None = None
        faults, self._damage, every = list[str](), dict[str, Damage](), 0
        for chunk in _chunks(tables):
            rows = _checked(info, Columns(chunk))
            every += len(rows.given)
            faults = rows.faults
            for each in rows.damage:
                self._count(each)
            left = rows.left()
            ids.add(left.numbers("request_id"))
            self._keep(left)
        self.ids: Ints = ids.values
        self._drop_repeated()
        found = (self._damage[fault] for fault in (*faults, REPEATED) if fault in self._damage)
        self.damage = tuple(
            Damage(table="requests", rows=every, count=each.count, fault=each.fault, example=each.example)
            for each in found
        )

    def take(self, column: str) -> Floats:
        """A column of numbers, NaN for a missing one."""
        values = self._numbers.pop(column).values
        return values if self._use is None else values[self._use]

    def take_texts(self, column: str) -> Texts:
        """A column of texts."""
        code = self._codes.pop(column).values
        return Texts(code if self._use is None else code[self._use], tuple(self._names[column]))

    def _count(self, damage: Damage) -> None:
        before = self._damage.get(damage.fault)
        count, example = (before.count, before.example) if before else (0, damage.example)
        self._damage[damage.fault] = Damage(
            table="requests", rows=0, count=count + damage.count, fault=damage.fault, example=example
        )

    def _keep(self, given: Columns) -> None:
        for name, numbers in self._numbers.items():
            numbers.add(given.numbers(name))
        for name, codes in self._codes.items():
            texts, names = given.texts(name), self._names[name]
            number = [names.setdefault(text, len(names)) for text in texts.names]
            codes.add(np.array([*number, -1], dtype=np.int32)[texts.code])

    def _drop_repeated(self) -> None:
        """Leave out all rows of a number but the first."""
        highest = int(self.ids.max(initial=0))
        if highest < _DENSE * len(self.ids) and np.bincount(self.ids, minlength=1).max() <= 1:
            return
        again = repeated(np.ones(len(self.ids), dtype=np.bool_), self.ids)
        if not again.any():
            return
        example = f"request_id {clean(int(self.ids[int(np.argmax(again))]), 40)}"
        self._count(Damage(table="requests", rows=0, count=int(again.sum()), fault=REPEATED, example=example))
        self._use = ~again
        self.ids = self.ids[self._use]


class _Grown:
    """An array that grows: one block of memory, which goes back to the system when it is dropped."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._room, self._count = np.empty(0, dtype=dtype), 0

    def add(self, values: npt.NDArray[Any]) -> None:
        count = self._count + len(values)
        if count > len(self._room):
            room = np.empty(max(2 * len(self._room), count), dtype=self._room.dtype)
            room[: self._count] = self.values
            self._room = room
        self._room[self._count : count] = values
        self._count = count

    @property
    def values(self) -> npt.NDArray[Any]:
        """All that was added."""
        return self._room[: self._count]


def _chunks(tables: Tables) -> Iterator[pa.Table]:
    """The table in pieces of several parts each."""
    given = tables.requests
    if isinstance(given, pa.Table) or hasattr(given, "columns"):
        yield arrow("requests", given)
        return
    parts: list[pa.Table] = []
    for part in given:
        parts.append(part)
        if sum(each.num_rows for each in parts) >= _CHUNK_ROWS:
            yield pa.concat_tables(parts)
            parts = []
    if parts:
        yield pa.concat_tables(parts)


def _checked(info: RunInfo, given: Columns) -> Rows:
    earliest_s, latest_s = span(info)
    rows = Rows("requests", given, "request_id")
    ids, outcome = given.numbers("request_id"), given.texts("outcome")
    times = {column: given.numbers(column) for column in TIMES}
    rows.drop_missing("request_id", np.isnan(ids))
    rows.drop_missing("scheduled_s", np.isnan(times["scheduled_s"]))
    rows.drop_missing("outcome", ~outcome.known)
    counts = {column: given.numbers(column) for column in ("worker", "input_tokens", "max_tokens", "output_tokens")}
    for column in ("worker", "input_tokens", "max_tokens"):
        rows.drop_missing(column, np.isnan(counts[column]))
    planned = info.expected_rows if info.state == "finished" else None
    rows.drop_outside("request_id", ids, 0, MAX_REQUEST_ID if planned is None else planned - 1)
    for column in TIMES:
        rows.drop_outside(column, times[column], earliest_s, latest_s)
    for column in given.names:
        if column.endswith("_s") and column not in TIMES:  # a duration
            rows.drop_outside(column, given.numbers(column), -MAX_RUN_S, latest_s - earliest_s)
    for column, values in counts.items():
        rows.drop_outside(column, values, 0, math.inf)
    rows.drop(~outcome.isin(OUTCOMES), "an unknown outcome", "outcome")
    answered = (outcome == Outcome.OK) & ~(given.texts("cause") == Cause.NOT_RECORDABLE)
    for column in ("sent_s", "last_token_s", "ended_s"):
        rows.drop(answered & np.isnan(times[column]), f"the outcome ok without {column}")
    return rows
