"""Run folders that have very many of one thing: replicas, rescales, stages, series, faults and the like.

Each is small on disk, and none of its rows is impossible.
"""

import json
from collections.abc import Callable, Iterator, Mapping
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


def _nodes(folder: Path, count: int, kind: str) -> None:
    data = [
        json.dumps({"node": f"node-{n}", "condition": "MemoryPressure", "status": "True", "pods": [f"pod-{n}"]})
        for n in range(count)
    ]
    _events(folder, count, kind=kind, data=data)


def _scheduled(folder: Path, count: int) -> None:
    """As many nodes, each with a replica, and with samples of its use."""
    pods = [f"pod-{n}" for n in range(count)]
    data = [json.dumps({"node": f"node-{n}"}) for n in range(count)]
    _events(folder, count, kind="replica_scheduled", pod=pods, data=data)
    nodes = [f"node-{n}" for n in range(count)]
    use = _table("samples", count, t_s=_times(count).tolist(), signal="node_memory_ratio", pod=nodes, value=0.99)
    put(folder, "samples", use, SECOND)


def _samples(folder: Path, count: int, series: int, signal: str | None) -> None:
    each = np.arange(count)
    pods = pa.DictionaryArray.from_arrays(pa.array(each % series, pa.int32()), [f"pod-{n}" for n in range(series)])
    names = [f"signal-{n}" for n in range(series)] if signal is None else [signal]
    signals = pa.DictionaryArray.from_arrays(pa.array(each % len(names), pa.int32()), names)
    value = each / count if signal in ("ratio", "autoscaler_ratio", None) else each.astype(np.float64)
    put(folder, "samples", base()[1]["samples"])
    data = pa.table({"t_s": _times(count), "signal": signals, "pod": pods, "value": value})
    put(folder, "samples", data, SECOND)


def _request_texts(folder: Path, column: str, outcome: str) -> None:
    """A text of its own for each request."""
    data = _copies(base()[1]["requests"], len(base()[1]["requests"]))
    texts = pa.array([f"{column} {n}" for n in range(len(data))])
    data = data.set_column(data.schema.get_field_index(column), column, texts)
    data = data.set_column(data.schema.get_field_index("outcome"), "outcome", pa.array([outcome] * len(data)))
    put(folder, "requests", data)


def _faults(folder: Path, count: int) -> None:
    """Events with a fault of its own in the data of each."""
    fields = ("before", "after", "current", "desired", "from_s", "to_s", "late_s", "node", "part")
    data = [json.dumps({fields[n % len(fields)]: [n]}) for n in range(count)]
    _events(folder, count, kind="pod_event", data=data)


def _limits(folder: Path, count: int) -> None:
    _info(folder, limits=[{"metric": "ttft", "statistic": "p95", "limit": 0.001 * n} for n in range(count)])


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
    yield "events of no known kind", lambda folder: _of_kind(folder, 100_000, "surprise")
    yield "lost nodes", lambda folder: _nodes(folder, 10_000, "node_lost")
    yield "conditions of nodes", lambda folder: _nodes(folder, 10_000, "node_condition")
    yield "nodes", lambda folder: _scheduled(folder, 10_000)
    for signal in ("ratio", "autoscaler_ratio", "raw_success", "raw_queue_us", "engine_waiting", "up", "connections",
                   "generator_cpu_s", "generator_loop_lag_s"):  # fmt: skip
        yield f"series of {signal}", lambda folder, signal=signal: _samples(folder, 1_000_000, 10_000, signal)  # type: ignore[misc]
    yield "unknown signals", lambda folder: _samples(folder, 1_000_000, 10_000, None)
    yield "series of one sample", lambda folder: _samples(folder, 50_000, 50_000, "ratio")
    yield "pods of requests", lambda folder: _request_texts(folder, "pod", "ok")
    yield "causes of requests", lambda folder: _request_texts(folder, "cause", "error")
    yield "faults", lambda folder: _faults(folder, 100_000)
    yield "limits", lambda folder: _limits(folder, 10_000)
    yield "settings", lambda folder: _info(folder, settings={f"name{n}": n for n in range(100_000)})
    yield "versions", lambda folder: _info(folder, versions={f"name{n}": "1" for n in range(100_000)})
    yield "seeds", lambda folder: _info(folder, seeds={f"name{n}": n for n in range(100_000)})
    yield (
        "compressions",
        lambda folder: _info(
            folder, compressions=[{"what": f"w{n}", "local": 1.0, "production": 2.0} for n in range(100_000)]
        ),
    )
    yield "lacking data", lambda folder: _info(folder, cluster=_CLUSTER, target="kube")


_CLUSTER: Mapping[str, Any] = {
    "kind": "Deployment",
    "workload": "triton",
    "namespace": "default",
    "context": "here",
    "hpa": "triton",
    "endpoint": "ingress 10.96.0.7:80",
    "balances": "requests",
    "lacking": [f"data {n} was not collected" for n in range(100_000)],
    "assumed": [f"value {n} was assumed" for n in range(100_000)],
}
