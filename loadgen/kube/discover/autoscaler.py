"""Reads from an HPA which metric it scales on and how, as `run.json` records it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from loadgen.dataset.run_info import Autoscaler
from loadgen.kube.discover.prometheus import RuleTiming
from loadgen.kube.discover.result import Discovered
from loadgen.kube.objects.raw import Raw, milli
from loadgen.kube.objects.shapes import source_of

SYNC_PERIOD_S = 15.0
"""Default of the HPA controller; its flag cannot be read through the API."""

_SCALE_DOWN_WINDOW_S = 300.0
_TOLERANCE = 0.1
_SCRAPE_INTERVAL_S = 30.0
_RATE_WINDOW_S = 60.0


class ScalingMetric(NamedTuple):
    """A per-pod series that the HPA scales on: it keeps the mean over the pods at a target.

    Attributes:
        series: Name of the series in Prometheus.
        name: Name of the metric in the HPA, which differs from the series where KEDA created the HPA.
        target: The target as a Kubernetes quantity, such as `150m`.
        matchers: Label matchers of KEDA's query, in braces; None for a Pods metric, which the metrics API selects by
            pod.
    """

    series: str
    name: str
    target: str | None
    matchers: str | None = None

    @property
    def is_ratio(self) -> bool:
        """Whether it is the queue-to-compute ratio: the cluster has only its name, as in `triton:queue_compute:ratio`.

        The name of the share of busy slots, `triton:busy:ratio`, has the word as well.
        """
        return "ratio" in self.series and "busy" not in self.series


def pods_metrics(hpa: Raw) -> list[ScalingMetric]:
    """The HPA's metrics of type Pods."""
    pods = [each["pods"] for each in metrics_of(hpa, "Pods")]
    return [
        ScalingMetric(each["metric"]["name"], each["metric"]["name"], each["target"].get("averageValue"))
        for each in pods
    ]


def primary_metric(metrics: Sequence[ScalingMetric]) -> ScalingMetric | None:
    """The metric that a run judges: the first queue-to-compute ratio, else the first."""
    return next((each for each in metrics if each.is_ratio), next(iter(metrics), None))


def metrics_of(hpa: Raw, kind: str) -> list[Mapping[str, Any]]:
    """The metrics of a type in the HPA's specification."""
    return [each for each in hpa["spec"].get("metrics", []) if each["type"] == kind]


def no_pods_metric(hpa: Raw) -> str:
    """Sentence for an HPA that scales on no metric of type Pods."""
    metrics = ", ".join(_display_name(each) for each in hpa["spec"].get("metrics", [])) or "none"
    return f"the HPA {hpa['metadata']['name']} has no metric of type Pods ({metrics}): its signal is not judged"


def autoscaler_of(
    hpa: Raw, metric: ScalingMetric, timing: RuleTiming, scrape_interval_s: float | None
) -> Discovered[Autoscaler | None]:
    """Settings of the HPA for a metric; None where its target cannot be parsed.

    Args:
        hpa: The HPA's manifest.
        metric: The metric that it scales on.
        timing: Timing of the rule that records the series.
        scrape_interval_s: How often Prometheus scrapes the pods; None where that is unknown.
    """
    target = milli(metric.target)
    if target is None:
        sentence = f"the HPA {hpa['metadata']['name']} has the target {metric.target}, which cannot be parsed"
        return Discovered(None, assumptions=(f"{sentence}: it is not judged",))
    assumptions = [f"the sync period of the HPA controller is assumed to be {SYNC_PERIOD_S:g} s, Kubernetes' default"]
    if timing.window_s is None:
        assumptions.append(f"no recording rule of {metric.series} was found: its window is assumed to be 60 s")
    if scrape_interval_s is None:
        assumptions.append("the scrape interval was not found: it is assumed to be 30 s")
    behavior = hpa["spec"].get("behavior", {})
    window_s = behavior.get("scaleDown", {}).get("stabilizationWindowSeconds")
    tolerance = milli(behavior.get("scaleUp", {}).get("tolerance"))
    autoscaler = Autoscaler(
        metric=metric.series,
        target=target / 1000,
        min_replicas=hpa["spec"].get("minReplicas", 1),
        max_replicas=hpa["spec"]["maxReplicas"],
        sync_period_s=SYNC_PERIOD_S,
        tolerance=_TOLERANCE if tolerance is None else tolerance / 1000,
        rate_window_s=_RATE_WINDOW_S if timing.window_s is None else timing.window_s,
        scrape_interval_s=_SCRAPE_INTERVAL_S if scrape_interval_s is None else scrape_interval_s,
        scale_down_window_s=_SCALE_DOWN_WINDOW_S if window_s is None else float(window_s),
    )
    return Discovered(autoscaler, assumptions=tuple(assumptions))


def manifest_of(hpa: Raw) -> dict[str, Any]:
    """The HPA as it was applied: without status and without what the API server keeps for itself."""
    metadata = {key: value for key, value in hpa["metadata"].items() if key != "managedFields"}
    applied = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", **hpa, "metadata": metadata}
    applied.pop("status", None)
    return applied


def _display_name(metric: Mapping[str, Any]) -> str:
    """Type and name of a metric of any type, such as `Resource cpu`."""
    source = source_of(metric)
    return f"{metric['type']} {source.get('metric', source).get('name', '')}".strip()
