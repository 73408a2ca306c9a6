"""What an HPA on a cluster is told to do, as `run.json` has it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from loadgen.dataset.run_info import Autoscaler
from loadgen.kube.discover.prometheus import RuleTiming
from loadgen.kube.objects.raw import Raw, milli

SYNC_PERIOD_S = 15.0
"""Of the controller, by default; its flag cannot be read through the API."""

_SCALE_DOWN_WINDOW_S = 300.0
_TOLERANCE = 0.1
_SCRAPE_INTERVAL_S = 30.0
_RATE_WINDOW_S = 60.0


class Held(NamedTuple):
    """A series of each pod that an HPA holds at a value, in the mean over the pods.

    Attributes:
        record: Name of the series in Prometheus.
        named: How the HPA names the metric, which is another name where KEDA made it.
        quantity: The value, as it is written.
        labels: What narrows the series in KEDA's query, in braces; None for what the metrics API chooses by pod.
    """

    record: str
    named: str
    quantity: str | None
    labels: str | None = None


def by_pods(hpa: Raw) -> list[Held]:
    """Its metrics of pods."""
    pods = [each["pods"] for each in metrics_of(hpa, "Pods")]
    return [
        Held(each["metric"]["name"], each["metric"]["name"], each["target"].get("averageValue"), None) for each in pods
    ]


def followed(held: Sequence[Held]) -> Held | None:
    """The one that a run follows: one whose name says ratio (of queue to compute, not of busy time), else the first."""
    ratio = [each for each in held if "ratio" in each.record and "busy" not in each.record]
    return next(iter([*ratio, *held]), None)


def metrics_of(hpa: Raw, kind: str) -> list[Mapping[str, Any]]:
    """The metrics of a kind in its specification."""
    return [each for each in hpa["spec"].get("metrics", []) if each["type"] == kind]


def unjudged(hpa: Raw) -> str:
    """Why the signal of an HPA that holds no series of its pods is not judged."""
    kinds = ", ".join(_named(each) for each in hpa["spec"].get("metrics", [])) or "none"
    return f"the autoscaler {hpa['metadata']['name']} reads no metric of pods ({kinds}): its signal is not judged"


def autoscaler_of(
    hpa: Raw, held: Held, timing: RuleTiming, scrape_interval_s: float | None
) -> tuple[Autoscaler | None, list[str]]:
    """What drives the replica count, and a sentence for everything that had to be assumed.

    None where its target is not understood.
    """
    target = milli(held.quantity)
    if target is None:
        has = f"the autoscaler {hpa['metadata']['name']} has the target {held.quantity}"
        return None, [f"{has}, which is not understood: it is not judged"]
    assumed = [f"the HPA controller's interval is taken as {SYNC_PERIOD_S:g} s, Kubernetes' default"]
    if timing.window_s is None:
        assumed.append(f"no recording rule of {held.record} was seen: its window is taken as 60 s")
    if scrape_interval_s is None:
        assumed.append("the scrape interval was not seen: it is taken as 30 s")
    down = hpa["spec"].get("behavior", {}).get("scaleDown", {})
    window = down.get("stabilizationWindowSeconds")
    tolerance = milli(hpa["spec"].get("behavior", {}).get("scaleUp", {}).get("tolerance"))
    return (
        Autoscaler(
            metric=held.record,
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


def _named(metric: Mapping[str, Any]) -> str:
    """A metric of any kind, as a person says it."""
    kind = str(metric["type"])
    source = metric.get(kind[:1].lower() + kind[1:], {})
    return f"{kind} {source.get('metric', source).get('name', '')}".strip()
