"""Reads and writes run folders.

`runs/<id>/` holds `run.json` and four tables as `part-*.parquet`. A part is written to a temporary file and renamed, so
every visible part is complete. Parts are closed every few seconds, so a crash loses seconds of data and not the run.
The columns are documented in `docs/dataset.md`.
"""

import logging
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from loadgen.base.clock import Clock
from loadgen.base.errors import DatasetError, FolderGoneError, RecordError
from loadgen.base.files import disk_problem, record_error, require_file, write_whole
from loadgen.base.json_text import parse_json
from loadgen.base.text import clean
from loadgen.dataset.parts import Parts, read_parts
from loadgen.dataset.run_info import SCHEMA_VERSION, RunInfo
from loadgen.dataset.tables import TABLES, encoding, table_of

if TYPE_CHECKING:
    import pandas as pd  # its import takes a second, which only readers should pay

_LOG = logging.getLogger(__name__)

_MAX_NAME = 100
_MAX_INFO_BYTES = 16 << 20


class RunFolder:
    """One run on disk: `run.json`, tables, logs and reports below `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, runs: Path, scenario: str, clock: Clock) -> "RunFolder":
        """Make a new, empty folder below `runs`, named by UTC start time and scenario.

        Raises:
            RecordError: the folder cannot be written.
        """
        stamp = datetime.fromtimestamp(clock.anchor_unix_s, UTC).strftime("%Y%m%dT%H%M%SZ")
        slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", scenario).strip("-") or "run"
        path = runs
        try:
            runs.mkdir(parents=True, exist_ok=True)
            for attempt in range(100):
                path = runs / (f"{stamp}-{slug}" + (f"-{attempt + 1}" if attempt else ""))
                with suppress(FileExistsError):
                    path.mkdir(mode=0o700)  # it holds messages of servers
                    (path / "logs").mkdir(mode=0o700)
                    return cls(path)
        except OSError as error:
            reason, advice = disk_problem(error, runs)
            raise RecordError(
                f"cannot create the run folder {path}: {reason}; {advice}, or set LOADGEN_RUNS_DIR to another folder"
            ) from error
        raise RecordError(f"cannot find a free folder name below {runs}; set LOADGEN_RUNS_DIR to another folder")

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open an existing folder after checking its schema version.

        Raises:
            DatasetError: there is no run, `run.json` is unreadable, or its schema version differs.
        """
        folder = cls(path)
        folder.read_info()
        return folder

    @property
    def logs(self) -> Path:
        """The folder of the logs, one for every process that the run starts."""
        return self.path / "logs"

    def read_info(self) -> RunInfo:
        """Read and validate `run.json`.

        Raises:
            DatasetError: it is missing or unreadable, or its schema version differs.
        """
        file = self.path / "run.json"
        try:
            require_file(file, _MAX_INFO_BYTES)
            raw = parse_json(file.read_bytes())
        except FileNotFoundError:
            raise DatasetError(f"{self.path} is not a run folder: it has no run.json; name a folder in runs/") from None
        except (OSError, ValueError) as error:
            raise DatasetError(f"{file} cannot be read ({clean(error)}); restore it or run the test again") from error
        version = raw.get("schema_version") if isinstance(raw, dict) else None
        if version != SCHEMA_VERSION:
            raise DatasetError(
                f"{self.path} has schema version {clean(version, 20)}, this loadgen reads {SCHEMA_VERSION}: "
                f"use the loadgen release that wrote it"
            )
        try:
            return RunInfo.model_validate(raw)
        except ValidationError as error:
            first = error.errors()[0]
            where = clean(".".join(str(part)[:_MAX_NAME] for part in first["loc"]))
            raise DatasetError(
                f"{file} is damaged at {where} ({clean(first['msg'])}); restore it or run the test again"
            ) from error

    def check_present(self) -> None:
        """Check that the folder of a run that has begun is still there.

        Raises:
            FolderGoneError: it, or its `run.json`, was deleted or moved.
        """
        if not (self.path / "run.json").exists():
            raise FolderGoneError(self.path)

    def write_info(self, info: RunInfo) -> None:
        """Replace `run.json` atomically."""
        self.write_text("run.json", info.model_dump_json(indent=2) + "\n")

    def write_text(self, name: str, text: str) -> Path:
        """Write a file of the folder atomically and return its path."""
        return write_whole(self.path / name, text.encode())

    def append(self, table: str, writer: str, rows: Iterable[Mapping[str, Any]] | pa.Table) -> Path | None:
        """Write one part of a table.

        Args:
            table: Name of the table.
            writer: Name of the writing process; it keeps the part names of concurrent processes apart.
            rows: Rows of the part.

        Returns:
            The part's path, or None when there was no row.

        Raises:
            RecordError: the disk is full; parts written before are unaffected.
            FolderGoneError: the run folder was deleted or moved.
        """
        schema = TABLES[table]
        data = rows if isinstance(rows, pa.Table) else _table(table, schema, list(rows))
        if data.num_rows == 0:
            return None
        folder = self.path / table
        try:
            folder.mkdir(exist_ok=True)
            number = sum(1 for _ in folder.glob(f"part-{writer}-*.parquet"))
            part = folder / f"part-{writer}-{number:06d}.parquet"
            temporary = part.with_suffix(".tmp")
            try:
                pq.write_table(data.cast(schema), temporary, **encoding(schema))
                temporary.replace(part)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            reason, advice = disk_problem(error, self.path)
            raise record_error(
                self.path,
                f"cannot record {table} in {folder}: {reason}; "
                f"the data recorded before is kept: {advice} and run again",
            ) from error
        return part

    def read(self, table: str) -> "pd.DataFrame":
        """Read all parts of a table into one frame; it has the schema's columns also without any part.

        The frame has the rows as they are: `loadgen.analyze.rows` leaves out those that cannot be true. Text columns of
        `requests` are categories.

        Raises:
            DatasetError: the folder of the table or a part is damaged, or the table does not fit into memory.
        """
        data = self.table(table)
        if table == "requests":  # a few texts, each of which many rows have
            data = _with_categories(data)
        frame: pd.DataFrame = data.to_pandas(split_blocks=True)
        return frame

    def table(self, table: str) -> pa.Table:
        """The same as an Arrow table, which needs no import of pandas."""
        return read_parts(self.path / table, TABLES[table])

    def parts(self, table: str, *, copies: int = 0) -> Parts:
        """The rows of a table part by part, for a table that may not fit into memory.

        Args:
            table: Name of the table.
            copies: How many times the reader has all rows in memory; 0 if it keeps none.
        """
        return Parts(self.path / table, TABLES[table], copies=copies)


def _with_categories(data: pa.Table) -> pa.Table:
    """The same table with its text columns as dictionaries, which pandas reads as categories."""
    for number, field in enumerate(data.schema):
        if pa.types.is_string(field.type):
            data = data.set_column(number, field.name, data.column(number).dictionary_encode())
    return data.unify_dictionaries()


def _table(table: str, schema: pa.Schema, rows: list[Mapping[str, Any]]) -> pa.Table:
    """Build a table of rows; a row that cannot be written is named in the log."""
    data, unwritable = table_of(schema, [[row.get(name) for row in rows] for name in schema.names])
    for row in unwritable:
        _LOG.error("a row of %s: %s", table, row)
    return data


def runs_dir() -> Path:
    """Return the directory of the run folders: `$LOADGEN_RUNS_DIR`, else `runs/` in the working directory."""
    return Path(os.environ.get("LOADGEN_RUNS_DIR", "runs"))
