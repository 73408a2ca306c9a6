"""Writes a large run folder quickly: arrays by part, as the recorder and the collector write them; no simulation."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from loadgen.base.clock import Clock
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.run_info import Autoscaler, Limit, RunInfo, Stage, ValidityLimits
from loadgen.dataset.tables import EVENTS, REQUESTS, SAMPLES, TOKENS

PART_S = 3.0
"""Seconds between parts of the recorder."""
START_S = 64.0
SEED = 20_261_124
STAGES = 6
_SIGNALS = ("ratio", "raw_queue_us", "raw_compute_us", "raw_success", "raw_failure")
_CLOCK = {"anchor_unix_s": 1_795_521_600.0, "anchor_monotonic_s": 5000.0}


def write(runs: Path, *, requests: int, tokens: int, pods: int, length_s: float) -> Path:
    """Write a run of a constant load; one request in a hundred fails, half of them in mid-stream.

    Args:
        runs: Where to make the folder.
        requests: Number of requests.
        tokens: Token times of each answer.
        pods: Replicas; all but the first become ready one by one in the first half of the load.
        length_s: Length of the load.
    """
    folder = RunFolder.create(runs, f"scale-{requests}x{tokens}x{pods}", Clock(**_CLOCK))
    folder.write_info(_info(folder.path.name, requests, pods, length_s))
    random = np.random.default_rng(SEED)
    due_s = START_S + np.sort(random.uniform(0.0, length_s, requests))
    last_s = START_S
    for first in np.arange(0.0, length_s, PART_S):
        low, high = np.searchsorted(due_s, [START_S + first, START_S + first + PART_S])
        if low < high:
            last_s = max(last_s, _load_part(folder, random, int(low), due_s[low:high], tokens, pods))
    info = folder.read_info()
    folder.write_info(info.model_copy(update={"load_end_s": last_s}))
    _samples(folder, random, pods, length_s)
    _events(folder, pods, length_s)
    return folder.path


def _load_part(
    folder: RunFolder, random: np.random.Generator, first_id: int, due_s: np.ndarray, tokens: int, pods: int
) -> float:
    """One part of requests and tokens, in order of their end; returns the time of the last end."""
    count = len(due_s)
    sent_s = due_s + random.exponential(0.0005, count)
    gaps_s = random.lognormal(np.log(0.02), 0.3, (count, tokens))
    gaps_s[:, 0] = random.lognormal(np.log(0.15), 0.6, count)
    times_s = sent_s[:, None] + np.cumsum(gaps_s, axis=1)
    kind = random.integers(0, 200, count)  # 0: refused, 1: broken off in the middle
    lengths = np.where(kind == 0, 0, np.where(kind == 1, max(tokens // 2, 1), tokens))
    use = np.arange(tokens) < lengths[:, None]
    last_s = np.where(kind == 0, np.nan, times_s[np.arange(count), np.maximum(lengths - 1, 0)])
    ended_s = np.where(kind == 0, sent_s + 0.01, last_s + 0.0002)
    order = np.argsort(ended_s, kind="stable")
    ids = first_id + np.arange(count)
    outcome = np.where(kind == 0, "rejected", np.where(kind == 1, "error", "ok")).astype(object)
    cause = np.where(kind == 0, "HTTP 503", np.where(kind == 1, "connection reset by peer", None))
    missing = np.isnan(last_s)
    columns = {
        "request_id": ids,
        "worker": np.zeros(count, dtype=np.int16),
        "scheduled_s": due_s,
        "sent_s": sent_s,
        "first_token_s": np.where(missing, np.nan, times_s[:, 0]),
        "last_token_s": last_s,
        "ended_s": ended_s,
        "outcome": outcome,
        "cause": cause,
        "input_tokens": random.integers(32, 512, count),
        "max_tokens": np.full(count, tokens),
        "output_tokens": np.where(missing, np.nan, lengths),
        "token_source": np.where(missing, None, "server"),
        "engine_queue_s": np.where(missing, np.nan, gaps_s[:, 0] * 0.5),
        "engine_prefill_s": np.where(missing, np.nan, gaps_s[:, 0] * 0.5),
        "engine_decode_s": np.where(missing, np.nan, last_s - times_s[:, 0]),
        "pod": np.where(missing, None, np.char.add("pod-", (ids % pods).astype(str)).astype(object)),
    }
    arrays = [pa.array(columns[field.name][order], field.type, from_pandas=True) for field in REQUESTS]
    folder.append("requests", "load0", pa.Table.from_arrays(arrays, schema=REQUESTS))
    order = order[lengths[order] > 0]
    offsets = np.concatenate(([0], np.cumsum(lengths[order])))
    times = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(times_s[order][use[order]]))
    folder.append("tokens", "load0", pa.Table.from_arrays([pa.array(ids[order]), times], schema=TOKENS))
    return float(ended_s.max())


def _ready_s(pods: int, length_s: float) -> np.ndarray:
    return np.concatenate(([-20.0], 10.0 + np.arange(pods - 1) * (0.5 * length_s / max(pods - 1, 1))))


def _samples(folder: RunFolder, random: np.random.Generator, pods: int, length_s: float) -> None:
    """Every second each signal of each replica that is ready, in parts of a minute."""
    names = np.array([f"pod-{number}" for number in range(pods)], dtype=object)
    ready_s = _ready_s(pods, length_s)
    totals = np.zeros((len(_SIGNALS), pods))
    for minute in np.arange(0.0, length_s, 60.0):
        times, signals, of, values = [], [], [], []
        for second in np.arange(minute, min(minute + 60.0, length_s)):
            up = np.flatnonzero(ready_s <= second)
            steps = random.uniform(0.5, 1.5, (len(_SIGNALS), len(up))) * np.array([[1.0], [2e5], [4e5], [10], [0.1]])
            totals[:, up] += steps
            totals[0, up] = steps[0]
            for number, signal in enumerate(_SIGNALS):
                times.append(np.full(len(up), START_S + second))
                signals.append(np.full(len(up), signal, dtype=object))
                of.append(names[up])
                values.append(np.round(totals[number, up]) if number else totals[number, up])
        columns = [np.concatenate(each) for each in (times, signals, of, values)]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, SAMPLES, strict=True)]
        folder.append("samples", "collector", pa.Table.from_arrays(arrays, schema=SAMPLES))


def _events(folder: RunFolder, pods: int, length_s: float) -> None:
    rows = [{"t_s": START_S, "kind": "load_started"}, {"t_s": START_S + length_s, "kind": "load_ended"}]
    for number, ready_s in enumerate(_ready_s(pods, length_s).tolist()):
        if number:
            data = f'{{"before": {number}, "after": {number + 1}}}'
            rows.append({"t_s": START_S + ready_s - 9.0, "kind": "hpa_rescale", "data": data})
        for kind, before_s in (("created", 8.0), ("scheduled", 7.9), ("started", 6.0), ("ready", 0.0)):
            rows.append({"t_s": START_S + ready_s - before_s, "kind": f"replica_{kind}", "pod": f"pod-{number}"})
    rows.sort(key=lambda row: row["t_s"])
    folder.append("events", "collector", pa.Table.from_pylist(rows, schema=EVENTS))


def _info(run_id: str, requests: int, pods: int, length_s: float) -> RunInfo:
    edges = START_S + np.linspace(0.0, length_s, STAGES + 1)
    return RunInfo(
        run_id=run_id,
        scenario="scale",
        **_CLOCK,
        state="finished",
        target="local",
        protocol="grpc",
        stream=True,
        autoscaler=Autoscaler(
            metric="triton:queue_compute:ratio",
            target=1.0,
            min_replicas=1,
            max_replicas=pods,
            sync_period_s=15.0,
            rate_window_s=10.0,
            scrape_interval_s=1.0,
            scale_down_window_s=30.0,
        ),
        load_start_s=START_S,
        load_end_s=START_S + length_s,
        stages=tuple(
            Stage(name=f"stage {number + 1}", start_s=edges[number], end_s=edges[number + 1])
            for number in range(STAGES)
        ),
        expected_rows=requests,
        limits=(
            Limit(metric="ttft", statistic="p95", limit=0.5),
            Limit(metric="itl", statistic="p95", limit=0.04),
            Limit(metric="e2e", statistic="p95", limit=2.0),
            Limit(metric="failed", statistic="ratio", limit=0.02),
        ),
        validity=ValidityLimits(send_lag_p99_s=0.05, scrape_gap_s=5.0, min_samples=100),
    )
