"""Reads the token times of a run part by part, so that those of one part are in memory at once.

Rows that cannot be true are left out and counted, as in `loadgen.analyze.rows`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from loadgen.analyze.columns import groups
from loadgen.analyze.observed import Answers, Bools, Damage, Floats, Ints
from loadgen.base.arrow import floats_of, joined, valid_of, values_of
from loadgen.base.text import clean
from loadgen.dataset.parts import Parts
from loadgen.dataset.tables import MAX_REQUEST_ID

REVERSED = "token times that run backwards"
REPEATED = "the request_id of an earlier row"
_FAULTS = (
    "no request_id",
    "no t_s",
    "an impossible request_id",
    "a token time that is not a number",
    "an impossible token time",
    REVERSED,
    REPEATED,
)
"""In the order in which they are looked for: a row counts for the first fault that it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The token times of the known requests; each iteration reads and checks all parts again.

    Attributes:
        parts: The parts of the table `tokens`.
        zero_s: Time of 0 on the axis of the run.
        earliest_s: First time that a token can have, on the axis of the run.
        latest_s: Last time.
        ids: Request numbers by row of `Requests`.
    """

    parts: Iterable[pa.Table]
    zero_s: float
    earliest_s: float
    latest_s: float
    ids: Ints

    def __iter__(self) -> Iterator[Answers]:
        """The answers of one part after the other; tokens of unknown requests are skipped."""
        return self.read(Faults())

    def between(self, first_s: float, last_s: float) -> Iterator[Answers]:
        """At least the answers with a token in this span of the load, without parts that are known to have none."""
        if not isinstance(self.parts, Parts):
            return iter(self)
        # Wider by more than the rounding of a shift.
        parts = self.parts.between(first_s + self.zero_s - 1.0, last_s + self.zero_s + 1.0)
        return iter(replace(self, parts=parts))

    def read(self, faults: "Faults") -> Iterator[Answers]:
        """The same; the rows that are left out are counted in `faults`."""
        rows = _Rows(self.ids)
        for part in self.parts:
            if not part.num_rows:
                continue
            yield self._answers(part, rows, faults)

    def _answers(self, part: pa.Table, rows: "_Rows", faults: "Faults") -> Answers:
        ids, lists = joined(part.column("request_id")), joined(part.column("t_s"))
        t_s, lengths = _flat(lists)
        numbers = np.where(valid_of(ids), values_of(ids), -1) if ids.null_count else values_of(ids)
        row = rows.of(numbers)
        wrong = self._wrong(ids, lists, numbers, t_s, lengths)
        good = ~np.any(list(wrong.values()), axis=0) if wrong else np.ones(len(numbers), dtype=np.bool_)
        repeated = rows.repeated(numbers, row, good)
        if repeated.any():
            wrong[REPEATED] = repeated
        faults.count(ids, wrong)
        keep = good & ~repeated & (row >= 0)
        if not keep.all():
            t_s, lengths, row = t_s[np.repeat(keep, lengths)], lengths[keep], row[keep]
        some = lengths > 0
        if not some.all():
            lengths, row = lengths[some], row[some]
        return Answers(t_s=t_s - self.zero_s, row=row, lengths=lengths)

    def _wrong(self, ids: pa.Array, lists: pa.Array, numbers: Ints, t_s: Floats, lengths: Ints) -> dict[str, Bools]:
        """The rows with each fault of their own; faults that no row has are left out."""
        wrong: dict[str, Bools] = {}
        if ids.null_count:
            wrong["no request_id"] = ~valid_of(ids)
        if lists.null_count:
            wrong["no t_s"] = ~valid_of(lists)
        outside = (numbers < 0) | (numbers > MAX_REQUEST_ID)
        if outside.any():
            wrong["an impossible request_id"] = outside
        if not len(t_s):
            return wrong
        ends = np.cumsum(lengths)
        low, high = t_s.min(), t_s.max()
        if not np.isfinite([low, high]).all():
            wrong["a token time that is not a number"] = _any_of_row(~np.isfinite(t_s), ends)
        if not (low >= self.earliest_s and high <= self.latest_s):
            outside = (t_s < self.earliest_s) | (t_s > self.latest_s)
            wrong["an impossible token time"] = _any_of_row(outside, ends)
        falls = t_s[1:] < t_s[:-1]
        falls[ends[(ends > 0) & (ends < len(t_s))] - 1] = False
        if falls.any():
            wrong[REVERSED] = _any_of_row(np.concatenate(([False], falls)), ends)
        return wrong


class Faults:
    """Counts of rows that cannot be true, by what is wrong with them."""

    def __init__(self) -> None:
        self._rows = 0
        self._counts: dict[str, int] = {}
        self._examples: dict[str, str] = {}

    def count(self, ids: pa.Array, wrong: dict[str, Bools]) -> None:
        """Count the rows of a part; `wrong` has the rows with each fault."""
        self._rows += len(ids)
        good = np.ones(len(ids), dtype=np.bool_)
        for fault in _FAULTS:
            if fault not in wrong or not (of_fault := wrong[fault] & good).any():
                continue
            good &= ~of_fault
            self._counts[fault] = self._counts.get(fault, 0) + int(of_fault.sum())
            number = ids[int(np.argmax(of_fault))].as_py()
            example = "a row that nothing identifies" if number is None else f"request_id {clean(number, 40)}"
            self._examples.setdefault(fault, example)

    def damage(self) -> list[Damage]:
        """The damage of the table."""
        return [
            Damage(
                table="tokens",
                rows=self._rows,
                count=self._counts[fault],
                fault=fault,
                example=self._examples[fault],
            )
            for fault in _FAULTS
            if fault in self._counts
        ]


class _Rows:
    """Finds the row of each request number, and the numbers that come again."""

    def __init__(self, ids: Ints) -> None:
        self._order = None if (np.diff(ids) > 0).all() else np.argsort(ids, kind="stable")
        self._ids = ids if self._order is None else ids[self._order]
        self._read = np.zeros(len(ids), dtype=np.bool_)
        self._unknown = np.empty(0, dtype=np.int64)

    def of(self, numbers: Ints) -> Ints:
        """The row of each request; -1 where there is none."""
        if not len(self._ids):
            return np.full(len(numbers), -1)
        place = np.minimum(np.searchsorted(self._ids, numbers), len(self._ids) - 1)
        row = place if self._order is None else self._order[place]
        return np.where(self._ids[place] == numbers, row, -1)

    def repeated(self, numbers: Ints, row: Ints, good: Bools) -> Bools:
        """Whether each good row has a number that an earlier good row had."""
        repeated = np.zeros(len(numbers), dtype=np.bool_)
        ordered = np.sort(numbers)
        if (ordered[1:] == ordered[:-1]).any():
            places = np.flatnonzero(good)
            order, first = groups(numbers[places])
            repeated[places[order[~first]]] = True
        known = good & (row >= 0)
        repeated[known] |= self._read[row[known]]
        self._read[row[known]] = True
        unknown = good & (row < 0)
        if unknown.any():
            repeated[unknown] |= _among(numbers[unknown], self._unknown)
            self._unknown = np.sort(np.concatenate((self._unknown, numbers[unknown])), kind="stable")
        return repeated


def _among(numbers: Ints, ordered: Ints) -> Bools:
    """Whether each number is one of those in order."""
    place = np.searchsorted(ordered, numbers)
    there = place < len(ordered)
    there[there] = ordered[place[there]] == numbers[there]
    return there


def _flat(lists: pa.Array) -> tuple[Floats, Ints]:
    """All values of a column of lists, row by row, and the length of each list; null is a list without values."""
    if lists.null_count:
        return floats_of(lists.flatten()), np.nan_to_num(floats_of(lists.value_lengths())).astype(np.int64)
    ends = values_of(lists.offsets).astype(np.int64)
    if len(ends) < 2:
        return np.empty(0), np.empty(0, dtype=np.int64)
    return floats_of(lists.values[int(ends[0]) : int(ends[-1])]), np.diff(ends)


def _any_of_row(flags: Bools, ends: Ints) -> Bools:
    """Whether any flag of each row is set; the flags of a row end before its end."""
    found = np.zeros(len(ends), dtype=np.bool_)
    found[np.searchsorted(ends, np.flatnonzero(flags), side="right")] = True
    return found
