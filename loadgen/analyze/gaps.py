"""Gaps between tokens of any number of requests, in bounded memory.

Up to `EXACT` gaps are kept as they are. More are counted in bins of a relative width of at most `WIDTH`, one set for
each cell of requests, so that percentiles are within `ERROR` of the measured value; counts, means and maxima stay
exact, and so does the number of slow gaps of each request.
"""

from collections.abc import Iterable

import numpy as np

from loadgen.analyze.columns import extent
from loadgen.analyze.observed import Answers, Bools, Floats, Ints
from loadgen.analyze.stats import Values
from loadgen.analyze.tokens import Tokens

EXACT = 2_000_000
"""Most gaps that are kept as they are."""
_FOLDED = 1 << 17
"""Beyond it, so many are counted at a time: their arrays fit into the cache."""
_BITS = 10
WIDTH = 2.0**-_BITS
"""Width of a bin, relative to its values, unless there are hundreds of cells."""
ERROR = WIDTH / 2 * 1.001
"""Largest relative error of a percentile of more gaps."""
_LOWEST, _HIGHEST = -20, 22
"""Powers of two between which bins have their width: from a microsecond to 48 days."""
_MAX_BINS = 1 << 24
_MANTISSA_BITS = 23
"""Of a number of single precision: its first bits are the number of its bin."""


class Gaps:
    """The gaps of all due requests.

    Args:
        answers: The answers of the run; iterated again for members that are no union of cells.
        cell: Cell of each request by row, from 0 on; -1 for requests without gaps.
        latest_s: Time of the last token of each request by row, once all gaps were added.
    """

    def __init__(self, answers: Iterable[Answers], cell: Ints, latest_s: Floats) -> None:
        self._answers, self._cell, self._latest_s = answers, cell, latest_s
        self._cells = int(cell.max(initial=-1)) + 1
        self._requests = np.bincount(cell[cell >= 0], minlength=self._cells)
        self._kept: list[tuple[Floats, Ints, Ints]] = []
        self._in_memory = 0
        self._bits = _BITS
        while self._bits and self._cells * ((_HIGHEST - _LOWEST) << self._bits) > _MAX_BINS:
            self._bits -= 1
        self._bins = (_HIGHEST - _LOWEST) << self._bits
        self._lowest = int(np.float32(2.0**_LOWEST).view(np.int32)) >> (_MANTISSA_BITS - self._bits)
        self._counts: Ints | None = None
        self._sums = np.zeros(self._cells)
        self._highest = np.full(self._cells, -np.inf)

    def add(self, gap_s: Floats, row: Ints, count: Ints) -> None:
        """Add the gaps of some requests.

        Args:
            gap_s: The gaps, request by request.
            row: Row of each request.
            count: Number of gaps of each request.
        """
        due = self._cell[row] >= 0
        if not due.all():
            gap_s, row, count = gap_s[np.repeat(due, count)], row[due], count[due]
        self._kept.append((gap_s, row, count))
        self._in_memory += len(gap_s)
        if self._in_memory > (EXACT if self._counts is None else _FOLDED):
            self._fold()

    @property
    def error_ratio(self) -> float:
        """Largest relative error of a percentile: 0 if all gaps are kept as they are."""
        return 0.0 if self._counts is None else ERROR * 2.0 ** (_BITS - self._bits)

    def of(self, members: Bools) -> Values:
        """The distribution of the gaps of some requests."""
        if self._counts is None:
            return self._exact(members)
        self._fold()
        rows = extent(members)
        cell = self._cell[rows][members[rows]]
        chosen = np.bincount(cell[cell >= 0], minlength=self._cells)
        if ((chosen > 0) & (chosen < self._requests)).any():
            return self._again(members & (self._cell >= 0))
        return self._of_cells(np.flatnonzero(chosen))

    def _exact(self, members: Bools) -> Values:
        parts = [gap_s[np.repeat(members[row], count)] for gap_s, row, count in self._kept]
        gap_s = np.concatenate(parts) if parts else np.empty(0)
        mean = float(gap_s.mean()) if len(gap_s) else float("nan")
        return Values(value=np.sort(gap_s), count=np.ones(len(gap_s), dtype=np.int64), mean=mean)

    def _again(self, members: Bools) -> Values:
        """The distribution by another pass over the answers."""
        gaps = Gaps(self._answers, np.where(members, 0, -1), self._latest_s)
        latest_s = self._latest_s[members & np.isfinite(self._latest_s)]
        answers = self._answers
        if len(latest_s) and isinstance(answers, Tokens):
            answers = answers.between(float(latest_s.min()), float(latest_s.max()))
        for some in answers:
            gaps.add(some.gaps(), some.row, some.lengths - 1)
        return gaps.of(members)

    def _fold(self) -> None:
        """Count the gaps in memory in their bins."""
        if self._counts is None:
            self._counts = np.zeros((self._cells, self._bins), dtype=np.int64)
        kept, self._kept, self._in_memory = self._kept, [], 0
        for gap_s, row, count in kept:
            self._count(gap_s, self._cell[row], count)

    def _count(self, gap_s: Floats, cell: Ints, count: Ints) -> None:
        """Count gaps in the bins of the cells of their requests."""
        assert self._counts is not None
        place = gap_s.astype(np.float32).view(np.int32) >> (_MANTISSA_BITS - self._bits)
        place -= self._lowest
        np.clip(place, 0, self._bins - 1, out=place)
        cells = np.flatnonzero(np.bincount(cell[count > 0], minlength=self._cells))
        of_gap = np.repeat(cell, count) if len(cells) > 1 else None
        for number in cells:
            of_cell = slice(None) if of_gap is None else of_gap == number
            self._counts[number] += np.bincount(place[of_cell], minlength=self._bins)
            self._sums[number] += gap_s[of_cell].sum()
            self._highest[number] = max(self._highest[number], gap_s[of_cell].max())

    def _of_cells(self, cells: Ints) -> Values:
        assert self._counts is not None
        count = self._counts[cells].sum(axis=0)
        used = np.flatnonzero(count)
        edges = (np.stack((used, used + 1)) + self._lowest << (_MANTISSA_BITS - self._bits)).astype(np.int32)
        middle = edges.view(np.float32).astype(np.float64).mean(axis=0)
        total = int(count.sum())
        value = np.minimum(np.where(used == 0, 0.0, middle), self._highest[cells].max(initial=-np.inf))
        if len(value):
            value[-1] = self._highest[cells].max()
        return Values(
            value=value, count=count[used], mean=float(self._sums[cells].sum() / total) if total else float("nan")
        )
