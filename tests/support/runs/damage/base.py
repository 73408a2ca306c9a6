"""A small synthetic run, and how its folder is written with a change."""

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from loadgen.dataset.tables import TABLES
from support.runs.synthetic import Plan, write

PLAN = Plan(name="small", period_s=24.0, cycles=1, peak_per_s=3.0, replicas=(1, 2), observed_s=5.0)
"""A run of 24 s with some forty requests."""
PART, SECOND = "part-a-000000.parquet", "part-b-000000.parquet"
UNIX_S = 1_795_521_620.0
"""A time of this run on the wall clock, in place of one on the axis of the run."""

Outcome = Literal["refused", "left out", "any"]
"""`refused`: one sentence; `left out`: an analysis that names the table; `any`: either, or an analysis as usual."""


@dataclass(frozen=True)
class Damage:
    """A damaged folder.

    Attributes:
        name: What is damaged, and how.
        outcome: What must come of it.
        table: The damaged table; empty for others.
        edit: Changes a whole folder.
    """

    name: str
    outcome: Outcome
    table: str
    edit: Callable[[Path], object]

    def make(self, folder: Path) -> Path:
        """Write the folder."""
        whole(folder)
        self.edit(folder)
        return folder


@functools.cache
def base() -> tuple[dict[str, Any], dict[str, pa.Table]]:
    """`run.json` and the tables of the run before any damage, with columns that may be null."""
    with TemporaryDirectory() as runs:
        path = write(Path(runs), PLAN).path
        tables = {}
        for name, schema in TABLES.items():
            parts = [pq.ParquetFile(part).read() for part in sorted((path / name).glob("part-*.parquet"))]
            nullable = pa.schema([field.with_nullable(True) for field in schema])
            tables[name] = pa.concat_tables(parts).cast(nullable)
        return json.loads((path / "run.json").read_text()), tables


def part(folder: Path, table: str) -> Path:
    """The only part of a table."""
    return folder / table / PART


def whole(folder: Path) -> Path:
    """Write the folder without damage, one part for each table."""
    for name, data in _files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@functools.cache
def _files() -> dict[str, bytes]:
    """The content of every file of the folder."""
    info, tables = base()
    files = {"run.json": json.dumps(info).encode()}
    for name, data in tables.items():
        sink = pa.BufferOutputStream()
        pq.write_table(data, sink)
        files[f"{name}/{PART}"] = sink.getvalue().to_pybytes()
    return files


def put(folder: Path, table: str, data: pa.Table, name: str = PART) -> None:
    """Write a part."""
    (folder / table).mkdir(exist_ok=True)
    pq.write_table(data, folder / table / name)


def with_value(table: str, column: str, value: Any, rows: Callable[[dict[str, Any]], bool] | None = None) -> pa.Table:
    """A table with another value in the rows that match; by default in one row in the middle that has a value."""
    data = base()[1][table]
    values = data.column(column).to_pylist()
    if rows is None:
        known = [number for number, each in enumerate(values) if each is not None] or [0]
        places = [known[len(known) // 2]]
    else:
        places = [number for number, row in enumerate(data.to_pylist()) if rows(row)]
    for number in places:
        values[number] = value
    return with_column(data, column, pa.array(values, data.schema.field(column).type))


def with_column(data: pa.Table, column: str, values: pa.Array) -> pa.Table:
    """A table with another column in place of one."""
    return data.set_column(data.schema.get_field_index(column), column, values)


def with_info(folder: Path, path: tuple[str | int, ...], value: Any) -> None:
    """Change one field of `run.json`, by its path."""
    info = json.loads(json.dumps(base()[0]))
    target = info
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    (folder / "run.json").write_text(json.dumps(info))
