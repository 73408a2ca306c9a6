"""Converts raw Kubernetes objects to events of the run folder.

Event times come from the API, which stamps whole seconds, or from the time of observation where the API has none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loadgen.dataset.names import EventKind
from loadgen.kube.objects.raw import Raw, milli, parse_time
from loadgen.kube.objects.shapes import source_of


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent:
    """One event of a run; `unix_s` is seconds since the epoch, the other fields are columns of the table `events`."""

    unix_s: float
    kind: str
    pod: str | None = None
    reason: str | None = None
    message: str | None = None
    data: Mapping[str, Any] | None = None


def hpa_sync(hpa: Raw, now_s: float, metric: str | None = None) -> RunEvent:
    """Return the status that the HPA controller last wrote, as an `hpa_sync` event.

    Args:
        hpa: The HorizontalPodAutoscaler.
        now_s: Time of observation, in seconds since the epoch.
        metric: Name of the metric whose value is recorded; None selects the first one.
    """
    spec, status = hpa["spec"], hpa.get("status", {})
    conditions = [
        {key: each.get(key) for key in ("type", "status", "reason", "message", "lastTransitionTime")}
        for each in status.get("conditions") or ()
    ]
    metrics = [dict(each) for each in status.get("currentMetrics") or ()]
    active = next((each for each in conditions if each["type"] == "ScalingActive"), None)
    return RunEvent(
        unix_s=now_s,
        kind=EventKind.HPA_SYNC,
        reason=active["reason"] if active else None,
        message=active["message"] if active and active["status"] != "True" else None,
        data={
            "current": status.get("currentReplicas"),
            "desired": status.get("desiredReplicas"),
            "metric_milli": _value_milli(status.get("currentMetrics"), metric, "current"),
            "target_milli": _value_milli(spec.get("metrics"), metric, "target"),
            "conditions": conditions,
            "proposals": [],
            "current_metrics": metrics,
            "last_scale_time": status.get("lastScaleTime"),
            "spec": dict(spec),
        },
    )


def pod_event(event: Raw, now_s: float) -> RunEvent:
    """Return a Kubernetes Event about a pod, such as `Pulling` or `Pulled`, as a `pod_event` event."""
    at_s = parse_time(event.get("lastTimestamp")) or parse_time(event.get("eventTime")) or now_s
    return RunEvent(
        unix_s=at_s,
        kind=EventKind.POD_EVENT,
        pod=event.get("involvedObject", {}).get("name"),
        reason=event.get("reason"),
        message=event.get("message"),
        data={"type": event.get("type"), "count": event.get("count")},
    )


def _value_milli(metrics: Sequence[Raw] | None, name: str | None, side: str) -> int | None:
    for metric in metrics or ():
        source = source_of(metric)
        if name is None or source.get("metric", {}).get("name") == name:
            value = source.get(side, {})
            return milli(value.get("averageValue") or value.get("value"))
    return None
