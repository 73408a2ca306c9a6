"""Run folders that have very many of one thing: stages, syncs, replicas, rescales and events of every kind.

Each is small on disk, and none of its rows is impossible.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from loadgen.dataset.names import EVENT_KINDS, EventKind
from loadgen.dataset.tables import TABLES
from support.runs.damage.base import SECOND, base, put, whole
from support.runs.synthetic.plan import LOAD_START_S

COPIES = 150
LENGTH_S = COPIES * 24.0
"""The load of the small run, 150 times: an hour with 7,800 requests."""

Make = Callable[[Path], object]


def hour(folder: Path) -> Path:
    """Write a run of an hour, to which the others add."""
    whole(folder)
    info = json.loads((folder / "run.json").read_text())
    requests = base()[1]["requests"]
    info["load_end_s"] = info["stages"][-1]["end_s"] = LOAD_START_S + LENGTH_S
    info["expected_rows"] = COPIES * len(requests)
    (folder / "run.json").write_text(json.dumps(info))
    put(folder, "requests", _copies(requests, len(requests)))
    put(folder, "tokens", _copies(base()[1]["tokens"], len(requests)))
    return folder


def _copies(data: pa.Table, ids: int) -> pa.Table:
    """The table with as many copies, each 24 s later and with other request ids."""
    copies = []
    for number in range(COPIES):
        columns = []
        for field, column in zip(data.schema, data.columns, strict=True):
            if field.name == "request_id":
                column = pc.add(column, number * ids)
            elif pa.types.is_floating(field.type) and field.name.endswith("_s") and not field.name.startswith("engine"):
                column = pc.add(column, 24.0 * number)
            elif pa.types.is_list(field.type):
                lists = column.combine_chunks()
                column = pa.ListArray.from_arrays(lists.offsets, pc.add(lists.values, 24.0 * number))
            columns.append(column)
        copies.append(pa.Table.from_arrays(columns, schema=data.schema))
    return pa.concat_tables(copies).combine_chunks()


def _times(count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    return LOAD_START_S + np.linspace(1.0, LENGTH_S - 1.0, count)


def _table(name: str, count: int, **columns: Any) -> pa.Table:
    """Rows with these values; one value stands for all rows."""
    arrays = [
        pa.array(values if isinstance(values := columns.get(field.name), list) else [values] * count, field.type)
        for field in TABLES[name]
    ]
    return pa.table(arrays, schema=pa.schema([field.with_nullable(True) for field in TABLES[name]]))


def _events(folder: Path, count: int, **columns: Any) -> None:
    columns.setdefault("t_s", _times(count).tolist())
    put(folder, "events", pa.concat_tables([base()[1]["events"], _table("events", count, **columns)]))


def _info(folder: Path, **fields: Any) -> None:
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(info | fields))


def _stages(folder: Path, count: int) -> None:
    edges = np.append(_times(count), LOAD_START_S + LENGTH_S).tolist()
    stages = [{"name": f"s{n}", "start_s": edges[n], "end_s": edges[n + 1]} for n in range(count)]
    _info(folder, stages=stages)


def _syncs(folder: Path, count: int, *, same: bool) -> None:
    data = [
        json.dumps(
            {
                "current": 1 + (not same and n % 2),
                "desired": 1 + (not same and (n + 1) % 2),
                "metric_milli": 1000 if same else n % 3000,
                "target_milli": 1000,
                "conditions": [],
                "proposals": [1],
            }
        )
        for n in range(count)
    ]
    _events(folder, count, kind="hpa_sync", data=data)


def _rescales(folder: Path, count: int, step: int = 1) -> None:
    data = [json.dumps({"before": 1 + step * (n % 2), "after": 1 + step * ((n + 1) % 2)}) for n in range(count)]
    _events(folder, count, kind="hpa_rescale", reason="SuccessfulRescale", data=data)


_LIFE = ("replica_created", "replica_scheduled", "replica_started", "replica_ready", "replica_draining")


def _replicas(folder: Path, count: int) -> None:
    pods = [f"pod-{n}" for n in range(count)]
    times = np.concatenate([_times(count) + 5.0 * number for number in range(len(_LIFE))])
    kinds = [kind for kind in _LIFE for _ in pods]
    _events(folder, len(kinds), t_s=times.tolist(), kind=kinds, pod=pods * len(_LIFE))
    success = _table("samples", count, t_s=(_times(count) + 17.0).tolist(), signal="raw_success", pod=pods, value=1.0)
    put(folder, "samples", success, SECOND)


def _scaled_replicas(folder: Path, count: int) -> None:
    """Replicas that one scale-up creates, and one scale-down removes."""
    _replicas(folder, count)
    data = [json.dumps({"before": 1, "after": count + 1}), json.dumps({"before": count + 1, "after": 1})]
    rescales = _table("events", 2, t_s=[LOAD_START_S + 0.5, LOAD_START_S + 900.0], kind="hpa_rescale", data=data)
    put(folder, "events", rescales, SECOND)


def _of_kind(folder: Path, count: int, kind: str) -> None:
    data = json.dumps(
        {"before": 1, "after": 2, "current": 1, "desired": 1, "from_s": 20.0, "to_s": 30.0, "source": "prometheus",
         "node": "n", "condition": "MemoryPressure", "status": "True", "part": "gateway", "step_s": 5.0, "pods": ["p"]}
    )  # fmt: skip
    pods = [f"pod-{n % 7}" for n in range(count)]
    messages = [f"message {n}" for n in range(count)]
    _events(folder, count, kind=kind, pod=pods, reason="Reason", message=messages, data=data)


def many() -> Iterator[tuple[str, Make]]:
    """Every folder, by its name."""
    yield "stages", lambda folder: _stages(folder, 100_000)
    yield "equal syncs", lambda folder: _syncs(folder, 200_000, same=True)
    yield "different syncs", lambda folder: _syncs(folder, 200_000, same=False)
    yield "replicas", lambda folder: _replicas(folder, 50_000)
    yield "replicas of one scale-up", lambda folder: _scaled_replicas(folder, 50_000)
    yield "rescales", lambda folder: _rescales(folder, 20_000)
    yield "rescales without replicas", lambda folder: _rescales(folder, 100_000, 1000)
    for kind in sorted(EVENT_KINDS):
        if kind not in (EventKind.HPA_SYNC, EventKind.HPA_RESCALE):
            yield f"events {kind}", lambda folder, kind=kind: _of_kind(folder, 100_000, kind)  # type: ignore[misc]
