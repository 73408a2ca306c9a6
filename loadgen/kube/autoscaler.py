"""What an HPA on a cluster is told to do, as `run.json` has it."""

from collections.abc import Mapping
from typing import Any

from loadgen.dataset import Autoscaler
from loadgen.kube.changes import milli
from loadgen.kube.find import Raw
from loadgen.kube.prometheus import RuleTiming

SYNC_PERIOD_S = 15.0
"""Of the controller, by default; its flag cannot be read through the API."""

_SCALE_DOWN_WINDOW_S = 300.0
_TOLERANCE = 0.1
_SCRAPE_INTERVAL_S = 30.0
_RATE_WINDOW_S = 60.0


def metric_of(hpa: Raw) -> Mapping[str, Any] | None:
    """The metric of an HPA that a run follows: one of pods whose name says ratio, else the first of pods, else None."""
    pods = [each["pods"] for each in hpa["spec"].get("metrics", []) if each["type"] == "Pods"]
    ratio = [each for each in pods if "ratio" in each["metric"]["name"] and "busy" not in each["metric"]["name"]]
    return next(iter([*ratio, *pods]), None)


def metric_names(hpa: Raw) -> list[str]:
    """Names of all metrics of pods that it reads."""
    return [each["pods"]["metric"]["name"] for each in hpa["spec"].get("metrics", []) if each["type"] == "Pods"]


def autoscaler_of(hpa: Raw, timing: RuleTiming, scrape_interval_s: float | None) -> tuple[Autoscaler | None, list[str]]:
    """What drives the replica count, and a sentence for everything that had to be assumed.

    None where it reads no metric of pods, so that no ratio is held.
    """
    metric = metric_of(hpa)
    name = hpa["metadata"]["name"]
    if metric is None:
        kinds = ", ".join(each["type"] for each in hpa["spec"].get("metrics", [])) or "none"
        return None, [f"the autoscaler {name} reads no metric of pods ({kinds}): its signal is not judged"]
    quantity = metric["target"].get("averageValue")
    target = milli(quantity)
    if target is None:
        return None, [f"the autoscaler {name} has the target {quantity}, which is not understood: it is not judged"]
    assumed = [f"the HPA controller's interval is taken as {SYNC_PERIOD_S:g} s, Kubernetes' default"]
    if timing.window_s is None:
        assumed.append(f"no recording rule of {metric['metric']['name']} was seen: its window is taken as 60 s")
    if scrape_interval_s is None:
        assumed.append("the scrape interval was not seen: it is taken as 30 s")
    down = hpa["spec"].get("behavior", {}).get("scaleDown", {})
    window = down.get("stabilizationWindowSeconds")
    tolerance = milli(hpa["spec"].get("behavior", {}).get("scaleUp", {}).get("tolerance"))
    return (
        Autoscaler(
            metric=metric["metric"]["name"],
            target=target / 1000,
            min_replicas=hpa["spec"].get("minReplicas", 1),
            max_replicas=hpa["spec"]["maxReplicas"],
            sync_period_s=SYNC_PERIOD_S,
            tolerance=_TOLERANCE if tolerance is None else tolerance / 1000,
            rate_window_s=_RATE_WINDOW_S if timing.window_s is None else timing.window_s,
            scrape_interval_s=_SCRAPE_INTERVAL_S if scrape_interval_s is None else scrape_interval_s,
            scale_down_window_s=_SCALE_DOWN_WINDOW_S if window is None else float(window),
        ),
        assumed,
    )
