"""Defines the configuration file of the observer."""

from pydantic import BaseModel


class ObserverConfig(BaseModel):
    """The resources to watch, and the addresses to record in the run folder.

    Attributes:
        context: Context of the kubeconfig; None for the current one.
        kind: `Deployment` or `LeaderWorkerSet`.
        namespace: Namespace of the workload.
        workload: Name of the workload.
        hpa: Name of its HPA, if it has one.
        metric: Name of the HPA's metric whose value is recorded; None for its first metric.
        selector: Label selector of the serving pods.
        forbidden: Resources that the account may not read.
        skew_s: How far the API server's clock is ahead of this machine's.
        http_port: HTTP port of every pod.
        grpc_port: gRPC port of every pod.
        pod_url: URL of a pod's /metrics with the placeholders `{ip}` and `{pod}`; None where it cannot be read.
        gateway: `host:port` that requests go to.
        prometheus: Base URL of Prometheus.
        custom_metrics: URL of the HPA's metric in the custom-metrics API.
        node_use: URL of the nodes in the metrics API.
        replica_use: URL of the replicas in the metrics API.
        model: Model under load.
        versions: Version of each program.
    """

    context: str | None = None
    kind: str = "Deployment"
    namespace: str
    workload: str
    hpa: str | None = None
    metric: str | None = None
    selector: str
    forbidden: list[str] = []
    skew_s: float = 0.0
    http_port: int = 8000
    grpc_port: int = 8001
    pod_url: str | None = "http://{ip}:8002/metrics"
    gateway: str | None = None
    prometheus: str | None = None
    custom_metrics: str | None = None
    node_use: str | None = None
    replica_use: str | None = None
    model: str
    versions: dict[str, str] = {}
