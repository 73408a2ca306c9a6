"""Changes of a setup without pitfalls, `good.yaml`."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loadgen.lint.lint import lint
from loadgen.lint.objects import Objects, read_objects
from loadgen.lint.pitfall import Pitfall
from support.yaml_files import read_documents

GOOD = read_documents(Path(__file__).parent / "good.yaml")
BLS = 'model="tensorrt_llm_bls"'
QUEUE, COMPUTE = "nv_inference_queue_duration_us", "nv_inference_compute_infer_duration_us"

Setup = dict[str, dict[str, Any]]
Change = Callable[[Setup], object]


def found(change: Change | None, **given: Any) -> list[Pitfall]:
    """The pitfalls of the good setup after a change; `None` leaves it as it is."""
    setup = {each["kind"]: each for each in copy.deepcopy(GOOD)}
    if change is not None:
        change(setup)
    objects = read_objects(("setup.yaml", each) for each in setup.values())
    return lint(Objects(**{name: getattr(objects, name) for name in objects.__slots__} | given)).pitfalls


def codes(change: Change | None, **given: Any) -> list[str]:
    return sorted({each.declared.code for each in found(change, **given)})


def pod(setup: Setup) -> Any:
    return setup["Deployment"]["spec"]["template"]["spec"]


def server(setup: Setup) -> Any:
    return pod(setup)["containers"][0]


def hpa(setup: Setup) -> Any:
    return setup["HorizontalPodAutoscaler"]["spec"]


def ratio_is(expr: str, **rule: Any) -> Change:
    """A change of the expression that records the ratio."""
    return lambda setup: setup["PrometheusRule"]["spec"]["groups"][0]["rules"][0].update(expr=expr, **rule)


def quotient(numerator: str, divisor: str) -> str:
    return f"sum by (namespace, pod) ({numerator}) / {divisor}"


def rate(series: str = COMPUTE, model: str = BLS, window: str = "30s") -> str:
    return f"rate({series}{{{model}}}[{window}])"


def ratio(window: str = "30s", model: str = BLS, by: str = "by (namespace, pod) ") -> str:
    above, below = rate(QUEUE, model, window), rate(COMPUTE, model, window)
    return f"sum {by}({above}) / clamp_min(sum {by}({below}), 1)"


SUM = f"sum by (namespace, pod) ({rate()})"


def metric_is(number: int, metric: dict[str, Any]) -> Change:
    return lambda setup: hpa(setup)["metrics"].__setitem__(number, metric)


def pods_metric(name: str, target: str) -> dict[str, Any]:
    return {
        "type": "Pods",
        "pods": {"metric": {"name": name}, "target": {"type": "AverageValue", "averageValue": target}},
    }


def external(name: str, target: dict[str, Any]) -> dict[str, Any]:
    return {"type": "External", "external": {"metric": {"name": name}, "target": target}}


def of_service(name: str, target: dict[str, Any]) -> dict[str, Any]:
    described = {"apiVersion": "v1", "kind": "Service", "name": "llm"}
    return {"type": "Object", "object": {"metric": {"name": name}, "describedObject": described, "target": target}}


def target_is(value: str, number: int = 0) -> Change:
    return lambda setup: hpa(setup)["metrics"][number]["pods"]["target"].update(averageValue=value)


def record(name: str, expr: str, **rule: Any) -> Change:
    return lambda setup: setup["PrometheusRule"]["spec"]["groups"][0]["rules"].append(
        {"record": name, "expr": expr, **rule}
    )


def behavior(**sides: dict[str, Any]) -> Change:
    def change(setup: Setup) -> None:
        for side, rules in sides.items():
            hpa(setup)["behavior"][side] = {**hpa(setup)["behavior"].get(side, {}), **rules}

    return change


def command(*args: str) -> Change:
    return lambda setup: server(setup).update(args=[*server(setup)["args"], *args])


def probe(name: str, **fields: Any) -> Change:
    return lambda setup: server(setup)[name].update(fields)


def both(*changes: Change) -> Change:
    return lambda setup: [each(setup) for each in changes]


def without(part: Callable[[Setup], Any], key: str) -> Change:
    return lambda setup: part(setup).pop(key)


def endpoint(**fields: Any) -> Change:
    return lambda setup: setup["PodMonitor"]["spec"]["podMetricsEndpoints"][0].update(fields)


def scraped_by(jobs: str, rules: dict[str, Any] | None = None, **intervals: str) -> Change:
    """Prometheus without an operator: a ConfigMap with its configuration, and with the rules if they are given."""

    def change(setup: Setup) -> None:
        del setup["PodMonitor"]
        data = {"prometheus.yml": f"global: {json.dumps(intervals)}\nscrape_configs: {jobs}\n"}
        if rules is not None:
            group = {**setup.pop("PrometheusRule")["spec"]["groups"][0], **rules}
            data["rules.yml"] = json.dumps({"groups": [{key: group[key] for key in group if group[key] is not None}]})
        metadata = {"name": "prometheus", "namespace": "monitoring"}
        setup["Prometheus"] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}

    return change


def adapter(text: str, instead: str) -> Change:
    def change(setup: Setup) -> None:
        data = setup["ConfigMap"]["data"]
        assert text in data["config.yaml"]
        data["config.yaml"] = data["config.yaml"].replace(text, instead)

    return change


def keda(**spec: Any) -> Change:
    """A ScaledObject instead of the HPA, with the chart's trigger of the ratio and a second one."""

    def change(setup: Setup) -> None:
        del setup["HorizontalPodAutoscaler"]
        trigger = {"type": "prometheus", "metricType": "Value"}
        metadata = {"serverAddress": "http://prometheus:9090", "ignoreNullValues": "false"}
        fields = {
            "scaleTargetRef": {"name": "llm"},
            "minReplicaCount": 2,
            "maxReplicaCount": 8,
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": copy.deepcopy(GOOD[1]["spec"]["behavior"])}},
            "triggers": [
                {**trigger, "metadata": {**metadata, "query": "avg(triton:queue_compute:ratio)", "threshold": "0.15"}},
                {**trigger, "metadata": {**metadata, "query": "avg(triton:busy:ratio)", "threshold": "0.8"}},
            ],
            **spec,
        }
        setup["ScaledObject"] = {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": {"name": "llm", "namespace": "serving"},
            "spec": fields,
        }

    return change


def trigger(number: int, metadata: dict[str, str], **fields: str) -> Change:
    def change(setup: Setup) -> None:
        changed = setup["ScaledObject"]["spec"]["triggers"][number]
        changed["metadata"].update(metadata)
        changed.update(fields)

    return change


def add(manifest: dict[str, Any], key: str = "Other") -> Change:
    return lambda setup: setup.__setitem__(key, manifest)


SECOND_HPA = {**copy.deepcopy(GOOD[1]), "metadata": {"name": "second", "namespace": "serving"}}
HEADLESS = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "headless", "namespace": "serving"},
    "spec": {"clusterIP": "None", "selector": {"app": "llm"}, "ports": [{"name": "grpc", "port": 8001}]},
}
GROUP = {
    "apiVersion": "leaderworkerset.x-k8s.io/v1",
    "kind": "LeaderWorkerSet",
    "metadata": {"name": "llm", "namespace": "serving"},
    "spec": {
        "leaderWorkerTemplate": {"size": 2, "workerTemplate": copy.deepcopy(GOOD[0]["spec"]["template"])},
        "rolloutStrategy": {"rollingUpdateConfiguration": {"maxSurge": 1, "maxUnavailable": 0}},
    },
}


def group(**rollout: Any) -> Change:
    """A LeaderWorkerSet instead of the Deployment."""

    def change(setup: Setup) -> None:
        del setup["Deployment"]
        setup["LeaderWorkerSet"] = copy.deepcopy(GROUP)
        setup["LeaderWorkerSet"]["spec"]["rolloutStrategy"]["rollingUpdateConfiguration"].update(rollout)
        hpa(setup)["scaleTargetRef"].update(apiVersion="leaderworkerset.x-k8s.io/v1", kind="LeaderWorkerSet")
        setup["Service"]["spec"]["selector"] = {"app": "llm"}

    return change
