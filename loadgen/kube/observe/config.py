"""What the observer of a cluster is started with."""

from pydantic import BaseModel


class ObserverConfig(BaseModel):
    """What to watch, and the addresses that the run folder must know.

    Attributes:
        context: Context of the kubeconfig; None for the current one.
        kind: `Deployment` or `LeaderWorkerSet`.
        namespace: Where everything is.
        workload: Name of the workload.
        hpa: Name of its autoscaler, if it has one.
        metric: Name of the metric whose value is told of each of its passes; None for its first.
        selector: Label selector of the serving pods.
        unread: Resources that may not be read.
        skew_s: By how much the API server's clock is ahead of ours.
        http_port: Port of HTTP on every pod.
        grpc_port: Port of gRPC on every pod.
        pod_url: URL of a pod's /metrics, with `{ip}` and `{pod}` to be filled in; None where it cannot be read.
        gateway: `host:port` of the one entry.
        prometheus: Base URL of Prometheus.
        custom_metrics: URL at which the custom-metrics API says what the autoscaler reads.
        model: Model driven.
        versions: Version of each program.
    """

    context: str | None = None
    kind: str = "Deployment"
    namespace: str
    workload: str
    hpa: str | None = None
    metric: str | None = None
    selector: str
    unread: list[str] = []
    skew_s: float = 0.0
    http_port: int = 8000
    grpc_port: int = 8001
    pod_url: str | None = "http://{ip}:8002/metrics"
    gateway: str | None = None
    prometheus: str | None = None
    custom_metrics: str | None = None
    model: str
    versions: dict[str, str] = {}
