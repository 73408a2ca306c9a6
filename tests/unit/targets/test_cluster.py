"""What `run.json` records of a workload that was discovered on a cluster."""

from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from loadgen.dataset.run_info import Autoscaler, ClusterInfo
from loadgen.kube.client.api import Skew
from loadgen.kube.discover.access_paths import AccessPath
from loadgen.kube.discover.autoscaler import ScalingMetric
from loadgen.kube.discover.discovery import ClusterDiscovery, Signals
from loadgen.kube.discover.metrics_api import MetricsUrls
from loadgen.kube.discover.workload import ScaledWorkload
from loadgen.targets.cluster import info_of
from support.kube.workloads import WORKLOAD, service

RATIO = "triton:queue_compute:ratio"
SCALER = Autoscaler(
    metric=RATIO,
    target=1.0,
    min_replicas=1,
    max_replicas=4,
    sync_period_s=15,
    rate_window_s=60,
    scrape_interval_s=5,
    scale_down_window_s=300,
)
SPEC = {
    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "t"},
    "maxReplicas": 4,
    "metrics": [{"type": "Pods", "pods": {"metric": {"name": RATIO}, "target": {"averageValue": "1"}}}],
    "behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}]}},
}
HPA: dict[str, Any] = {
    "metadata": {"name": "h", "namespace": "llm", "managedFields": [{"manager": "helm"}]},
    "spec": SPEC,
    "status": {"currentReplicas": 1},
}


def discovery(hpa: dict[str, Any] | None) -> ClusterDiscovery:
    return ClusterDiscovery(
        context="prod",
        scaled=ScaledWorkload(workload=WORKLOAD, hpa=hpa, service=service("svc", {})),
        access=AccessPath(kind="ingress", address="10.0.0.7:80", balances="requests"),
        signals=Signals(
            metric=ScalingMetric(RATIO, RATIO, "1") if hpa else None,
            autoscaler=SCALER if hpa else None,
            prometheus=None,
            pod_metrics=None,
            custom_metrics=None,
            use=MetricsUrls(),
            versions={"kubernetes": "1.33"},
        ),
        skews={"kubernetes": Skew(0.123456, 0.01)},
        missing=("no Prometheus",),
        assumptions=("15 s",),
    )


def test_everything_discovered_is_recorded() -> None:
    """The HPA with its whole specification, the endpoint, the clocks, what is missing and what was assumed."""
    info = info_of(discovery(HPA))
    assert (info.autoscaler, info.emulated, info.scrape_gap_s) == (SCALER, None, 15.0)
    assert info.cluster == ClusterInfo(
        context="prod",
        namespace="llm",
        kind="Deployment",
        workload="t",
        hpa="h",
        hpa_manifest={
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "h", "namespace": "llm"},
            "spec": SPEC,
        },
        service="svc",
        endpoint="ingress 10.0.0.7:80",
        balances="requests",
        lacking=("no Prometheus",),
        assumed=("15 s",),
        skew_s={"kubernetes": 0.1235},
        skew_error_s={"kubernetes": 0.01},
    )


def test_a_workload_without_an_hpa() -> None:
    """There is no manifest, and nothing to judge."""
    info = info_of(discovery(None))
    assert info.cluster is not None
    assert (info.autoscaler, info.cluster.hpa, info.cluster.hpa_manifest) == (None, None, None)


def test_older_run_folders_have_no_manifest() -> None:
    """A folder that was written before the field existed is still read."""
    cluster = info_of(discovery(HPA)).cluster
    assert cluster is not None
    older = {name: value for name, value in asdict(cluster).items() if name != "hpa_manifest"}
    assert TypeAdapter(ClusterInfo).validate_python(older).hpa_manifest is None
