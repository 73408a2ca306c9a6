"""Renders `analysis.json`: the whole analysis for machines, in base units and unrounded.

The series of the timeline, and the rows of a table beyond the first `MAX_ROWS`, are in Parquet files beside it, which
`tables` names. So its size does not grow with the length of a run or the number of its replicas.
"""

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from loadgen.analyze.results import Analysis, Timeline, Window
from loadgen.base.arrow import floats, texts
from loadgen_reports.finding_text import window_text

SCHEMA_VERSION = 2
"""Version of `analysis.json`; it changes when a field is renamed or changes its meaning. 1 had all series inside."""
MAX_ROWS = 100
"""Most rows of a table in `analysis.json`."""
FOLDER = "analysis"
"""Folder of the Parquet files, below that of the run."""
_WHOLE = ("run",)
"""Fields that are never cut: they are as large as `run.json`."""
_NESTED = b"loadgen.json"
"""Key of the metadata of a column whose values are JSON text: objects, lists, and values of several types."""


def render(analysis: Analysis) -> str:
    """The analysis as JSON text, fields in the order of `loadgen.analyze.results`.

    Missing values (None, NaN) are null; an infinite value, which JSON cannot represent, is the string "Infinity".
    Each row of a table is one line, and so are values that belong together, so that a diff of two files is readable.
    """
    return _parts(analysis)[0]


def files(analysis: Analysis) -> dict[str, bytes]:
    """`analysis.json` and the Parquet files beside it, by their names below the folder of the run."""
    text, tables = _parts(analysis)
    return {**{_file(name): _parquet(table) for name, table in tables.items()}, "analysis.json": text.encode()}


def read(folder: Path) -> dict[str, Any]:
    """The analysis of a run folder as one document, whatever the version of `analysis.json`: with every row and series.

    Raises:
        OSError: a file is missing.
        ValueError: a file is damaged.
    """
    document: dict[str, Any] = json.loads((folder / "analysis.json").read_text(encoding="utf-8"))
    if document["schema_version"] == 1:
        return document
    for name, entry in document.pop("tables").items():
        rows = _rows(pq.read_table(folder / entry["file"]))
        *parents, last = name.split(".")
        place = document
        for parent in parents:
            place = place[parent]
        if name == "timeline":
            place[last] |= {column: [row[column] for row in rows] for column in (rows[0] if rows else ())}
        elif name == "timeline.ratio_by_pod":
            place[last] = by_pod = dict[str, list[Any]]()
            for row in rows:
                by_pod.setdefault(row["pod"], []).append(row["ratio"])
        else:
            place[last] = rows
    return document


def _parts(analysis: Analysis) -> tuple[str, dict[str, pa.Table]]:
    """The text of `analysis.json`, and the tables beside it by their paths in the document."""
    document = {each.name: _plain(getattr(analysis, each.name)) for each in fields(analysis) if each.name != "timeline"}
    if cluster := document["run"]["cluster"]:
        cluster["workload"] = f"{cluster.pop('kind')} {cluster['workload']}"
        del cluster["hpa_manifest"]  # `run.json` has it
        del cluster["gpus_per_replica"]  # `cost` has it
    for finding, entry in zip(analysis.findings, document["findings"], strict=True):
        entry["window"] = finding.window.in_seconds if isinstance(finding.window, Window) else window_text(finding)
    tables = _timeline(analysis.timeline)
    document = {name: value if name in _WHOLE else _cut(value, name, tables) for name, value in document.items()}
    document = {name: document.get(name, {"bin_s": analysis.timeline.bin_s}) for name in _names(analysis)}
    named = {name: {"rows": table.num_rows, "file": _file(name)} for name, table in tables.items()}
    return text({"schema_version": SCHEMA_VERSION, **document, "tables": named}) + "\n", tables


def text(value: Any) -> str:
    """A value as JSON text, as described above."""
    return _text(value, "")


def _names(analysis: Analysis) -> list[str]:
    return [each.name for each in fields(analysis)]


def _plain(value: Any) -> Any:
    """The same as lists and objects; `dataclasses.asdict` copies every value, which takes five times as long."""
    if isinstance(value, str | float | int | None):
        return value
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(getattr(value, name)) for name in _field_names(type(value))}
    return value


@cache
def _field_names(of: type) -> tuple[str, ...]:
    return tuple(each.name for each in fields(of))


def _cut(value: Any, path: str, tables: dict[str, pa.Table]) -> Any:
    """The value with the first rows of each table; a table with more becomes one of `tables`, too."""
    if isinstance(value, Mapping):
        return {key: _cut(each, f"{path}.{key}", tables) for key, each in value.items()}
    if isinstance(value, list | tuple) and len(value) > MAX_ROWS and all(isinstance(row, dict) for row in value):
        tables[path] = _table(value)
        return value[:MAX_ROWS]
    return value


def _timeline(line: Timeline) -> dict[str, pa.Table]:
    """The series on the grid of the timeline, and the ratio of each replica on the same grid."""
    names = [each.name for each in fields(line) if each.name not in ("bin_s", "ratio_by_pod")]
    series = {name: floats(getattr(line, name)) for name in names}
    bins = len(line.t_s)
    series = {name: values if len(values) == bins else pa.nulls(bins, pa.float64()) for name, values in series.items()}
    ratio = [value for values in line.ratio_by_pod.values() for value in values]
    pods = [_utf8(pod) for pod in line.ratio_by_pod]
    by_pod = {
        "pod": texts(pods, np.repeat(np.arange(len(pods), dtype=np.int32), bins)),
        "t_s": floats(list(line.t_s) * len(pods)),
        "ratio": floats(ratio),
    }
    return {"timeline": pa.table(series), "timeline.ratio_by_pod": pa.table(by_pod)}


def _table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """A table of rows with the same fields."""
    columns, schema = [], []
    for name in rows[0]:
        values = [row[name] for row in rows]
        types = {type(value) for value in values} - {type(None)}
        if types == {str}:
            values = [None if value is None else _utf8(value) for value in values]
        if types <= {int, float} or types in ({bool}, {str}):
            columns.append(pa.array(values, from_pandas=types <= {int, float}))
            schema.append(pa.field(name, columns[-1].type))
        else:
            columns.append(pa.array([_compact(value) for value in values], pa.string()))
            schema.append(pa.field(name, pa.string(), metadata={_NESTED: b"1"}))
    return pa.Table.from_arrays(columns, schema=pa.schema(schema))


def _compact(value: Any) -> str:
    """A value as JSON text without line breaks."""
    try:
        return json.dumps(value, allow_nan=False, default=str)
    except ValueError:  # a value that is not finite
        return _text(value, "")


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    """The rows of a table as they are in `analysis.json`."""
    columns: dict[str, list[Any]] = {}
    for field, column in zip(table.schema, table.columns, strict=True):
        values = column.to_pylist()
        nested = _NESTED in (field.metadata or {})
        columns[field.name] = [json.loads(value) if nested else _number(value) for value in values]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _number(value: Any) -> Any:
    """A value of JSON: an infinite one is text."""
    return json.loads(_text(value, "")) if isinstance(value, float) and not math.isfinite(value) else value


def _utf8(text: str) -> str:
    """A text without lone surrogates, which Parquet cannot hold."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _file(name: str) -> str:
    return f"{FOLDER}/{name}.parquet"


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def _text(value: Any, indent: str) -> str:
    inner = indent + "  "
    if isinstance(value, dict) and value:
        if all(entry is None or isinstance(entry, int | float) for entry in value.values()):
            return "{" + ", ".join(f"{json.dumps(str(key))}: {_text(entry, '')}" for key, entry in value.items()) + "}"
        rows = [f"{inner}{json.dumps(str(key))}: {_text(entry, inner)}" for key, entry in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    if isinstance(value, list | tuple):
        if any(isinstance(entry, dict | list | tuple) for entry in value):
            return "[\n" + ",\n".join(inner + _entry(entry, inner) for entry in value) + f"\n{indent}]"
        return "[" + ", ".join(_text(entry, inner) for entry in value) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return "null" if math.isnan(value) else json.dumps("Infinity" if value > 0 else "-Infinity")
    return json.dumps(value, default=str)


def _entry(value: Any, indent: str) -> str:
    """An entry of a list: a row without lists or objects of its own is one line."""
    if isinstance(value, dict) and not any(isinstance(each, dict | list | tuple) for each in value.values()):
        return "{" + ", ".join(f"{json.dumps(str(key))}: {_text(each, '')}" for key, each in value.items()) + "}"
    return _text(value, indent)
