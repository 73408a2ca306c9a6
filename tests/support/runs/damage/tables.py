"""Damaged tables: values, columns, data of events, and rows that are there twice."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from loadgen.dataset.tables import TABLES
from support.runs.damage.base import PART, SECOND, UNIX_S, Damage, Outcome, base, put, with_column, with_value
from support.runs.synthetic.plan import LOAD_START_S

_FLOATS = {"NaN": math.nan, "+inf": math.inf, "-1e300": -1e300, "null": None}
_TIMES = {**_FLOATS, "a Unix time": UNIX_S, "20 days later": LOAD_START_S + 20 * 86_400}


def values() -> Iterator[Damage]:
    """Values that no run records, in every column."""
    for table, schema in TABLES.items():
        for field in schema:
            for name, value in _of_type(field).items():
                yield _value(table, field, name, value)


def _of_type(field: pa.Field) -> dict[str, Any]:
    if pa.types.is_floating(field.type):
        return _TIMES if field.name.endswith("_s") else {**_FLOATS, "negative": -1.0}
    if pa.types.is_integer(field.type):
        return {"null": None, "negative": -1, "the least": -(2 ** (field.type.bit_width - 1))}
    if pa.types.is_list(field.type):
        lists = {f"with {name}": [LOAD_START_S + 1.0, value] for name, value in _TIMES.items()}
        return {**lists, "null": None, "empty": [], "backwards": [LOAD_START_S + 2.0, LOAD_START_S + 1.9921]}
    if pa.types.is_boolean(field.type):
        return {"null": None, "true": True, "false": False}
    return {"null": None, "empty": "", "unknown": "\x1b[31msurprise", "long": "x" * 100_000}


def _value(table: str, field: pa.Field, name: str, value: Any) -> Damage:
    rows = _counter if (table, field.name) == ("samples", "value") else None
    return _part(
        f"{table}.{field.name} {name}",
        "left out" if _is_impossible(table, field, name) else "any",
        table,
        lambda _: with_value(table, field.name, value, rows),
    )


def _is_impossible(table: str, field: pa.Field, name: str) -> bool:
    """Whether a row with this value cannot be true, so that it must be left out."""
    if pa.types.is_string(field.type):
        return field.name == "outcome" or (name == "null" and not field.nullable)
    if pa.types.is_boolean(field.type):
        return False
    if name in ("NaN", "null"):
        return not field.nullable or field.name in ("sent_s", "last_token_s", "ended_s")
    # A time of another year may come from another machine's clock that was set (`clock.step`).
    is_of_others = table in ("samples", "events") and name in ("a Unix time", "20 days later")
    return name != "empty" and not is_of_others


def _counter(row: dict[str, Any]) -> bool:
    """One row of a counter, which is always defined."""
    return bool(row["signal"] == "raw_success" and row["value"] == 1.0)


def columns() -> Iterator[Damage]:
    """Columns that are missing, of another type, empty, or more than declared."""
    for table, schema in TABLES.items():
        for number, field in enumerate(schema):
            name, nullable = field.name, field.nullable
            other: Any = 1.5 if pa.types.is_string(field.type) else "x"
            yield _part(
                f"{table}.{name} missing",
                "any" if nullable else "refused",
                table,
                lambda data, n=number: data.remove_column(n),
            )
            yield _part(
                f"{table}.{name} all null",
                "any" if nullable else "left out",
                table,
                lambda data, name=name: with_column(data, name, pa.nulls(len(data))),
            )
            yield _part(
                f"{table}.{name} of another type",
                "refused",
                table,
                lambda data, name=name, other=other: with_column(data, name, pa.array([other] * len(data))),
            )
            yield _part(
                f"{table}.{name} twice",
                "refused",
                table,
                lambda data, n=number: data.append_column(data.schema[n], data[n]),
            )
        yield _part(f"{table} with another column", "any", table, lambda data: data.append_column("x", data[0]))
        yield _part(f"{table} of other columns", "refused", table, lambda _: pa.table({"a": [1], "b": ["x"]}))
        yield _part(f"{table} without rows", "any", table, lambda data: data.slice(0, 0))
    yield _part(
        "requests.worker too wide",
        "refused",
        "requests",
        lambda data: with_column(data, "worker", pa.array([2**40] * len(data))),
    )
    yield _part(
        "requests.request_id as float",
        "any",
        "requests",
        lambda data: with_column(data, "request_id", data["request_id"].cast(pa.float64())),
    )
    yield _part(
        "events.kind not UTF-8",
        "refused",
        "events",
        lambda data: with_column(data, "kind", pa.concat_arrays([_not_utf8()] * len(data))),
    )


def _not_utf8() -> pa.Array:
    return pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")])


def _part(name: str, outcome: Outcome, table: str, make: Callable[[pa.Table], pa.Table], file: str = PART) -> Damage:
    """A damage of one part, made from the whole table when the folder is written."""
    return Damage(name, outcome, table, lambda folder: put(folder, table, make(base()[1][table]), file))


_DATA = {
    "deep": "[" * 100_000,
    "deep object": '{"before": ' + "[" * 500 + "]" * 500 + "}",
    "no JSON": "{",
    "a list": "[1]",
    "NaN": '{"before": NaN, "after": 2}',
    "infinite": '{"from_s": 1e999, "to_s": 2}',
    "huge": '{"before": 1' + "0" * 400 + ', "after": 2, "current": 1' + "0" * 5000 + "}",
    "negative": '{"before": -1, "after": -5, "current": -1, "desired": -3}',
    "reversed": '{"from_s": 30, "to_s": 20, "source": "prometheus"}',
    "unix times": '{"from_s": 1795521600, "to_s": 1795529999, "source": "prometheus"}',
    "other types": '{"before": "x", "after": [], "current": {}, "desired": true, "from_s": "x", "to_s": {}, '
    '"late_s": [], "silent_s": "x", "step_s": "x", "node": {}, "pods": 7, "part": [], "source": {}, "watch": 1, '
    '"conditions": 1, "proposals": [1], "metric_milli": "x"}',
    "pods that are no names": '{"node": "n", "pods": [[], {}, 1]}',
}
_KINDS = ("hpa_rescale", "hpa_sync", "collect_gap", "clock_step", "node_lost", "part_died", "recording_delayed")


def event_data() -> Iterator[Damage]:
    """Data of events that no program writes, in events of every kind that has data."""
    for name, text in _DATA.items():
        rows = [_event(5.0 + number, kind, text) for number, kind in enumerate(_KINDS)]
        yield _part(f"events.data {name}", "left out", "events", lambda data, rows=rows: _with(data, rows))
    for kind in ("replica_created", "replica_unschedulable", "replica_ready", "replica_crashed"):
        rows = [_event(5.0, kind, None)]
        yield _part(f"events {kind} without a pod", "left out", "events", lambda data, rows=rows: _with(data, rows))


def _event(t_s: float, kind: str, data: str | None) -> dict[str, Any]:
    return {"t_s": LOAD_START_S + t_s, "kind": kind, "pod": None, "reason": None, "message": None, "data": data}


def _with(data: pa.Table, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.concat_tables([data, pa.Table.from_pylist(rows, schema=data.schema)])


def repeats() -> Iterator[Damage]:
    """A part that is there twice, rows of another run, and samples of two models."""
    for table in TABLES:
        yield _part(f"{table} twice", "any" if table == "samples" else "left out", table, lambda data: data, SECOND)
    yield _part(
        "requests of another run",
        "left out",
        "requests",
        lambda _: with_value("requests", "outcome", "error", lambda _: True),
        SECOND,
    )
    yield _part(
        "samples of two models",
        "left out",
        "samples",
        lambda _: with_value("samples", "value", 7.25, lambda row: bool(row["signal"] == "ratio")),
        SECOND,
    )
    yield _part("counters of two models in turn", "left out", "samples", _in_turn, SECOND)


def _in_turn(data: pa.Table) -> pa.Table:
    rows = [
        {**row, "t_s": row["t_s"] + 0.25, "value": row["value"] / 10}
        for row in data.to_pylist()
        if row["signal"] == "raw_compute_us"
    ]
    return pa.Table.from_pylist(rows, schema=data.schema)
