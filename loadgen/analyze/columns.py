"""Columns of Arrow tables as NumPy arrays: missing numbers are NaN, and texts are indices into the distinct ones."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from loadgen.base.arrow import floats_of, joined, valid_of, values_of
from loadgen.dataset.parts import nullable
from loadgen.dataset.tables import TABLES

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """A column of text with few distinct values.

    Attributes:
        code: Index into `names` of each row; −1 for a row without text.
        names: The distinct texts.
    """

    code: npt.NDArray[np.int32]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.code)

    def __iter__(self) -> Iterator[str | None]:
        return iter(self.tolist())

    @overload
    def __getitem__(self, rows: int) -> str | None: ...
    @overload
    def __getitem__(self, rows: npt.NDArray[Any]) -> "Texts": ...
    def __getitem__(self, rows: int | npt.NDArray[Any]) -> "str | Texts | None":
        """The text of one row, or the column of several."""
        if isinstance(rows, np.ndarray):
            return Texts(self.code[rows], self.names)
        code = int(self.code[rows])
        return None if code < 0 else self.names[code]

    def __eq__(self, text: object) -> Bools:  # type: ignore[override]
        """Whether each row has this text."""
        found: Bools = self.code == (self.names.index(text) if text in self.names else len(self.names))
        return found

    @property
    def known(self) -> Bools:
        """Whether each row has a text."""
        return self.code >= 0

    def isin(self, texts: Iterable[str]) -> Bools:
        """Whether each row has one of these texts."""
        wanted = frozenset(texts)
        of_name = np.array([*(name in wanted for name in self.names), False], dtype=np.bool_)
        found: Bools = of_name[self.code]
        return found

    def tolist(self) -> list[str | None]:
        """The texts, None for a missing one."""
        names = [*self.names, None]
        return [names[code] for code in self.code.tolist()]


class Columns:
    """The columns of some rows of a table; each is converted when it is first asked for.

    Args:
        table: The table.
        use: The rows; None means all.
    """

    def __init__(self, table: pa.Table, use: Bools | None = None) -> None:
        self._table, self._use = table, use
        self._numbers: dict[str, Floats] = {}
        self._texts: dict[str, Texts] = {}

    def __len__(self) -> int:
        return int(self._table.num_rows if self._use is None else np.count_nonzero(self._use))

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        names: list[str] = self._table.column_names
        return names

    def numbers(self, column: str) -> Floats:
        """A column of numbers, NaN for a missing one."""
        if column not in self._numbers:
            values = floats_of(self._table.column(column))
            self._numbers[column] = values if self._use is None else values[self._use]
        return self._numbers[column]

    def texts(self, column: str) -> Texts:
        """A column of texts."""
        if column not in self._texts:
            found = _texts(self._table.column(column))
            self._texts[column] = found if self._use is None else found[self._use]
        return self._texts[column]

    def value(self, column: str, row: int) -> object:
        """One value; None for a missing one."""
        place = row if self._use is None else int(np.flatnonzero(self._use)[row])
        value = self._table.column(column)[place].as_py()
        return None if value != value else value  # NaN differs from itself

    def where(self, use: Bools) -> "Columns":
        """Some of the rows."""
        if use.all():
            return self
        if self._use is not None:
            every = self._use.copy()
            every[self._use] = use
            use = every
        return Columns(self._table, use)


def columns(table: str, rows: "pa.Table | pd.DataFrame") -> Columns:
    """The columns of one of the four tables."""
    return Columns(arrow(table, rows))


def arrow(table: str, rows: "pa.Table | pd.DataFrame") -> pa.Table:
    """One of the four tables, which may be a DataFrame, as an Arrow table."""
    if isinstance(rows, pa.Table):
        return rows
    return pa.Table.from_pandas(rows, schema=nullable(TABLES[table]), preserve_index=False)


def _texts(column: pa.ChunkedArray) -> Texts:
    encoded = joined(column.dictionary_encode().unify_dictionaries())
    code = np.where(valid_of(encoded.indices), values_of(encoded.indices), -1).astype(np.int32)
    return Texts(code, tuple(encoded.dictionary.to_pylist()))


def groups(*keys: npt.NDArray[Any]) -> tuple[Ints, Bools]:
    """Rows in order of their keys, and where in this order the first of several equal rows is.

    Rows with equal keys keep their order. The first key counts most.
    """
    order = np.lexsort(keys[::-1])
    first = np.ones(len(order), dtype=np.bool_)
    if len(order):
        first[1:] = np.any([key[order[1:]] != key[order[:-1]] for key in keys], axis=0)
    return order, first


def extent(flags: Bools) -> slice:
    """The rows from the first to the last that is set."""
    if not flags.any():
        return slice(0, 0)
    return slice(int(np.argmax(flags)), len(flags) - int(np.argmax(flags[::-1])))
