"""The sources of a workload's signals, with a played cluster API and the real relay process."""

import os
import subprocess
import sys
from typing import Any

import pytest
import requests

from loadgen.base.errors import CollectError, StackError
from loadgen.collect.custom_metrics import read
from loadgen.dataset.folder import RunFolder
from loadgen.kube.discover import prometheus
from loadgen.kube.discover.result import Discovered
from support.kube.keda_hpa import hpa_of
from support.servers.kubernetes_api import Server, files_containing
from support.servers.metrics import eventually, write_state

RATIO = "triton:queue_compute:ratio"
CUSTOM = "/apis/custom.metrics.k8s.io"


def pods_metric(name: str) -> dict[str, Any]:
    return {"type": "Pods", "pods": {"metric": {"name": name}, "target": {"averageValue": "1"}}}


def hpa(*metrics: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "h"}, "spec": {"maxReplicas": 4, "metrics": list(metrics)}}


def test_only_the_permission_for_the_judged_metric_is_needed(played: Server, sources_of: Any) -> None:
    """Other metrics of the HPA are not read; a name may have the separators of Stackdriver."""
    played.allowed |= {("get", "pods", f"a|{RATIO}|gauge")}
    sources = sources_of(hpa(pods_metric("other"), pods_metric(f"a|{RATIO}|gauge")))
    url = sources.custom_metrics().value
    assert url is not None
    played.pages[f"{CUSTOM}/v1beta2/namespaces/llm/pods/*/a%7C{RATIO}%7Cgauge"] = {
        "items": [{"describedObject": {"name": "p"}, "value": "1500m"}]
    }
    values = requests.get(url, timeout=5).json()["items"]
    assert values[0]["value"] == "1500m"
    assert sources.custom_metrics().missing == ()
    played.allowed.clear()
    refused = sources.custom_metrics()
    assert refused.value is None
    (sentence,) = refused.missing
    assert f"permissions: get on pods/a|{RATIO}|gauge.custom.metrics.k8s.io in namespace llm (" in sentence


@pytest.mark.usefixtures("no_relay")
def test_the_metric_of_keda_is_read_from_its_scaled_object(
    played: Server, sources_of: Any, scaled: dict[str, Any]
) -> None:
    """Nothing is reported missing in the custom-metrics API, which KEDA does not use."""
    played.allowed |= {("get", "scaledobjects", "")}
    played.pages["/apis/keda.sh/v1alpha1/namespaces/llm/scaledobjects/demo-triton-trtllm"] = scaled
    del played.pages[CUSTOM]
    sources = sources_of(hpa_of(scaled))
    assert (sources.metric.value.series, sources.metric.value.name) == (RATIO, "s0-prometheus")
    assert sources.custom_metrics() == Discovered(None)
    scaler = sources.autoscaler()
    assert (scaler.value.metric, scaler.value.target, scaler.value.max_replicas) == (RATIO, 1.0, 4)
    assert sources.metric.missing == scaler.missing == ()


@pytest.mark.usefixtures("no_relay")
def test_the_ratio_is_found_among_triggers_of_the_user(played: Server, sources_of: Any, idle: dict[str, Any]) -> None:
    """Of the ScaledObject with a cron, cpu and Kafka trigger; its fallback and its idle replicas are named."""
    played.allowed |= {("get", "scaledobjects", "")}
    played.pages["/apis/keda.sh/v1alpha1/namespaces/llm/scaledobjects/demo-triton-trtllm"] = idle
    found = sources_of(hpa_of(idle)).metric
    assert (found.value.series, found.value.name, found.missing) == (RATIO, "s0-prometheus", ())
    assert ["scales to zero" in found.assumptions[0], "a fallback of 3" in found.assumptions[1]] == [True, True]


@pytest.mark.usefixtures("no_relay")
@pytest.mark.parametrize("may", [True, False])
def test_an_hpa_of_keda_without_its_scaled_object_is_not_judged(
    played: Server,
    sources_of: Any,
    scaled: dict[str, Any],
    may: bool,
) -> None:
    """Each reason has its sentence: the object does not exist, or may not be read."""
    played.allowed |= {("get", "scaledobjects", "")} if may else set()
    sources = sources_of(hpa_of(scaled))
    assert sources.metric.value is None
    assert sources.autoscaler() == sources.custom_metrics() == Discovered(None)
    gone = "(there is no ScaledObject demo-triton-trtllm): its signal is not judged"
    right = "get on scaledobjects.keda.sh in namespace llm"
    lacks = f"missing RBAC permissions: {right} (the autoscaler's signal is not judged)"
    assert (gone in "".join(sources.metric.assumptions)) is may
    assert (lacks in sources.metric.missing) is not may


def test_a_response_that_is_not_json_is_reported(played: Server, sources_of: Any) -> None:
    """The sentence has its status and first line, not a parser's error."""
    played.raw["/api/v1/namespaces/mon/services/prom:80/proxy/api/v1/query"] = (502, b"Bad Gateway\nfrom nginx")
    found = sources_of(None, prometheus="mon/prom:80").prometheus
    assert found.value is None
    assert (
        "does not answer from here (Prometheus answers /api/v1/query with status 502: Bad Gateway);" in found.missing[0]
    )


def test_the_secret_of_the_relay_stays_in_the_stack_folder(played: Server, sources_of: Any, run_dir: RunFolder) -> None:
    """It is in no log and no message, even when metrics pages, Prometheus and metrics API fail behind the relay."""
    played.allowed |= {("get", "pods", "proxy"), ("get", "pods", RATIO)}
    played.raw["/api/v1/namespaces/mon/services/prom:80/proxy/api/v1/query"] = (502, b"Bad Gateway")
    sources = sources_of(hpa(pods_metric(RATIO)), prometheus="mon/prom:80")
    pod_metrics = sources.pod_metrics().value
    base = pod_metrics.partition("/api/")[0]
    secret = base.rpartition("/")[2]
    custom = sources.custom_metrics().value
    replicas = [{"name": "p", "phase": "ready", "metrics": pod_metrics.format(pod="p")}]
    write_state(run_dir, prometheus=f"{base}/api/v1/x", custom_metrics=custom, replicas=replicas)
    collect(run_dir, until="prometheus")
    sources.relay.stop(5)  # what is asked of it now is refused a connection, by other words of the libraries
    collect(run_dir, until="Connection refused")
    with pytest.raises(CollectError) as error:
        read(custom, run_dir.read_info().clock)
    with pytest.raises(StackError) as refused:
        prometheus.query(base, "/x")
    messages = [*sources.prometheus.missing, str(error.value), str(refused.value)]
    assert [each for each in messages if secret in each] == []
    assert {file.parent.name for file in files_containing(run_dir.path, secret)} == {"stack"}
    assert (run_dir.path / "stack").stat().st_mode & 0o077 == 0
    assert run_dir.logs.stat().st_mode & 0o077 == 0


def collect(run_dir: RunFolder, until: str) -> None:
    """Run the collector until a text appears in its log."""
    log = run_dir.logs / "collector.log"
    with log.open("ab") as into:
        command = [sys.executable, "-m", "loadgen.collect", "--period-s=0.2", str(run_dir.path)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=into, stderr=into, env=os.environ)
    try:
        eventually(lambda: until in log.read_text().lower() or until in log.read_text(), until, within_s=30)
    finally:
        process.communicate(timeout=30)
    assert "cannot be read" in log.read_text()
