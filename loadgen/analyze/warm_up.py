"""Proposes how long the warm-up of a run was, by MSER-5 within the constant load at its start.

MSER (White, 1997) cuts as many values from the start of a series as minimize the standard error of the mean of the
rest; MSER-5 applies it to means of five values. It finds a minimum in any series, even in noise. Without a warm-up a
series could as well have begun at any other of its values, so a cut counts only if the series, rotated to begin
elsewhere, can hardly ever be cut as well. Rotations keep the dependence of latencies that share a queue.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from loadgen.analyze.observed import Floats, Observed
from loadgen.analyze.results import WarmUp
from loadgen.analyze.scaling.replicas import Fleet

BATCH = 5
MAX_BATCHES = 2_000
"""A longer series has larger batches."""
MIN_BATCHES = 40
SLOWER = 2.0
"""A cold server is at least this much slower on average."""
ROTATIONS = 199
AS_GOOD = 0.01
"""At most this share of the rotations may be cut as well as the series."""
_LEAST = 1e-6
"""Share of the variance that counts as left after any cut: otherwise all cuts of a rest without variance are equal."""
_MAX_PARTS = 1_000


def warm_up(run: Observed, fleet: Fleet) -> WarmUp:
    """The warm-up of the settings, and the one that MSER-5 proposes for the constant load at the start of the run."""
    requests = run.requests
    setting_s = run.warm_up_s
    cold = int((requests.due & ~run.warm).sum())

    def unknown(why: str) -> WarmUp:
        return WarmUp(setting_s=setting_s, cold_requests=cold, why_missing=why)

    constant_s = constant_load_s(run.info.settings.get("load"))
    if constant_s is None:
        return unknown("the load was not constant at the start")
    first = requests.due & (requests.scheduled_s < min(constant_s, run.end_s))
    metric, values = ("ttft", requests.ttft_s) if np.isfinite(requests.ttft_s[first]).any() else ("e2e", requests.e2e_s)
    known = first & np.isfinite(values)
    due_s, latency_s = requests.scheduled_s[known], values[known]
    if len(latency_s) < BATCH * MIN_BATCHES:
        return unknown(f"fewer than {BATCH * MIN_BATCHES} requests of the first stage were answered")
    count = cut(latency_s)
    if not count:
        return WarmUp(setting_s=setting_s, cold_requests=cold, proposal_s=0.0, metric=metric)
    proposal_s = float(due_s[count])
    ready = fleet.ready.within(0.0, proposal_s)[0] if fleet.pods else np.empty(0)
    if len(np.unique(ready[np.isfinite(ready)])) > 1:
        return unknown("the number of ready replicas changed while latency was high")
    return WarmUp(
        setting_s=setting_s,
        cold_requests=cold,
        proposal_s=proposal_s,
        metric=metric,
        mean_before_s=float(latency_s[:count].mean()),
        mean_after_s=float(latency_s[count:].mean()),
    )


def cut(values: Floats) -> int:
    """The number of values at the start of a series that belong to its warm-up; 0 without one.

    Args:
        values: At least `BATCH * MIN_BATCHES` values in order.
    """
    size = max(BATCH, -(-len(values) // MAX_BATCHES))
    batches = values[: len(values) // size * size].reshape(-1, size).mean(axis=1)
    number, excess = _best(batches)
    before, after = batches[:number], batches[number:]
    not_over = number == len(batches) // 2
    if not number or not_over or before.mean() < SLOWER * after.mean():
        return 0
    # Rotations that begin shortly before the series have the same slow batches at their start.
    others = len(batches) - max(number, len(batches) // 20)
    starts = np.unique(np.linspace(1, others, ROTATIONS).astype(int))
    as_good = sum(_best(np.roll(batches, -start))[1] >= excess for start in starts)
    return number * size if as_good <= AS_GOOD * len(starts) else 0


def _best(batches: Floats) -> tuple[int, float]:
    """The number of batches to cut, at most half, and how much they are above the mean of all together."""
    left = len(batches) - np.arange(len(batches) // 2 + 1)
    # Sums over the batches from each on; centred, so that the variance keeps its digits.
    centred = batches - batches.mean()
    sums, squares = (np.cumsum(each[::-1])[::-1][: len(left)] for each in (centred, centred**2))
    errors = (np.maximum(squares - sums**2 / left, 0.0) + _LEAST * squares[0]) / left**2
    number = int(np.argmin(errors))
    return number, float(-sums[number])


def constant_load_s(load: Any) -> float | None:
    """How long a load, as its settings in `run.json`, has the same rate from its start; None if it changes at once."""
    lengths: list[float] = []
    parts = [load]
    for _ in range(_MAX_PARTS):
        if not parts:
            return min(lengths)
        part = parts.pop()
        if not isinstance(part, Mapping):
            return None
        inner = part.get("parts")
        match part.get("kind"):
            case "constant":
                lengths.append(_seconds(part.get("duration_s")))
            case "step":
                lengths.append(_seconds(part.get("hold_s")))
            case "spike":
                lengths.append(_seconds(part.get("start_s")))
            case "scaled":
                parts.append(part.get("rate"))
            case "sequence" if isinstance(inner, list | tuple) and inner:
                parts.append(inner[0])
            case "sum" if isinstance(inner, list | tuple) and inner:
                parts.extend(inner)
            case _:
                return None
    return None


def _seconds(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
