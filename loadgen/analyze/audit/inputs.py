"""Finds what a sync can have read, where only the status that it wrote was recorded.

The status has the average of a metric and not its values. The counts of pods follow from their life cycles; an average
in whole thousandths leaves a remainder open, of which both extremes are tried.
"""

import math
from bisect import bisect
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain, product
from typing import NamedTuple

from loadgen.analyze.audit.syncs import Sync, Value, is_average
from loadgen.analyze.observed import Observed
from loadgen.analyze.scaling.replicas import Fleet, Replica
from loadgen.autoscale.record import Inputs
from loadgen.autoscale.spec import ExternalMetric, MetricSpec, ObjectMetric, PodsMetric, ResourceMetric
from loadgen.autoscale.state import (
    Container,
    ExternalValues,
    ObjectValue,
    PodState,
    PodValues,
    ReadError,
    Reading,
    ResourceSample,
    ResourceSamples,
    ScaleState,
    SelectorError,
)
from loadgen.dataset.names import SignalName

STATUS_SLACK_S = 1.5
"""Uncertainty of times on a cluster: the API stamps whole seconds, and a watch reports a moment later."""
LOCAL_SLACK_S = 0.3
STARTING_S = 120.0
"""A pod has a resource metric at the latest this long after its start."""
_LOOKBACK_S = 300.0
"""Prometheus answers with a sample of the last five minutes."""
_MAX_COUNTS = 128
_MAX_INPUTS = 256
_MAX_PODS = 10_000
_REQUEST_MILLI = 100_000
_LONG_AGO_S = -1e9
NO_VALUES = "the values that the sync read were not recorded"
TOO_MANY_COUNTS = "the record leaves the number of pods with a metric open"
TOO_MANY_VALUES = "the record leaves the values of the metrics open"
NO_FITTING_VALUES = "no values fit the recorded average and the number of pods"


class Counts(NamedTuple):
    """Pods by what the controller sees of them: with a metric, running without one, pending; and the ready ones."""

    metric: int = 0
    missing: int = 0
    pending: int = 0
    ready: int = 0


class PodCounter:
    """Counts the pods of a run at a time, in all ways that the record allows."""

    def __init__(self, run: Observed, fleet: Fleet) -> None:
        self._pods = list(fleet.pods.values())
        self._slack_s = LOCAL_SLACK_S if run.info.cluster is None else STATUS_SLACK_S
        self._sampled: dict[str, tuple[float, float]] = {}
        for signal in (SignalName.RATIO, SignalName.AUTOSCALER_RATIO):
            for pod, series in run.signals.get(signal, {}).items():
                if pod and len(series.t_s):
                    first, last = self._sampled.get(pod, (math.inf, -math.inf))
                    span = (min(first, float(series.t_s[0])), max(last, float(series.t_s[-1])))
                    self._sampled[pod] = span
        self._changes_s = sorted(at for pod in self._pods for at in self._times(pod))
        self._counted: dict[tuple[int, int, frozenset[type]], list[Counts]] = {}

    def counts(self, sync: Sync) -> list[Counts]:
        """The possible counts at a sync; empty if there are too many."""
        if sync.counted is not None:
            metric, missing, pending = sync.counted
            return [Counts(metric, missing, pending, metric)]
        if not self._pods:
            # Nothing is known of the pods: as many as replicas, all with a metric.
            return [Counts(sync.current, 0, 0, sync.current)] if sync.current <= _MAX_PODS else []
        kinds = frozenset(type(metric) for metric in sync.spec.metrics)
        times_s = (sync.t_s - self._slack_s, sync.t_s, sync.t_s + self._slack_s)
        # Between two changes of the fleet, the counts stay the same.
        key = bisect(self._changes_s, times_s[0]), bisect(self._changes_s, times_s[-1]), kinds
        if key not in self._counted:
            self._counted[key] = self._possible(times_s, kinds)
        return self._counted[key]

    def _times(self, pod: Replica) -> Iterator[float]:
        """All times at which the controller may begin to see a pod differently."""
        first_s, last_s = self._sampled.get(pod.name, (None, None))
        started_s, sampled_until_s = pod.started_s, None if last_s is None else last_s + _LOOKBACK_S
        known_s = None if started_s is None else started_s + STARTING_S
        phases = (pod.created_s, started_s, known_s, pod.ready_s, pod.draining_s, pod.stopped_s)
        edges = (edge for span in pod.ready for edge in span)
        for at in (*phases, first_s, sampled_until_s, *edges):
            if at is not None and math.isfinite(at):
                yield at

    def _possible(self, times_s: Sequence[float], kinds: frozenset[type]) -> list[Counts]:
        totals = {Counts()}
        for pod in self._pods:
            options = {each for t_s in times_s for each in self._kind(pod, t_s, kinds)}
            if options != {Counts()}:
                totals = {Counts(*map(sum, zip(total, each, strict=True))) for total in totals for each in options}
            if len(totals) > _MAX_COUNTS:
                return []
        return sorted(totals)

    def _kind(self, pod: Replica, t_s: float, kinds: frozenset[type]) -> tuple[Counts, ...]:
        if pod.created_s is not None and t_s < pod.created_s:
            return (Counts(),)
        if any(end is not None and t_s >= end for end in (pod.draining_s, pod.stopped_s)):
            return (Counts(),)
        if pod.started_s is None or t_s < pod.started_s:
            running = pod.started_s is None and pod.ready_s is not None and t_s >= pod.ready_s
            if not running:
                return (Counts(pending=1),)
        ready = any(start <= t_s < end for start, end in pod.ready)
        measured, missing = Counts(metric=1, ready=int(ready)), Counts(missing=1, ready=int(ready))
        if PodsMetric in kinds:
            if not self._sampled:
                return measured, missing
            first, last = self._sampled.get(pod.name, (math.inf, math.inf))
            if t_s < first:
                return (missing,)
            return (measured,) if t_s <= last + _LOOKBACK_S else (measured, missing)
        if ResourceMetric in kinds and pod.started_s is not None and t_s < pod.started_s + STARTING_S:
            return measured, missing
        return (measured,)


def possible_inputs(sync: Sync, counts: Sequence[Counts]) -> list[Inputs] | str:
    """All inputs of a sync that the record allows, at least one; a text says why there are none."""
    if sync.inputs is not None:
        return [sync.inputs]
    if sync.values is None:
        return NO_VALUES
    if not counts:
        return TOO_MANY_COUNTS
    found: list[Inputs] = []
    for each in counts:
        found += _inputs(sync, each)
        if len(found) > _MAX_INPUTS:
            return TOO_MANY_VALUES
    return found or NO_FITTING_VALUES


def _inputs(sync: Sync, counts: Counts) -> Iterator[Inputs]:
    assert sync.values is not None
    exist = counts.metric + counts.missing + counts.pending
    pods = _pods(counts, _containers(sync.spec.metrics))
    scale = ScaleState(
        spec_replicas=sync.current,
        status_replicas=exist,
        selector_error=_selector_error(sync),
        update_error="the update failed" if _reason(sync, "AbleToScale") == "FailedUpdateScale" else None,
    )
    fleet = _Fleet(exist, sync.desired, _measured(sync.spec.metrics, counts))
    options = [_readings(metric, value, fleet) for metric, value in zip(sync.spec.metrics, sync.values, strict=True)]
    for readings in product(*options):
        yield Inputs(scale=scale, pods=pods, readings=readings)


def _reason(sync: Sync, condition: str) -> str | None:
    return sync.reasons.get(condition, ("", None))[1]


def scale_unreadable(sync: Sync) -> bool:
    """Whether the sync could not read the scale."""
    return _reason(sync, "AbleToScale") == "FailedGetScale"


def _selector_error(sync: Sync) -> SelectorError | None:
    match _reason(sync, "ScalingActive"):
        case "InvalidSelector":
            return SelectorError(reason="InvalidSelector", message="the selector is invalid")
        case "AmbiguousSelector":
            return SelectorError(reason="AmbiguousSelector", message="the selector is ambiguous")
    return None


def _containers(metrics: Sequence[MetricSpec]) -> tuple[tuple[str, str], ...]:
    """The containers and resources that the metrics need requests of."""
    resources = [each for each in metrics if isinstance(each, ResourceMetric)]
    return tuple(sorted({(each.container or "server", each.resource) for each in resources}))


@lru_cache(maxsize=512)
def _pods(counts: Counts, containers: tuple[tuple[str, str], ...]) -> tuple[PodState, ...]:
    """Pods p0, p1 …: those with a metric, then those without, then the pending ones."""
    names = sorted({name for name, _ in containers})
    requests = tuple(
        Container(name=name, requests_milli={what: _REQUEST_MILLI for each, what in containers if each == name})
        for name in names
    )
    running = counts.metric + counts.missing
    return tuple(
        PodState(
            name=f"p{number}",
            phase="Running" if number < running else "Pending",
            ready="True" if number < counts.ready else "False",
            start_s=_LONG_AGO_S,
            ready_since_s=_LONG_AGO_S + 1,
            containers=requests,
        )
        for number in range(running + counts.pending)
    )


class _Fleet(NamedTuple):
    """The replicas that existed, those that the sync set (None: unknown), and how many pods may have had a metric."""

    exist: int
    desired: int | None
    measured: tuple[int, ...]


def _measured(metrics: Sequence[MetricSpec], counts: Counts) -> tuple[int, ...]:
    """Numbers of pods that may have had a metric: only one of several is sampled, and the others may have more."""
    several = sum(isinstance(each, PodsMetric) for each in metrics) > 1
    return tuple(sorted({counts.metric, counts.metric + counts.missing})) if several else (counts.metric,)


def _readings(metric: MetricSpec, value: Value | None, fleet: _Fleet) -> tuple[Reading, ...]:
    """The readings that give this value in the status: both extremes where it does not determine them."""
    if value is None:
        return (ReadError(message="the value was not available"),)
    match metric:
        case PodsMetric():
            values = (_per_pod(value.amount, pods) for pods in fleet.measured)
            return tuple(PodValues(milli=each) for each in chain.from_iterable(values))
        case ObjectMetric():
            return tuple(ObjectValue(milli=each) for each in _totals(metric, value.amount, fleet))
        case ExternalMetric():
            return tuple(ExternalValues(milli=(each,)) for each in _totals(metric, value.amount, fleet))
        case ResourceMetric():
            usage = _per_pod(value.amount, fleet.measured[0])
            if value.unit == "percent":
                usage = _per_pod(value.amount * _REQUEST_MILLI // 100, fleet.measured[0], _REQUEST_MILLI // 100)
            return tuple(ResourceSamples(by_pod={pod: _sample(milli) for pod, milli in each.items()}) for each in usage)


def _per_pod(average: int, pods: int, whole: int = 1) -> list[dict[str, int]]:
    """Values per pod with this average in whole units: without a remainder, and with the largest one."""
    if pods == 0:
        return []
    even = dict.fromkeys((f"p{number}" for number in range(pods)), average)
    rest = pods * whole - 1
    return [even] if rest == 0 else [even, even | {"p0": average + (rest if average >= 0 else -rest)}]


def _totals(metric: ObjectMetric | ExternalMetric, value: int, fleet: _Fleet) -> tuple[int, ...]:
    """Totals that give this value: an average over the replicas is rounded up, and without replicas it says nothing."""
    if not is_average(metric) or fleet.exist == 1:
        return (value,)
    if fleet.exist == 0:
        per_replica = metric.target.average_value_milli
        if per_replica is None or fleet.desired is None:
            return ()
        enough = per_replica * max(fleet.desired, 1)
        return 0, enough, enough + 1
    return value * fleet.exist, (value - 1) * fleet.exist + 1


def _sample(milli: int) -> ResourceSample:
    return ResourceSample(value_milli=milli, at_s=0.0, window_s=0.0)
