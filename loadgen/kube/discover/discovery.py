"""What a run discovers on a cluster: the workload, how to reach it, and where to read its signals."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from loadgen.dataset.run_info import Autoscaler
from loadgen.kube.client.api import Skew
from loadgen.kube.discover.access_paths import AccessPath
from loadgen.kube.discover.autoscaler import ScalingMetric
from loadgen.kube.discover.metrics_api import MetricsUrls
from loadgen.kube.discover.workload import ScaledWorkload


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """Where the signals of a workload are read, and how its autoscaler uses them.

    Attributes:
        metric: Metric that the HPA scales on; None without one that can be judged.
        autoscaler: Settings of the HPA with the timing of its metric; None where it cannot be judged.
        prometheus: Base URL of Prometheus; None where it cannot be read.
        pod_metrics: URL of a pod's /metrics with placeholders `{ip}` and `{pod}`; None where it cannot be read.
        custom_metrics: URL of the metric in the custom-metrics API; None where the HPA does not read it there.
        versions: Versions of Kubernetes and Prometheus.
        use: URLs of the use of CPU and memory by nodes and replicas.
    """

    metric: ScalingMetric | None
    autoscaler: Autoscaler | None
    prometheus: str | None
    pod_metrics: str | None
    custom_metrics: str | None
    versions: Mapping[str, str]
    use: MetricsUrls = field(default_factory=MetricsUrls)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterDiscovery:
    """Everything that was discovered of the workload under test.

    Attributes:
        context: Context of the kubeconfig.
        scaled: Workload, HPA and Service.
        access: How requests reach the workload.
        signals: Where its signals are read.
        skews: How far the clocks of the API server and of Prometheus are ahead, by name.
        missing: One sentence for each observation that the run has to do without.
        assumptions: One sentence for each setting that could not be read and was assumed.
    """

    context: str
    scaled: ScaledWorkload
    access: AccessPath
    signals: Signals
    skews: Mapping[str, Skew]
    missing: tuple[str, ...]
    assumptions: tuple[str, ...]
