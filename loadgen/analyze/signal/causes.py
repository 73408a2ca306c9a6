"""Splits the difference of the ratio that the autoscaler read from the truth into its causes, in the same unit.

Each cause is the difference of two values that differ in one respect only, so that all of them together are the whole:

    truth: Σ queue / Σ compute of the requests in the system, with waits inside the engine as queue
      │ completion delay   counters move when a request ends, one E2E later
      │ engine wait        Triton counts the wait inside the engine as compute
      │ mean of ratios     the HPA's mean over serving replicas is not the ratio of sums; an idle one counts as 0
      │ missing series     replicas without a sample are not part of the mean, and others may still be
      │ stale values       samples are older than the sync
      │ sum over models    the rule has other models of the same replica in it
      │ floor in divisor   the rule's divisor is never below a floor (`clamp_min`), so it is too small at low load
      ▼ not attributed     the rest of the rule: wrong labels, another window, another formula
    read by the autoscaler
"""

from dataclasses import dataclass, replace

import numpy as np

from loadgen.analyze.observed import Bools, Floats, Observed
from loadgen.analyze.queueing import (
    autoscaler_reads,
    increments,
    ratio_by_pod,
    resets,
    stale_s,
    true_ratio,
    window_s,
    windowed,
)
from loadgen.analyze.results.signal import CauseName, SignalCause
from loadgen.analyze.scaling.replicas import Fleet, Replica
from loadgen.analyze.signal.rule import NO_OTHER_MODELS, PLAIN, Inputs, find_rule, inputs_of, together
from loadgen.dataset.names import SignalName

NO_ENGINE_TIMES = "the server reports no engine times"
NO_REPLICAS = "one value of the whole fleet was recorded"
_OF_REPLICAS: tuple[CauseName, ...] = (
    "mean of ratios",
    "missing series",
    "stale values",
    "sum over models",
    "floor in divisor",
)
"""Causes that show replica by replica only."""
_US = 1e6


@dataclass(frozen=True, slots=True)
class _Sums:
    """Queue and compute time that one replica counted in the window before each sync, seconds; whether it served."""

    queue_s: Floats
    compute_s: Floats
    serving: Bools


def causes(run: Observed, fleet: Fleet) -> tuple[SignalCause, ...]:
    """The mean of each cause over the syncs with a known truth; empty without such syncs.

    Args:
        run: The run.
        fleet: Its replicas.
    """
    reads, requests = autoscaler_reads(run), run.requests
    use = (reads.t_s >= 0) & (reads.t_s <= run.end_s) & np.isfinite(reads.value)
    at, read = reads.t_s[use], reads.value[use]
    ends = requests.e2e_s[np.isfinite(requests.e2e_s)]
    if not len(at) or not len(ends):
        return ()
    delay_s = float(np.median(ends))
    engine_known = bool((np.isfinite(requests.engine_queue_s) & requests.ok).sum() >= requests.ok.sum() / 2)
    counted = _ratio_of_sums(run, fleet, at)
    with_wait = _with_engine_wait(run, fleet, at) if engine_known else counted
    later = (_with_engine_wait if engine_known else _ratio_of_sums)(run, fleet, at + delay_s)
    parts: list[tuple[CauseName, Floats | None, str | None]] = [
        ("completion delay", with_wait - later, None),
        ("engine wait", counted - with_wait if engine_known else None, NO_ENGINE_TIMES),
    ]
    by_pod = ratio_by_pod(run, fleet)
    if "" in by_pod or not by_pod:
        parts += [(name, None, NO_REPLICAS) for name in _OF_REPLICAS]
        last = counted
    else:
        means = _means(run, fleet, at)
        parts += [
            ("mean of ratios", means.serving - counted, None),
            ("missing series", means.sampled - means.serving, None),
            ("stale values", means.then - means.sampled, None),
            ("sum over models", means.of_models - means.then if means.other_models else None, NO_OTHER_MODELS),
            ("floor in divisor", means.of_rule - means.of_models, None),
        ]
        last = means.of_rule
    parts.append(("not attributed", read - last, None))
    known = np.isfinite(read - later)
    for _, values, _ in parts:
        known &= True if values is None else np.isfinite(values)
    if not known.any():
        return ()
    count = int(known.sum())
    return tuple(
        SignalCause(name=name, mean=None, mean_absolute=None, syncs=count, why_missing=why)
        if values is None
        else SignalCause(
            name=name,
            mean=float(values[known].mean()),
            mean_absolute=float(np.abs(values[known]).mean()),
            syncs=count,
        )
        for name, values, why in parts
    )


def _sums(run: Observed, fleet: Fleet, at: Floats) -> list[_Sums]:
    queues, computes = run.signals.get(SignalName.RAW_QUEUE_US, {}), run.signals.get(SignalName.RAW_COMPUTE_US, {})
    found = []
    for name in queues:
        if name not in computes or name not in fleet.pods:
            continue
        fallen = resets(run, name)
        queue, compute = (
            windowed([increments(each[name], fallen)], at, window_s(run)) / _US for each in (queues, computes)
        )
        read = at <= computes[name].t_s[-1] + stale_s(run) if len(computes[name].t_s) else np.zeros(len(at), np.bool_)
        found.append(_Sums(np.maximum(queue, 0.0), compute, _serves(fleet.pods[name], at) & read))
    return found


def _serves(pod: Replica, at: Floats) -> Bools:
    ready = np.zeros(len(at), dtype=np.bool_)
    for start, end in pod.ready:
        ready |= (at >= start) & (at < end)
    return ready if pod.draining_s is None else ready & (at < pod.draining_s)


def _ratio_of_sums(run: Observed, fleet: Fleet, at: Floats) -> Floats:
    """Σ queue / Σ compute of the serving replicas by their counters; NaN without compute."""
    queue, compute = _totals(run, fleet, at)
    return _divided(queue, compute)


def _with_engine_wait(run: Observed, fleet: Fleet, at: Floats) -> Floats:
    """The same with the waits inside the engine as queue, and the services of the same requests as compute.

    The counters' compute minus these waits would be a small difference of two windows that are not quite the same.
    """
    requests = run.requests
    use = np.flatnonzero(requests.ok & np.isfinite(requests.engine_queue_s) & np.isfinite(requests.service_s))
    use = use[np.argsort(requests.ended_s[use])]
    until, since = (np.searchsorted(requests.ended_s[use], each, side="right") for each in (at, at - window_s(run)))

    def in_window(values: Floats) -> Floats:
        total = np.concatenate(([0.0], np.cumsum(values[use])))
        return np.asarray(total[until] - total[since])

    queue, _ = _totals(run, fleet, at)
    return _divided(queue + in_window(requests.engine_queue_s), in_window(requests.service_s))


def _totals(run: Observed, fleet: Fleet, at: Floats) -> tuple[Floats, Floats]:
    queue, compute = np.zeros(len(at)), np.zeros(len(at))
    for each in _sums(run, fleet, at):
        queue += np.where(each.serving, each.queue_s, 0.0)
        compute += np.where(each.serving, each.compute_s, 0.0)
    return queue, compute


def _divided(queue_s: Floats, compute_s: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(compute_s > 0.5 / _US, queue_s / compute_s, np.nan)


@dataclass(frozen=True, slots=True)
class _Means:
    """Means over replicas; one that completed nothing in the window counts as 0, as rules record it.

    Attributes:
        serving: Of the true ratios of the serving replicas.
        sampled: Of those of the replicas with a sample of the rule.
        then: Of the same when the sample was taken.
        of_models: The same, of the models that are in the rule.
        of_rule: The same, with the floor of the rule.
        other_models: Whether the counters of other models are known.
    """

    serving: Floats
    sampled: Floats
    then: Floats
    of_models: Floats
    of_rule: Floats
    other_models: bool


def _means(run: Observed, fleet: Fleet, at: Floats) -> _Means:
    counted = {name for name, each in run.signals.get(SignalName.RAW_COMPUTE_US, {}).items() if len(each.t_s)}
    by_pod = ratio_by_pod(run, fleet)
    serving, sampled, then, of_models, of_rule = (_Columns() for _ in range(5))
    reads: list[tuple[Floats, Bools, Inputs]] = []
    for name in sorted(counted & set(fleet.pods)):
        now = np.nan_to_num(true_ratio(run, at, [name]))
        serving.add(now, _serves(fleet.pods[name], at))
        series = by_pod.get(name)
        if series is None or not len(series.t_s):
            continue
        place = np.searchsorted(series.t_s, at, side="right") - 1
        taken_s = series.t_s[np.maximum(place, 0)]
        draining_s = fleet.pods[name].draining_s
        fresh = (place >= 0) & (at - taken_s <= stale_s(run)) & (at < (np.inf if draining_s is None else draining_s))
        sampled.add(now, fresh)
        then.add(np.nan_to_num(true_ratio(run, taken_s, [name])), fresh)
        inputs = inputs_of(run, name, taken_s)
        if inputs is not None:
            reads.append((series.value[np.maximum(place, 0)], fresh, inputs))
    rule = PLAIN
    if reads:
        values = np.concatenate([np.where(fresh, value, np.nan) for value, fresh, _ in reads])
        rule = find_rule(values, together([inputs for *_, inputs in reads]))
    for _, fresh, inputs in reads:
        of_models.add(replace(rule, floor=0.0).of(inputs), fresh)
        of_rule.add(rule.of(inputs), fresh)
    return _Means(
        serving=serving.mean(len(at)),
        sampled=sampled.mean(len(at)),
        then=then.mean(len(at)),
        of_models=of_models.mean(len(at)),
        of_rule=of_rule.mean(len(at)),
        other_models=any(inputs.other_queue_s is not None for *_, inputs in reads),
    )


class _Columns:
    """Values of replicas at each time, and whether each counts."""

    def __init__(self) -> None:
        self._values: list[Floats] = []
        self._counts: list[Bools] = []

    def add(self, values: Floats, counts: Bools) -> None:
        """Add the values of one replica."""
        self._values.append(np.where(counts, values, 0.0))
        self._counts.append(counts)

    def mean(self, length: int) -> Floats:
        """The mean of the values that count at each of this many times; NaN where none does."""
        if not self._values:
            return np.full(length, np.nan)
        number = np.sum(self._counts, axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(number > 0, np.sum(self._values, axis=0) / number, np.nan)
