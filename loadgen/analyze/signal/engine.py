"""Determines what limited the replicas: the batch or the KV cache of the engine, Triton's queue, or compute.

Triton counts the wait inside the engine as compute time or not at all, so the ratio does not contain it. The engine's
own gauges do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from loadgen.analyze.observed import Bools, Floats, Observed, Series
from loadgen.analyze.queueing import last_sample, stale_s
from loadgen.analyze.results import Bottleneck, EngineUse
from loadgen.analyze.steps import Interval, runs
from loadgen.dataset.names import SignalName

KV_LIMIT = 0.9
"""Share of the KV cache from which it counts as full: an engine reserves the blocks of an answer before it starts."""
BATCH_LIMIT = 0.95
"""Share of the most requests ever executed from which the batch counts as full; the limit itself is not exported."""
LEAST_WAIT_S = 10.0
"""Requests that wait for a shorter time in a row are no sign of a bottleneck: load comes in bursts."""
MERGE_S = 5.0
"""Waits with shorter pauses between them are one."""
_GAUGES = (SignalName.ENGINE_WAITING, SignalName.ENGINE_ACTIVE, SignalName.KV_USED_RATIO, SignalName.RAW_PENDING)

_NO_SAMPLES = Series(np.empty(0), np.empty(0))


@dataclass(frozen=True, slots=True)
class _Use:
    """The gauges of one replica on a grid of seconds; NaN where they were not sampled."""

    waiting: Floats
    active: Floats
    kv: Floats
    queued: Floats


def engine_use(run: Observed) -> tuple[EngineUse, ...]:
    """The use of the engine of all replicas together, then of each; empty where nothing was collected."""
    at = np.arange(0.0, run.end_s, 1.0)
    all_replicas = _Use(*(np.full(len(at), np.nan) for _ in _GAUGES))
    each = []
    for pod in sorted({name for gauge in _GAUGES for name in run.signals.get(gauge, {}) if name}):
        series = [run.signals.get(gauge, {}).get(pod, _NO_SAMPLES) for gauge in _GAUGES]
        sampled = np.concatenate([one.t_s for one in series])
        if not len(sampled):
            continue
        span = slice(*np.searchsorted(at, [sampled.min() - 1.0, sampled.max() + stale_s(run)]).tolist())
        use = _Use(*(last_sample(one, at[span], stale_s(run)) for one in series))
        if any(np.isfinite(gauge).any() for gauge in (use.waiting, use.active, use.kv, use.queued)):
            each.append(_of_one(pod, use))
            _add(all_replicas, use, span)
    return (_of_all(all_replicas, each), *each) if each else ()


def engine_waiting(run: Observed, at: Floats) -> Floats:
    """Requests that wait inside the engines of all replicas at each time; NaN where no replica was sampled."""
    waiting = np.full(len(at), np.nan)
    for series in run.signals.get(SignalName.ENGINE_WAITING, {}).values():
        waiting = _sum(waiting, last_sample(series, at, stale_s(run)))
    return waiting


def waiting_spans(run: Observed) -> list[tuple[Interval, int]]:
    """The spans of the load in which requests waited inside the engine, each with the most that did at once."""
    at = np.arange(0.0, run.end_s, 1.0)
    waiting = engine_waiting(run, at)
    spans: list[tuple[int, int]] = []
    for first, last in runs(waiting > 0):
        if spans and at[first] - at[spans[-1][1]] <= MERGE_S:
            spans[-1] = (spans[-1][0], last)
        else:
            spans.append((first, last))
    return [
        ((float(at[first]), float(at[last]) + 1.0), int(np.nanmax(waiting[first : last + 1]))) for first, last in spans
    ]


def unseen_waiting(run: Observed, ratio: Series) -> tuple[Interval, int] | None:
    """The largest wait inside the engines during which the ratio never exceeded its target: its span and its peak.

    The wait must be longer than a sync period, as a shorter one may be between two values that the autoscaler reads.
    """
    scaler = run.info.autoscaler
    if scaler is None:
        return None
    threshold = scaler.target * (1 + scaler.tolerance)
    unseen = []
    for (start, end), peak in waiting_spans(run):
        inside = (ratio.t_s >= start - stale_s(run)) & (ratio.t_s <= end)
        if end - start > max(scaler.sync_period_s, MERGE_S) and not (ratio.value[inside] > threshold).any():
            unseen.append(((start, end), peak))
    return max(unseen, key=lambda each: each[1], default=None)


def _add(total: _Use, use: _Use, span: slice) -> None:
    """Add a replica to all of them: its requests, and its use of the KV cache if that is the highest."""
    total.waiting[span] = _sum(total.waiting[span], use.waiting)
    total.active[span] = _sum(total.active[span], _executing(use))
    total.kv[span] = np.fmax(total.kv[span], use.kv)
    total.queued[span] = _sum(total.queued[span], use.queued)


def _sum(one: Floats, other: Floats) -> Floats:
    """The sum of what is known; NaN where neither is."""
    return np.where(np.isnan(one), other, one + np.nan_to_num(other))


def _executing(use: _Use) -> Floats:
    """The requests in the batch.

    `active` of TensorRT-LLM's C++ executor includes those that wait, other engines count them apart. The count that
    stays the same while requests wait is that of the batch.
    """
    waits = use.waiting > 0
    if not np.isfinite(use.active[waits]).any() or (use.waiting > use.active).any():
        return use.active
    without = use.active - use.waiting
    return without if np.nanstd(without[waits]) < np.nanstd(use.active[waits]) else use.active


def _of_one(pod: str, use: _Use) -> EngineUse:
    executing = _executing(use)
    waits = use.waiting > 0
    most = float(np.nanmax(executing[waits])) if np.isfinite(executing[waits]).any() else np.nan
    full = waits & (executing >= BATCH_LIMIT * most)
    bottleneck, reason = _bottleneck(use, waits, full)
    return EngineUse(
        replica=pod,
        waiting_peak=_peak(use.waiting),
        waiting_ratio=_share(waits, use.waiting),
        active_peak=_peak(executing),
        full_ratio=_share(full, executing),
        kv_peak=_peak(use.kv),
        kv_full_ratio=_share(use.kv >= KV_LIMIT, use.kv),
        queued_peak=_peak(use.queued),
        queued_ratio=_share(use.queued > 0, use.queued),
        bottleneck=bottleneck,
        reason=reason,
    )


def _bottleneck(use: _Use, waits: Bools, full: Bools) -> tuple[Bottleneck | None, str]:
    if _longest_s(waits) >= LEAST_WAIT_S:
        waited = f"Requests waited inside the engine for {int(waits.sum())} s"
        if (use.kv[waits] >= KV_LIMIT).mean() >= 0.5:
            return "kv_cache", f"{waited}, mostly with at least {KV_LIMIT * 100:.0f} % of the KV cache in use."
        if not np.isfinite(use.active[waits]).any():
            return None, f"{waited}; how many it executed was not collected."
        if full[waits].mean() >= 0.5:
            return "batch", f"{waited}, mostly while its batch held as many requests as it ever did."
        return "compute", f"{waited}, mostly while neither its batch nor its KV cache was full."
    if _longest_s(use.queued > 0) >= LEAST_WAIT_S:
        queued = f"Requests waited in Triton's queue for {int((use.queued > 0).sum())} s"
        return "triton_queue", f"{queued}, and not inside the engine."
    if not np.isfinite(use.waiting).any():
        return None, "Requests that wait inside the engine were not collected."
    return None, f"Requests waited for less than {LEAST_WAIT_S:g} s in a row."


def _longest_s(flags: Bools) -> float:
    return max((last - first + 1.0 for first, last in runs(flags)), default=0.0)


def _of_all(total: _Use, each: Sequence[EngineUse]) -> EngineUse:
    # The bottleneck of the replica on which requests waited longest: inside its engine, or else in Triton's queue.
    worst = max(each, key=lambda one: (one.bottleneck is not None, one.waiting_ratio or 0.0, one.queued_ratio or 0.0))
    where = f"{worst.replica}: " if len(each) > 1 and worst.bottleneck is not None else ""
    return EngineUse(
        replica=None,
        waiting_peak=_peak(total.waiting),
        waiting_ratio=_share(total.waiting > 0, total.waiting),
        active_peak=_peak(total.active),
        full_ratio=max((one.full_ratio for one in each if one.full_ratio is not None), default=None),
        kv_peak=_peak(total.kv),
        kv_full_ratio=_share(total.kv >= KV_LIMIT, total.kv),
        queued_peak=_peak(total.queued),
        queued_ratio=_share(total.queued > 0, total.queued),
        bottleneck=worst.bottleneck,
        reason=f"{where}{worst.reason}",
    )


def _peak(values: Floats) -> float | None:
    return float(np.nanmax(values)) if np.isfinite(values).any() else None


def _share(flags: Bools, values: Floats) -> float | None:
    known = np.isfinite(values)
    return float(flags[known].mean()) if known.any() else None
