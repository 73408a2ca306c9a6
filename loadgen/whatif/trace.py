"""Reads the arrival times of a trace from a CSV file."""

import csv
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from loadgen.base.errors import SettingsError
from loadgen.whatif.model import Floats

COLUMN = "arrival_s"
MOST = 20_000_000


def read_arrivals(path: Path) -> Floats:
    """Return the arrival times of a CSV file in order, counted from the first.

    The times are seconds, in the column `arrival_s`, or in the only column of a file with one.

    Raises:
        SettingsError: the file cannot be read, has no such column, or a time is not a number.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            times = _times(path, csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(f"the trace {path} cannot be read: {error}") from None
    if not times:
        raise SettingsError(f"the trace {path} has no arrivals")
    arrivals: Floats = np.sort(np.array(times))
    arrivals -= arrivals[0]
    return arrivals


def _times(path: Path, rows: Iterable[list[str]]) -> list[float]:
    column: int | None = None
    times: list[float] = []
    for number, row in enumerate(rows, start=1):
        if not row:
            continue
        if column is None:
            names = [name.strip() for name in row]
            if COLUMN in names:
                column = names.index(COLUMN)
                continue
            if len(row) > 1:
                raise SettingsError(f"the trace {path} has no column {COLUMN}, but {', '.join(names[:10])}")
            column = 0
        try:
            time_s = float(row[column])
        except (ValueError, IndexError):
            time_s = math.nan
        if not math.isfinite(time_s):
            raise SettingsError(f"line {number} of the trace {path} has no arrival time in seconds: {row[:5]}")
        times.append(time_s)
        if len(times) > MOST:
            raise SettingsError(f"the trace {path} has more than {MOST:,} arrivals: split it")
    return times
