"""The chart `loadgen` rejects contradictory values with a message that says what to change."""

from typing import Any

import pytest

from support.charts.helm import LOADGEN, rejection, template

URL: dict[str, Any] = {"target": {"url": "grpc://llm.serving:8001"}}
NAMESPACE: dict[str, Any] = {"target": {"namespace": "serving"}}

REJECTED = {
    "no target": ({}, "no target is set: set target.namespace"),
    "two targets": ({"target": {**URL["target"], **NAMESPACE["target"]}}, "target.endpoint accepts a URL"),
    **{
        f"a URL with {name}": (
            {"target": {**URL["target"], name: "http://p:9090" if name == "prometheus" else "llm"}},
            f"target.{name} needs a namespace",
        )
        for name in ("workload", "service", "hpa", "prometheus")
    },
    "two Locust files": (
        {**URL, "locustfile": {"content": "x", "configMap": {"name": "mine"}}},
        "locustfile.content and locustfile.configMap.name are both set: keep one",
    ),
    "a flag that the chart sets": (
        {**URL, "extraArgs": ["--host=http://other:8000"]},
        "extraArgs contains --host, which the chart sets: use target.url",
    ),
    "a flag for distributed mode": ({**URL, "extraArgs": ["--master"]}, "use workers.count"),
    "two volumes": ({**URL, "runs": {"claimName": "a", "create": {"enabled": True}}}, "keep one"),
    "workers without a volume": ({**URL, "workers": {"count": 2}}, "set runs.claimName to a ReadWriteMany claim"),
    "workers with a volume for one node": (
        {**URL, "workers": {"count": 2}, "runs": {"create": {"enabled": True}}},
        "runs.create with accessModes [ReadWriteMany]",
    ),
    "an endpoint that only the master can reach": (
        {
            "target": {"namespace": "serving", "endpoint": "forward"},
            "workers": {"count": 2},
            "runs": {"claimName": "runs"},
        },
        "target.endpoint forward opens a port in the master's pod",
    ),
    "a CronJob without storage": ({**URL, "kind": "CronJob"}, "would be lost with the pod"),
    "a web UI with runs.keepUrl": (
        {**URL, "kind": "Deployment", "runs": {"keepUrl": "s3://bucket/runs"}},
        "use kind Job or CronJob",
    ),
    "permissions for the default account": (
        {**NAMESPACE, "serviceAccount": {"create": False}},
        "which every pod of this namespace can use",
    ),
    "rules of a policy that is off": (
        {**URL, "networkPolicy": {"enabled": False, "egress": [{"ports": [{"port": 8001}]}]}},
        "set networkPolicy.enabled=true, or leave egress null",
    ),
    "no rule for the target": (
        {**URL, "networkPolicy": {"egress": []}},
        "must reach target.url grpc://llm.serving:8001: add a rule for it, or leave egress null",
    ),
    **{
        f"no rule for {name}": ({**NAMESPACE, **value, "networkPolicy": {"egress": []}}, f"must reach {name}")
        for name, value in {
            "target.endpoint ingress": {"target": {"namespace": "serving", "endpoint": "ingress"}},
            "target.prometheus http://p:9090": {"target": {"namespace": "serving", "prometheus": "http://p:9090"}},
            "runs.keepUrl s3://bucket/runs": {"runs": {"keepUrl": "s3://bucket/runs"}},
        }.items()
    },
    "proxyNamespaces with a URL": (
        {**URL, "rbac": {"proxyNamespaces": ["monitoring"]}},
        "rbac.proxyNamespaces is for the Prometheus of target.prometheus",
    ),
}


@pytest.mark.parametrize("case", REJECTED)
def test_contradictory_values_are_rejected(case: str) -> None:
    """Each guard fires, and its message says what to change."""
    values, message = REJECTED[case]
    assert message in rejection(values, chart=LOADGEN)


def test_guards_apply_to_every_kind() -> None:
    """Job, CronJob and Deployment alike."""
    for kind in ("Job", "CronJob", "Deployment"):
        assert "no target" in rejection({"kind": kind}, chart=LOADGEN)


SCHEMA = {
    "unknown value": ({"users": 10}, "users"),
    "unknown nested value": ({"target": {"deployment": "llm"}}, "deployment"),
    "unknown kind": ({"kind": "DaemonSet"}, "kind"),
    "latest": ({"image": {"tag": "latest"}}, "tag"),
    "a word instead of a number": ({"workers": {"count": "two"}}, "count"),
    "a URL without a protocol": ({"target": {"url": "llm:8001"}}, "url"),
    "a URL with a password": ({"target": {"url": "http://user:word@llm:8000"}}, "url"),
    "an unknown endpoint": ({"target": {"endpoint": "gateway"}}, "endpoint"),
    "a path with a shell command": ({"locustfile": {"path": "waves.py; rm -rf /runs"}}, "path"),
    "a storage URL without a protocol": ({"runs": {"keepUrl": "bucket/runs"}}, "keepUrl"),
    "an invalid schedule": ({"cron": {"schedule": "nightly"}}, "schedule"),
    "a Service of type LoadBalancer": ({"service": {"type": "LoadBalancer"}}, "service"),
}


@pytest.mark.parametrize("case", SCHEMA)
def test_the_schema_rejects_invalid_values(case: str) -> None:
    """The message names a value that is unknown or has the wrong type."""
    wrong, name = SCHEMA[case]
    assert name in rejection({**URL, **wrong}, chart=LOADGEN)


def test_kubernetes_before_1_31_is_rejected() -> None:
    """Workers end with their master by the Job's success policy, which exists since 1.31."""
    assert "1.30" in rejection(URL, "--kube-version=1.30.0", chart=LOADGEN)
    assert "kind: Job" in template(URL, "--kube-version=1.31.0", chart=LOADGEN)
