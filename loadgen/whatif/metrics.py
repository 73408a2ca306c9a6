"""Tells what the metrics of an HPA measure, and gives the HPA their simulated values as its metrics API would."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from loadgen.autoscale.arithmetic import milli_from_sample
from loadgen.autoscale.spec import ExternalMetric, HpaSpec, MetricSpec, ObjectMetric, PodsMetric, Target
from loadgen.autoscale.state import ExternalValues, PodValues, ReadError, Reading
from loadgen.base.errors import SettingsError
from loadgen.dataset.run_info import Autoscaler
from loadgen.whatif.replica import Replica

Signal = Literal["ratio", "busy", "waiting"]
NAMES: dict[Signal, str] = {
    "ratio": "triton:queue_compute:ratio",
    "busy": "triton:busy:ratio",
    "waiting": "triton:waiting:requests",
}
"""Names of the recording rules of the charts."""
_NO_SERIES = ReadError(message="Internal error occurred: unable to fetch metrics")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """What each metric of an HPA measures, in its order."""

    signals: tuple[Signal, ...] = ("ratio",)


def signals_of(hpa: HpaSpec, scaler: Autoscaler, assumptions: list[str]) -> Metrics:
    """What the metrics of a run's HPA measure.

    Args:
        hpa: The HPA.
        scaler: The autoscaler as the run recorded it.
        assumptions: Gets a sentence on what had to be assumed.

    Raises:
        SettingsError: a metric is not one of those that a simulation has.
    """
    known: dict[str, Signal] = {scaler.metric: "ratio", **{name: signal for signal, name in NAMES.items()}}
    signals: list[Signal] = []
    for metric in hpa.metrics:
        if isinstance(metric, PodsMetric) and metric.name in known:
            signals.append(known[metric.name])
        elif isinstance(metric, ExternalMetric) and len(hpa.metrics) == 1:
            total = metric.target.average_value_milli is not None
            assumptions.append(
                f"the query of the External metric {metric.name} is not recorded: it is taken to be the "
                f"{'sum' if total else 'mean'} of the ratio over the replicas"
            )
            signals.append("ratio")
        else:
            raise SettingsError(_unknown(metric, len(hpa.metrics)))
    return Metrics(signals=tuple(signals))


def _unknown(metric: MetricSpec, count: int) -> str:
    reason = "nothing that determines it is recorded"
    if isinstance(metric, PodsMetric | ObjectMetric):
        name = f"metric {metric.name}"
    elif isinstance(metric, ExternalMetric):
        name = f"External metric {metric.name}"
        reason = f"it is one of {count}, and their queries are not recorded"
    else:
        name = f"resource metric {metric.resource}"
    return (
        f"the HPA of the run has the {name}, which cannot be simulated: {reason}; known are the queue-to-compute "
        f"ratio, {NAMES['busy']} and {NAMES['waiting']}"
    )


def readings(hpa: HpaSpec, metrics: Metrics, replicas: Sequence[Replica], now_s: float) -> tuple[Reading, ...]:
    """The answers of the metrics API about these replicas at a time, one for each metric of the HPA."""
    measured = [(each.name, values) for each in replicas if (values := each.values(now_s)) is not None]

    def reading(metric: MetricSpec, signal: Signal) -> Reading:
        values = {name: getattr(each, signal) for name, each in measured}
        if isinstance(metric, PodsMetric):
            return PodValues(milli={name: milli_from_sample(value) for name, value in values.items()})
        if not values:
            return _NO_SERIES
        total = sum(values.values())
        mean = metric.target.average_value_milli is None
        return ExternalValues(milli=(milli_from_sample(total / len(values) if mean else total),))

    return tuple(reading(metric, signal) for metric, signal in zip(hpa.metrics, metrics.signals, strict=True))


def with_target(hpa: HpaSpec, metrics: Metrics, signal: Signal, milli: int | None) -> tuple[HpaSpec, Metrics]:
    """Change the target of a signal; None removes the signal, and one that the HPA has not is added.

    Raises:
        SettingsError: nothing would be left.
    """
    pairs = [
        (metric if each != signal or milli is None else _with_milli(metric, milli), each)
        for metric, each in zip(hpa.metrics, metrics.signals, strict=True)
        if each != signal or milli is not None
    ]
    if milli is not None and signal not in metrics.signals:
        target = Target(type="AverageValue", average_value_milli=milli)
        pairs.append((PodsMetric(name=NAMES[signal], target=target), signal))
    if not pairs:
        raise SettingsError("the HPA would have no metric left: keep one")
    return (
        replace(hpa, metrics=tuple(metric for metric, _ in pairs)),
        Metrics(signals=tuple(each for _, each in pairs)),
    )


def _with_milli(metric: MetricSpec, milli: int) -> MetricSpec:
    target = metric.target
    if target.average_value_milli is None:
        return replace(metric, target=replace(target, value_milli=milli))
    return replace(metric, target=replace(target, average_value_milli=milli))
