"""Reads the recorded syncs of the autoscaler, and infers those that changed nothing and so wrote nothing."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from loadgen.analyze.observed import Observed
from loadgen.analyze.results.audit import Unit
from loadgen.analyze.too_many import MAX_SYNCS
from loadgen.autoscale.arithmetic import MAX_INT32, MAX_INT64
from loadgen.autoscale.manifest import parse_hpa
from loadgen.autoscale.record import Inputs, parse_inputs
from loadgen.autoscale.spec import (
    DEFAULT_SCALE_DOWN,
    Behavior,
    ExternalMetric,
    HpaSpec,
    MetricSpec,
    ObjectMetric,
    PodsMetric,
    ResourceMetric,
    Target,
)
from loadgen.autoscale.state import ExternalValues, ObjectValue, PodValues, ReadError, ResourceSamples
from loadgen.base.errors import SettingsError
from loadgen.base.quantity import parse_milli
from loadgen.dataset.names import EventKind, GapSource
from loadgen.dataset.tables import MAX_RUN_S

MAX_INFERRED = 20_000
"""Inferred syncs of a run: 83 hours at the usual period."""


@dataclass(frozen=True, slots=True)
class Value:
    """A metric in the status, in thousandths or in percent of the requests."""

    amount: int
    unit: Unit = "milli"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """One sync of the autoscaler as it was recorded.

    Attributes:
        t_s: When it was, seconds from the start of the load.
        inferred: Whether it is known only from the sync period.
        from_status: Whether it was recorded as the status that the controller wrote.
        after_gap: Whether the watch of the status was interrupted since the sync before.
        spec: The HPA at that time.
        current: Replicas before it.
        desired: Replicas after it (`status.desiredReplicas` if `from_status`); None if unknown.
        reasons: Status and reason of each condition by its type.
        inputs: All that it read; None where that was not recorded.
        values: One per metric of the spec, None for one that could not be read; None where a value that was
            read is not recorded.
        counted: Pods with a metric, without one, and pending; None where unknown.
    """

    t_s: float
    inferred: bool = False
    from_status: bool
    after_gap: bool = False
    spec: HpaSpec
    current: int
    desired: int | None
    reasons: Mapping[str, tuple[str, str | None]]
    inputs: Inputs | None = None
    values: tuple[Value | None, ...] | None = None
    counted: tuple[int, int, int] | None = None

    @property
    def rescaled(self) -> bool:
        """Whether it changed the replicas."""
        if self.desired is None or self.desired == self.current:
            return False
        able = self.reasons.get("AbleToScale")
        return able is None or not self.from_status or able[1] == "SucceededRescale"


class _Condition(BaseModel):
    type: str
    status: str
    reason: str | None = None


class _Data(BaseModel):
    current: int = Field(ge=0, le=MAX_INT32)
    desired: int | None = Field(default=None, ge=0, le=MAX_INT32)
    conditions: list[_Condition] = []
    metric_milli: int | None = Field(default=None, ge=-MAX_INT64, le=MAX_INT64)
    current_metrics: list[dict[str, Any]] | None = None
    proposals: list[Any] = []
    inputs: Any = None
    spec: dict[str, Any] | None = None


class _Groups(BaseModel):
    ready: int = Field(ge=0, le=10_000)
    missing: list[Any] = Field(max_length=10_000)
    unready: list[Any] = Field(max_length=10_000)


def spec_of(run: Observed) -> HpaSpec | str:
    """The HPA of a run, or the reason why it is not known."""
    scaler, cluster = run.info.autoscaler, run.info.cluster
    if cluster is not None:
        if cluster.hpa_manifest is None:
            return "the HPA itself was not recorded" if cluster.hpa else "the workload has no HPA"
        return _parsed(cluster.hpa_manifest)
    if scaler is None:
        return "the run has no autoscaler whose metric is known"
    if not 0 < scaler.target * 1000 <= MAX_INT64:
        return f"an HPA cannot have a target of {scaler.target:g}"
    target = Target(type="AverageValue", average_value_milli=round(scaler.target * 1000))
    window_s = round(scaler.scale_down_window_s)
    try:
        return HpaSpec(
            min_replicas=scaler.min_replicas,
            max_replicas=scaler.max_replicas,
            metrics=(PodsMetric(name=scaler.metric, target=target),),
            behavior=Behavior(scale_down=replace(DEFAULT_SCALE_DOWN, stabilization_window_s=window_s)),
        )
    except SettingsError as error:
        return str(error)


def recorded_syncs(run: Observed, spec: HpaSpec) -> list[Sync]:
    """The first `MAX_SYNCS` syncs that were recorded, in order; an event whose data cannot be read is skipped."""
    syncs: list[Sync] = []
    from_status = run.info.cluster is not None
    manifest = run.info.cluster.hpa_manifest if run.info.cluster else None
    for event in run.of_kind(EventKind.HPA_SYNC)[:MAX_SYNCS]:
        try:
            data = _Data.model_validate(event.data)
        except ValidationError:
            continue
        if not abs(event.t_s) <= MAX_RUN_S:
            continue
        if manifest is not None and data.spec is not None and data.spec != manifest.get("spec"):
            manifest = {**manifest, "spec": data.spec}
            newer = _parsed(manifest)
            spec = spec if isinstance(newer, str) else newer
        inputs = parse_inputs(data.inputs)
        syncs.append(
            Sync(
                t_s=event.t_s,
                inferred=from_status and not syncs,  # the first is the status that was there already
                from_status=from_status,
                spec=spec,
                current=data.current,
                desired=data.desired,
                reasons={each.type: (each.status, each.reason) for each in data.conditions},
                inputs=inputs if inputs is not None and _fits(inputs, spec) else None,
                values=_values(data, spec, "metric_milli" in event.data),
                counted=_counted(data.proposals),
            )
        )
    return syncs


def all_syncs(run: Observed, spec: HpaSpec) -> list[Sync]:
    """The recorded syncs, and on a cluster the syncs between them that changed nothing."""
    recorded = recorded_syncs(run, spec)
    period_s = run.info.autoscaler.sync_period_s if run.info.autoscaler else 0.0
    if run.info.cluster is None or not period_s > 0 or not recorded:
        return recorded
    gaps = [
        (event.t_s, event.until_s)
        for event in run.of_kind(EventKind.COLLECT_GAP)
        if event.data.get("source") == GapSource.KUBERNETES and event.data.get("watch") == "hpas"
    ]
    syncs: list[Sync] = []
    left = MAX_INFERRED
    for sync, after in pairwise([*recorded, None]):
        assert sync is not None
        interrupted = syncs and any(start <= sync.t_s and end >= syncs[-1].t_s for start, end in gaps)
        syncs.append(replace(sync, after_gap=True) if interrupted else sync)
        end_s = run.last_s if after is None else after.t_s
        if any(start <= end_s and end >= sync.t_s for start, end in gaps):
            continue
        between = list(_unchanged(sync, end_s, period_s, last=after is None))[:left]
        left -= len(between)
        syncs += between
    return syncs


def _unchanged(sync: Sync, end_s: float, period_s: float, *, last: bool) -> Iterable[Sync]:
    """The syncs until the next write of the status, or until the end: each found what the one before had found."""
    if sync.rescaled or not math.isfinite(end_s):
        return
    periods = min((end_s - sync.t_s) / period_s, MAX_INFERRED)
    # Two writes may be less than half a period apart: a change of the HPA is followed by a sync at once.
    number = int(periods) if last else max(round(periods) - 1, 0)
    step_s = period_s if last else (end_s - sync.t_s) / (number + 1)
    for index in range(1, number + 1):
        yield replace(sync, t_s=sync.t_s + index * step_s, inferred=True)


def _fits(inputs: Inputs, spec: HpaSpec) -> bool:
    """Whether there is a reading of its kind for each metric."""
    kinds = {
        PodsMetric: PodValues,
        ObjectMetric: ObjectValue,
        ExternalMetric: ExternalValues,
        ResourceMetric: ResourceSamples,
    }
    return len(inputs.readings) == len(spec.metrics) and all(
        isinstance(reading, ReadError | kinds[type(metric)])
        for metric, reading in zip(spec.metrics, inputs.readings, strict=True)
    )


def _parsed(manifest: Mapping[str, object]) -> HpaSpec | str:
    try:
        return parse_hpa(manifest)
    except SettingsError as error:
        return str(error)


def _values(data: _Data, spec: HpaSpec, has_milli: bool) -> tuple[Value | None, ...] | None:
    if data.current_metrics is not None:
        padded: Sequence[dict[str, Any]] = [*data.current_metrics, *({} for _ in spec.metrics)]
        pairs = list(zip(spec.metrics, padded, strict=False))
        values = tuple(_value(*pair) for pair in pairs)
        # A status that names a metric without its value is damaged: what the sync read is not known.
        lacking = any(
            value is None and _current(status) is not None for value, (_, status) in zip(values, pairs, strict=True)
        )
        return None if lacking else values
    in_percent = isinstance(spec.metrics[0], ResourceMetric) and spec.metrics[0].target.average_utilization_pct
    if len(spec.metrics) > 1 or in_percent or not has_milli:
        return None  # earlier releases recorded one value
    return (None if data.metric_milli is None else Value(data.metric_milli),)


def _value(metric: MetricSpec, status: Mapping[str, Any]) -> Value | None:
    """The value of a metric in `status.currentMetrics`; None without one."""
    current = _current(status) or {}
    if isinstance(metric, ResourceMetric) and metric.target.average_utilization_pct is not None:
        percent = current.get("averageUtilization")
        return Value(percent, "percent") if isinstance(percent, int) and abs(percent) <= MAX_INT32 else None
    per_pod = isinstance(metric, PodsMetric | ResourceMetric) or is_average(metric)
    try:
        return Value(parse_milli(current["averageValue" if per_pod else "value"]))
    except (KeyError, TypeError, ValueError):
        return None


def _current(status: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What the status says about a metric; None for one that could not be read, whose entry is empty."""
    currents = [source.get("current") for source in status.values() if isinstance(source, dict)]
    return next((current for current in currents if isinstance(current, dict)), None)


def is_average(metric: ObjectMetric | ExternalMetric) -> bool:
    """Whether a metric's target is a value per replica."""
    if isinstance(metric, ObjectMetric):
        return metric.target.type == "AverageValue"
    return metric.target.average_value_milli is not None


def _counted(proposals: Sequence[Any]) -> tuple[int, int, int] | None:
    """Pods by group, as releases recorded them that did not record the inputs."""
    first = proposals[0] if proposals else None
    try:
        groups = _Groups.model_validate(first["pods"] if isinstance(first, dict) else None)
    except (KeyError, ValidationError):
        return None
    return groups.ready, len(groups.missing), len(groups.unready)
