"""Words the results of a sweep for the console, as JSON, and as the manifest of an HPA."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from loadgen.autoscale.spec import ExternalMetric, HpaSpec, MetricSpec, PodsMetric, ScalingRules
from loadgen.base.display import number, rounded_duration, seconds
from loadgen.whatif.check import Check
from loadgen.whatif.cycle import Cycle
from loadgen.whatif.fit import Fit, Metric
from loadgen.whatif.settings import Setup
from loadgen.whatif.sweep import Range, Variant

OWN = "as in the run"
_SCALED_OBJECT = "scaledobject.keda.sh/name"
"""Label of the HPAs that KEDA writes."""
_HELM_RELEASE = "meta.helm.sh/release-name"
"""Annotation of the objects that Helm writes."""
_SERVER_FIELDS = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink")
"""Fields of the metadata that the API server sets: an old `resourceVersion` would make it refuse the manifest."""
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_ELSEWHERE = {
    "hpa.sync_period_s": "flag --horizontal-pod-autoscaler-sync-period of the controller manager",
    "prometheus.scrape_interval_s": "scrape interval of the ServiceMonitor or PodMonitor",
    "prometheus.window_s": "range of the rates in the recording rule",
    "replicas.start_up_s": "image, model load and probes of the pods",
}
_HEADER = ("settings", "{} p50", "{} p95", "over limit", "replica-hours", "peak replicas", "rescales")


def check_lines(result: Check, metric: Metric) -> list[str]:
    """What the simulation of the run's own settings gives, beside the run."""
    latency = ", ".join(
        f"{name} {_seconds(is_s)} (run: {_seconds(was_s)})"
        for name, is_s, was_s in zip(("p50", "p95", "p99"), result.simulated_s, result.measured_s, strict=True)
    )
    lines = [
        f"The run's own settings, simulated: replicas differ by {result.replicas_off_ratio:.1%} on average and for "
        f"{result.time_off_ratio:.1%} of the time; {metric.upper()} {latency}."
    ]
    if result.problems:
        lines.append(f"UNFIT: the simulation does not repeat the run: {'; '.join(result.problems)}.")
    return lines


def table(variants: Sequence[Variant], metric: Metric, *, unfit: bool) -> list[str]:
    """One line for each setup: medians over the phases of the HPA, with the best and the worst where they differ."""
    rows = [tuple(name.format(metric.upper()) for name in _HEADER)]
    for each in variants:
        result = each.outcome
        name = ", ".join(each.changes) or OWN
        rows.append(
            (
                f"{'unfit: ' if unfit else ''}{name}{' *' if each.efficient else ''}",
                _seconds(result.ttft_p50_s.median),
                _spread(result.ttft_p95_s, _seconds),
                _spread(result.slow_ratio, "{:.1%}".format),
                _spread(result.replica_hours, "{:.3f}".format),
                f"{result.peak_replicas.median:.0f}",
                f"{result.rescales.median:.0f}",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    lines = [
        "  ".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return [
        *lines,
        "* efficient: none of the others has fewer requests over the limit for as few replica-hours",
    ]


def cycle_line(cycle: Cycle) -> str:
    """What a limit cycle is and why it is there."""
    return (
        f"At a constant {number(cycle.rate_per_s)} requests/s this HPA never settles: it goes from {cycle.low} to "
        f"{cycle.high} replicas and back every {rounded_duration(cycle.period_s)}. The ratio is 0 as soon as nothing "
        "waits, which proposes the fewest replicas, and these let a queue grow again: add a metric that is not 0 below "
        "saturation, or forbid fast scale-downs."
    )


def recommendation(best: Variant | None, limit_s: float, metric: Metric, *, unfit: bool) -> str:
    """Which setup to use."""
    name = metric.upper()
    if unfit:
        return (
            "None of these settings is recommended, because the simulation does not repeat the run: simulate a run "
            "whose own settings it repeats, such as one that lets requests wait and has no failures."
        )
    if not math.isfinite(limit_s):
        return f"The run has no limit on {name}, so none of these settings is recommended."
    if best is None:
        return f"None of these settings keeps {name} p95 within {seconds(limit_s)} at every phase of the HPA."
    return (
        f"Recommended: {', '.join(best.changes) or OWN}. Of those that keep {name} p95 within {seconds(limit_s)} at "
        f"every phase of the HPA, it is the cheapest: {best.outcome.replica_hours.median:.3f} replica-hours."
    )


def hpa_manifest(hpa: HpaSpec, *, applied: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """Return an HPA with the settings of a simulation.

    Args:
        hpa: Its spec.
        applied: The HPA of the run, whose name, labels, target and metric selectors stay; None if the run had none.
        name: Name of the HPA and of the Deployment that it scales, if the run had none.
    """
    manifest: dict[str, Any] = (
        copy.deepcopy(dict(applied))
        if applied
        else {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": name},
            "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}},
        }
    )
    manifest.pop("status", None)
    metadata = {key: each for key, each in manifest.get("metadata", {}).items() if key not in _SERVER_FIELDS}
    if annotations := metadata.get("annotations"):
        metadata["annotations"] = {key: each for key, each in annotations.items() if key != _LAST_APPLIED}
    if metadata:
        manifest["metadata"] = metadata
    spec = manifest["spec"]
    spec["minReplicas"], spec["maxReplicas"] = hpa.lowest, hpa.max_replicas
    before = {_metric_name(each): each for each in spec.get("metrics", ())}
    spec["metrics"] = [_metric(each, before) for each in hpa.metrics]
    if hpa.behavior is not None:
        spec["behavior"] = {"scaleUp": _rules(hpa.behavior.scale_up), "scaleDown": _rules(hpa.behavior.scale_down)}
    return manifest


def owner_line(applied: Mapping[str, Any] | None) -> str | None:
    """Where the values of an HPA belong that KEDA or Helm writes; None for any other HPA."""
    metadata = (applied or {}).get("metadata") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    if name := labels.get(_SCALED_OBJECT):
        return (
            f"# KEDA writes this HPA: put its bounds, targets and behavior into the ScaledObject {name} "
            "(minReplicaCount, maxReplicaCount, threshold, advanced.horizontalPodAutoscalerConfig.behavior)"
        )
    if name := annotations.get(_HELM_RELEASE):
        return (
            f"# Helm writes this HPA: put its bounds, targets and behavior into the values of the release {name}, or "
            "its next upgrade takes them back"
        )
    return None


def elsewhere_line(changes: Sequence[str]) -> str | None:
    """What of a setup is no part of the HPA, and where it belongs; None if all of it is."""
    named = [(each, place) for each in changes if (place := _ELSEWHERE.get(each.partition("=")[0].strip()))]
    if not named:
        return None
    return f"# not in the HPA: {'; '.join(f'{each} ({place})' for each, place in named)}"


def as_json(
    fitted: Fit, checked: Check, variants: Sequence[Variant], best: Variant | None, cycles: Sequence[Cycle]
) -> dict[str, Any]:
    """All results; a number that is infinite is null."""
    return {
        "fit": not checked.problems,
        "check": _finite(asdict(checked)),
        "metric": fitted.metric,
        "assumptions": list(fitted.assumptions),
        "limit_s": _finite(fitted.limit_s),
        "requests": len(fitted.load),
        "variants": [
            {"changes": list(each.changes), "efficient": each.efficient, **_finite(asdict(each.outcome))}
            for each in variants
        ],
        "recommended": None if best is None or checked.problems else list(best.changes),
        "limit_cycles": [asdict(each) for each in cycles],
    }


def setup_lines(setup: Setup) -> str:
    """What of the run was fitted, in one sentence."""
    replicas, path = setup.replicas, setup.path
    return (
        f"{replicas.slots} requests at a time on a replica, which is ready "
        f"{seconds(replicas.create_s + replicas.start_up_s)} after a scale-up; scrapes every "
        f"{seconds(path.scrape_s)}, a window of {seconds(path.window_s)}, syncs every {seconds(path.sync_s)}"
    )


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _seconds(value: float) -> str:
    return seconds(value) if math.isfinite(value) else "never"


def _spread(value: Range, shown: Callable[[float], str]) -> str:
    """The median, with the best and the worst phase where these differ."""
    best, median, worst = shown(value.best), shown(value.median), shown(value.worst)
    return median if best == worst else f"{median} ({best} to {worst})"


def _metric_name(metric: Mapping[str, Any]) -> str | None:
    """Name of a metric of type Pods or External in a manifest."""
    source = metric.get("pods") or metric.get("external") or {}
    name: str | None = source.get("metric", {}).get("name")
    return name


def _metric(metric: MetricSpec, before: Mapping[str | None, Mapping[str, Any]]) -> dict[str, Any]:
    assert isinstance(metric, PodsMetric | ExternalMetric)
    kind = "pods" if isinstance(metric, PodsMetric) else "external"
    written: dict[str, Any] = copy.deepcopy(
        dict(before.get(metric.name, {"type": kind.capitalize(), kind: {"metric": {"name": metric.name}}}))
    )
    target = metric.target
    if target.average_value_milli is not None:
        written[kind]["target"] = {"type": "AverageValue", "averageValue": f"{target.average_value_milli}m"}
    else:
        written[kind]["target"] = {"type": "Value", "value": f"{target.value_milli}m"}
    return written


def _rules(rules: ScalingRules) -> dict[str, Any]:
    written: dict[str, Any] = {}
    if rules.stabilization_window_s is not None:
        written["stabilizationWindowSeconds"] = rules.stabilization_window_s
    if rules.tolerance_ratio is not None:
        written["tolerance"] = f"{round(rules.tolerance_ratio * 1000)}m"
    written["selectPolicy"] = rules.select_policy
    written["policies"] = [
        {"type": each.type, "value": each.value, "periodSeconds": each.period_s} for each in rules.policies
    ]
    return written
