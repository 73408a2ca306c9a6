"""Pitfalls in manifests of other shapes than the good setup: each is found with its evidence, and nothing else is."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadgen.lint.lint import lint
from loadgen.lint.manifests import read_input
from loadgen.lint.objects import read_objects
from support.lint.changes import BLS, COMPUTE, GOOD, QUEUE

Documents = list[dict[str, Any]]
Found = set[tuple[str, str, str]]
"""Code, kind and field of each pitfall."""


def of(documents: Documents, kind: str) -> dict[str, Any]:
    return next(each for each in documents if each["kind"] == kind)


def found(path: Path, text: str) -> Found:
    """The pitfalls of a file; each has its evidence, what it does and how to mend it."""
    path.write_text(text)
    pitfalls = lint(read_objects(read_input(str(path)).manifests)).pitfalls
    assert all(each.value and each.declared.consequence and each.declared.fix for each in pitfalls)
    return {(each.declared.code, each.kind, each.field) for each in pitfalls}


def rules_in_config_map(documents: Documents, spec: dict[str, Any], *, as_json: bool = False) -> None:
    """The rule file of a Prometheus without an operator, beside another file of its configuration."""
    text = json.dumps(spec) if as_json else yaml.safe_dump(spec)
    data = {"prometheus.yml": "global: {scrape_interval: 5s}\n", "recording.rules.yml": text}
    place = documents.index(of(documents, "PrometheusRule"))
    metadata = {"name": "prometheus-server", "namespace": "monitoring"}
    documents[place] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def interval_in_minutes(documents: Documents) -> None:
    of(documents, "PodMonitor")["spec"]["podMetricsEndpoints"][0].update(interval="1m30s")


def old_version(documents: Documents) -> None:
    scaler = of(documents, "HorizontalPodAutoscaler")
    scaler["apiVersion"] = "autoscaling/v2beta2"
    scaler["spec"]["metrics"][0]["pods"]["target"]["averageValue"] = 1
    del scaler["spec"]["behavior"]


def first_version(documents: Documents) -> None:
    """Every kind of metric as autoscaling/v2beta1 has it: targets beside names."""
    scaler = of(documents, "HorizontalPodAutoscaler")
    scaler["apiVersion"] = "autoscaling/v2beta1"
    service = {"apiVersion": "v1", "kind": "Service", "name": "llm"}
    scaler["spec"]["metrics"] = [
        {"type": "Pods", "pods": {"metricName": "triton:queue_compute:ratio", "targetAverageValue": "1000m"}},
        {"type": "Object", "object": {"target": service, "metricName": "triton:busy:ratio", "averageValue": "800m"}},
        {"type": "External", "external": {"metricName": "triton:busy:ratio", "targetValue": "800m"}},
        {"type": "Resource", "resource": {"name": "cpu", "targetAverageUtilization": 80}},
    ]


def adapter_in_json(documents: Documents) -> None:
    config = of(documents, "ConfigMap")
    rules = yaml.safe_load(config["data"]["config.yaml"])
    rules["rules"][0]["resources"] = {"overrides": {"pod": {"resource": "pod"}}}
    config["data"]["config.yaml"] = json.dumps(rules)


def rules_of_models(documents: Documents) -> None:
    spec = copy.deepcopy(of(documents, "PrometheusRule")["spec"])
    spec["groups"][0]["interval"] = "1m"
    spec["groups"][0]["rules"][0]["expr"] = f"rate({QUEUE}[30s]) / clamp_min(rate({COMPUTE}[30s]), 1)"
    rules_in_config_map(documents, spec)


def unrecorded(documents: Documents) -> None:
    spec = copy.deepcopy(of(documents, "PrometheusRule")["spec"])
    spec["groups"][0]["rules"][0]["record"] = "triton:queue_to_compute:ratio"
    rules_in_config_map(documents, spec, as_json=True)


def scaled_object(documents: Documents) -> None:
    query = f"sum(rate({QUEUE}{{{BLS}}}[30s])) / clamp_min(sum(rate({COMPUTE}{{{BLS}}}[30s])), 1)"
    metadata = {"serverAddress": "http://prometheus:9090", "query": query, "threshold": "0.2"}
    spec = {
        "scaleTargetRef": {"name": "llm"},
        "minReplicaCount": 2,
        "maxReplicaCount": 8,
        "triggers": [{"type": "prometheus", "metadata": metadata}],
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"selectPolicy": "Disabled"}}}},
    }
    scaler = of(documents, "HorizontalPodAutoscaler")
    documents[documents.index(scaler)] = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": scaler["metadata"],
        "spec": spec,
    }


def replicas(documents: Documents) -> None:
    of(documents, "Deployment")["spec"]["replicas"] = 2


def tcp_probes(documents: Documents) -> None:
    server = of(documents, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        del server[probe]["httpGet"]
        server[probe]["tcpSocket"] = {"port": 8000}


def no_grace(documents: Documents) -> None:
    of(documents, "Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 0


def service_monitor(documents: Documents) -> None:
    """It scrapes a port that the Service does not have; its interval in milliseconds is short enough."""
    monitor = of(documents, "PodMonitor")
    endpoint = {"port": "metrics", "interval": "5000ms"}
    monitor.update(kind="ServiceMonitor", spec={"selector": {"matchLabels": {"app": "llm"}}, "endpoints": [endpoint]})


_SERVER, _RULE, _SCALER = "Deployment", "ConfigMap", "HorizontalPodAutoscaler"
_GROUP = "data[recording.rules.yml].groups[0]"
_POD = "spec.template.spec"
CASES: dict[str, tuple[Callable[[Documents], None], Found]] = {
    "an interval in minutes and seconds": (
        interval_in_minutes,
        {
            ("query.window_empty", "PrometheusRule", "spec.groups[0].rules[0].expr"),
            ("query.window_empty", "PrometheusRule", "spec.groups[0].rules[1].expr"),
            ("monitor.slow", "PodMonitor", "spec.podMetricsEndpoints[0].interval"),
        },
    ),
    "an HPA of an old version": (
        old_version,
        {
            ("hpa.version", _SCALER, "apiVersion"),
            ("metric.target_default", _SCALER, "spec.metrics[0]"),
            ("hpa.no_behavior", _SCALER, "spec.behavior"),
        },
    ),
    "an HPA of the first version with several metrics": (
        first_version,
        {
            ("hpa.version", _SCALER, "apiVersion"),
            ("metric.target_default", _SCALER, "spec.metrics[0]"),
            ("metric.ratio_divided", _SCALER, "spec.metrics[1].object.target"),
            ("metric.external_sum", _SCALER, "spec.metrics[2].external.target"),
            ("metric.cpu", _SCALER, "spec.metrics[3]"),
        },
    ),
    "the adapter's configuration as JSON": (
        adapter_in_json,
        {("adapter.resources", "ConfigMap", "data[config.yaml].rules[0].resources")},
    ),
    "rules in a ConfigMap": (
        rules_of_models,
        {("query.per_model", _RULE, f"{_GROUP}.rules[0].expr"), ("rule.interval", _RULE, f"{_GROUP}.interval")},
    ),
    "rules as JSON in a ConfigMap, with another name": (
        unrecorded,
        {
            ("metric.unrecorded", _SCALER, "spec.metrics[0]"),
        },
    ),
    "a ScaledObject": (
        scaled_object,
        {
            ("metric.ratio_divided", "ScaledObject", "spec.triggers[0]"),
            ("metric.ratio_only", "ScaledObject", "spec.triggers"),
            ("keda.null_as_zero", "ScaledObject", "spec.triggers[0].metadata.ignoreNullValues"),
            (
                "hpa.scale_down_disabled",
                "ScaledObject",
                "spec.advanced.horizontalPodAutoscalerConfig.behavior.scaleDown.selectPolicy",
            ),
        },
    ),
    "replicas beside an HPA": (replicas, {("autoscaler.replicas_field", _SERVER, "spec.replicas")}),
    "probes by TCP only": (
        tcp_probes,
        {
            ("probe.readiness_live", _SERVER, f"{_POD}.containers[0].readinessProbe"),
            ("probe.liveness_tcp", _SERVER, f"{_POD}.containers[0].livenessProbe"),
        },
    ),
    "no grace period": (no_grace, {("pod.grace_short", _SERVER, f"{_POD}.terminationGracePeriodSeconds")}),
    "a ServiceMonitor of a port that no Service has": (
        service_monitor,
        {("monitor.port", "ServiceMonitor", "spec.endpoints[0].port")},
    ),
}


@pytest.mark.parametrize("shape", ["documents", "list"])
@pytest.mark.parametrize(("change", "expected"), CASES.values(), ids=CASES)
def test_a_pitfall_in_another_shape(
    tmp_path: Path, change: Callable[[Documents], None], expected: Found, shape: str
) -> None:
    """As a file of several YAML documents, and as a List in JSON."""
    documents = copy.deepcopy(GOOD)
    change(documents)
    listed = {"apiVersion": "v1", "kind": "List", "items": documents}
    text = yaml.safe_dump_all(documents) if shape == "documents" else json.dumps(listed)
    assert found(tmp_path / "manifests.yaml", text) == expected


def test_rules_in_a_config_map_are_read_as_those_of_a_prometheus_rule(tmp_path: Path) -> None:
    """The good setup has no pitfall with them; a ConfigMap that only looks like them has no rules."""
    documents = copy.deepcopy(GOOD)
    rules_in_config_map(documents, of(documents, "PrometheusRule")["spec"])
    assert found(tmp_path / "good.yaml", yaml.safe_dump_all(documents)) == set()
    data = {"a": "groups: [record", "b": "groups: {record: x}", "c": "groups: [record, {rules: 7}]"}
    metadata = {"name": "other", "namespace": "monitoring"}
    documents.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    assert found(tmp_path / "good.yaml", yaml.safe_dump_all(documents)) == set()


ADAPTER = """
rules:
  default: false
  custom:
    - seriesQuery: triton:queue_compute:ratio
      resources: {overrides: {pod: {resource: pod}}}
"""


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("adapter-values.yaml", ADAPTER, ("adapter.resources", "data[adapter-values.yaml].rules.custom[0].resources")),
        (
            "prometheus.yml",
            "scrape_configs: [{job_name: pods, kubernetes_sd_configs: [{role: pod}]}]",
            ("scrape.slow", "data[prometheus.yml].scrape_configs[0].scrape_interval"),
        ),
    ],
)
def test_a_file_beside_the_manifests(tmp_path: Path, name: str, text: str, expected: tuple[str, str]) -> None:
    """The values of prometheus-adapter's chart, and `prometheus.yml`: files of a folder with the manifests."""
    documents = [each for each in GOOD if each["kind"] not in ("ConfigMap", "PodMonitor")]
    (tmp_path / "manifests.yaml").write_text(yaml.safe_dump_all(documents))
    (tmp_path / name).write_text(text)
    pitfalls = lint(read_objects(read_input(str(tmp_path)).manifests)).pitfalls
    assert expected in [(each.declared.code, each.field) for each in pitfalls if each.kind == "ConfigMap"]
