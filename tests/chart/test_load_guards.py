"""Values of the chart `loadgen` that contradict themselves are refused by a sentence, before anything is deployed."""

from typing import Any

import pytest

from support.charts.helm import LOADGEN, refusal, template

URL: dict[str, Any] = {"target": {"url": "grpc://llm.serving:8001"}}
NAMESPACE: dict[str, Any] = {"target": {"namespace": "serving"}}

REFUSED = {
    "no target": ({}, "no target: set target.namespace"),
    "two targets": ({"target": {**URL["target"], **NAMESPACE["target"]}}, "target.endpoint takes a URL"),
    **{
        f"a URL with {name}": (
            {"target": {**URL["target"], name: "http://p:9090" if name == "prometheus" else "llm"}},
            f"target.{name} belongs to a namespace",
        )
        for name in ("workload", "service", "hpa", "prometheus")
    },
    "two Locust files": (
        {**URL, "locustfile": {"content": "x", "configMap": {"name": "mine"}}},
        "keep the one that is to be run",
    ),
    "a flag of the chart's own": (
        {**URL, "extraArgs": ["--host=http://other:8000"]},
        "extraArgs has --host, which the chart sets itself: use target.url",
    ),
    "another mode": ({**URL, "extraArgs": ["--master"]}, "use workers.count"),
    "two volumes": ({**URL, "runs": {"claimName": "a", "create": {"enabled": True}}}, "keep one"),
    "workers without a volume": ({**URL, "workers": {"count": 2}}, "set runs.claimName to a ReadWriteMany claim"),
    "workers with a disk of one node": (
        {**URL, "workers": {"count": 2}, "runs": {"create": {"enabled": True}}},
        "runs.create with accessModes [ReadWriteMany]",
    ),
    "a way in that only the master has": (
        {
            "target": {"namespace": "serving", "endpoint": "forward"},
            "workers": {"count": 2},
            "runs": {"claimName": "runs"},
        },
        "target.endpoint forward ends in the master's pod",
    ),
    "nights that nobody keeps": ({**URL, "kind": "CronJob"}, "would go with its pod"),
    "a web UI that keeps": (
        {**URL, "kind": "Deployment", "runs": {"keepUrl": "s3://bucket/runs"}},
        "use kind Job or CronJob",
    ),
    "rights for everybody": (
        {**NAMESPACE, "serviceAccount": {"create": False}},
        "which every pod of this namespace has",
    ),
    "a way to a Prometheus that nobody asks": (
        {**URL, "rbac": {"proxyNamespaces": ["monitoring"]}},
        "rbac.proxyNamespaces is for a Prometheus of target.prometheus",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_contradiction_is_refused(case: str) -> None:
    """Every guard fires, with what to do."""
    values, words = REFUSED[case]
    assert words in refusal(values, chart=LOADGEN)


def test_every_kind_is_guarded() -> None:
    """The guards do not hang on the kind that the first of them was written for."""
    for kind in ("Job", "CronJob", "Deployment"):
        assert "no target" in refusal({"kind": kind}, chart=LOADGEN)


SCHEMA = {
    "unknown value": ({"users": 10}, "users"),
    "unknown value deep down": ({"target": {"deployment": "llm"}}, "deployment"),
    "unknown kind": ({"kind": "DaemonSet"}, "kind"),
    "latest": ({"image": {"tag": "latest"}}, "tag"),
    "a word for a number": ({"workers": {"count": "two"}}, "count"),
    "a URL of no protocol": ({"target": {"url": "llm:8001"}}, "url"),
    "a URL with a password": ({"target": {"url": "http://user:word@llm:8000"}}, "url"),
    "an unknown way in": ({"target": {"endpoint": "gateway"}}, "endpoint"),
    "no program of Locust": ({"locustfile": {"path": "waves.py; rm -rf /runs"}}, "path"),
    "no place to keep": ({"runs": {"keepUrl": "bucket/runs"}}, "keepUrl"),
    "no schedule": ({"cron": {"schedule": "nightly"}}, "schedule"),
    "a Service that leaves the cluster": ({"service": {"type": "LoadBalancer"}}, "service"),
}


@pytest.mark.parametrize("case", SCHEMA)
def test_the_schema_is_strict(case: str) -> None:
    """What is misspelt or of the wrong kind is refused by name."""
    wrong, name = SCHEMA[case]
    assert name in refusal({**URL, **wrong}, chart=LOADGEN)


def test_an_older_kubernetes_is_refused() -> None:
    """Workers end with their master by the Job's success policy, which came with 1.31."""
    assert "1.30" in refusal(URL, "--kube-version=1.30.0", chart=LOADGEN)
    assert "kind: Job" in template(URL, "--kube-version=1.31.0", chart=LOADGEN)
