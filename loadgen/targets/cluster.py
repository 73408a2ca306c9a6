"""`--target kube`: discovers a workload on a cluster, waits until it is ready, and observes it.

workload, HPA, Service, permissions ▸ ready ▸ endpoint ▸ Prometheus, clocks ▸ observer
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from loadgen.base.console import Say
from loadgen.base.errors import StackError, TargetError
from loadgen.base.processes import Child
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.run_info import ClusterInfo
from loadgen.dataset.stack import DEFAULT_MODEL, StackFolder, StackState
from loadgen.kube.client.api import Api, Skew
from loadgen.kube.deploy.readiness import wait_for_hpa_metric, wait_until_ready
from loadgen.kube.deploy.release import deploy
from loadgen.kube.deploy.values import read_values
from loadgen.kube.discover import prometheus
from loadgen.kube.discover.access_paths import AccessPath
from loadgen.kube.discover.autoscaler import ScalingMetric, manifest_of
from loadgen.kube.discover.discovery import ClusterDiscovery, Signals
from loadgen.kube.discover.endpoint import discover_access_path
from loadgen.kube.discover.result import Discovered
from loadgen.kube.discover.sources import Sources
from loadgen.kube.discover.workload import ScaledWorkload, discover_workload
from loadgen.kube.objects.workload import Workload
from loadgen.kube.observe.config import ObserverConfig
from loadgen.kube.proxy.forward import ForwardConfig
from loadgen.kube.proxy.process import STOP_S, read_port, start_process, wait_for_file
from loadgen.protocols.endpoint import Endpoint
from loadgen.scenario.fleets import Kube
from loadgen.scenario.settings import Scenario
from loadgen.targets.info import TargetInfo

EMULATED = (
    "The engine (its batching, KV cache and token times) and its load are emulated by the chart; Triton with its "
    "queues and counters, and everything else on the cluster, are real."
)
_ROUTED_WITHIN_S = 30.0
"""How long a gateway may take to route requests to a ready replica."""


class ClusterTarget:
    """The workload on a cluster that the settings `kube` name."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario

    def info(self) -> TargetInfo:
        """Empty: the workload is discovered when the target starts."""
        return TargetInfo()

    def start(self, folder: RunFolder, *, say: Say) -> "RunningCluster":
        """Discover and observe the workload, as `start_cluster` does."""
        return start_cluster(folder, self._scenario, self._scenario.kube, say=say)


class RunningCluster:
    """A workload on a cluster while a run sends load to it.

    Attributes:
        endpoint: Address and protocol that requests go to.
        info: The workload as it was discovered.
    """

    def __init__(self, folder: RunFolder, endpoint: Endpoint, info: TargetInfo, children: Sequence[Child]) -> None:
        self.endpoint, self.info = endpoint, info
        self._record = StackFolder(folder.path)
        self._children = children

    def versions(self, server: str) -> Mapping[str, str]:
        """Versions of the cluster's programs, and of the server as it reports it."""
        return {**self.state().versions, "server": server}

    def state(self) -> StackState:
        """Replicas and autoscaler at this moment.

        Raises:
            StackError: the record of the state is missing.
        """
        return self._record.read()

    def failure(self) -> str | None:
        """Reason why the run cannot go on, as a sentence; failing pods are a result of the run, not a reason."""
        for child in self._children:
            if (code := child.poll()) is not None:
                return f"the {child.log.stem} of the cluster ended by itself (exit code {code}): read {child.log}"
        return None

    def stop(self) -> None:
        """Stop observing, and close every connection; the workload stays as it is."""
        for child in self._children:
            child.stop(STOP_S)


def start_cluster(
    folder: RunFolder,
    scenario: Scenario,
    kube: Kube,
    *,
    say: Say,
    strict: bool = False,
) -> RunningCluster:
    """Discover the workload that the settings name, wait until it is ready, and observe it.

    Args:
        folder: Run folder.
        scenario: Scenario of the run.
        kube: Settings that name the workload.
        say: Receives progress, one sentence at a time.
        strict: Whether an HPA that cannot read its metric is an error, too.

    Raises:
        TargetError: the workload does not exist, is ambiguous, or may not be read.
        StackError: the workload does not become ready; the sentence says what the cluster reports.
    """
    deployed = kube.deploy is not None
    if kube.deploy is not None:
        kube = deploy(kube, read_values(kube.deploy), say=say)
    api = Api(kube.context)
    workload = discover_workload(api, kube)
    _report_workload(api, workload.value, say)
    fresh = _wait_for_replicas(api, workload.value, say, kube.patience_s) or deployed
    with ExitStack() as started:
        children: list[Child] = []

        def stop_on_error(child: Child) -> Child:
            started.callback(child.stop, STOP_S)
            children.append(child)
            return child

        discovery = _discover(folder, scenario, api, kube, workload, stop_on_error, say, fresh=fresh, strict=strict)
        observer = stop_on_error(start_process(folder, "observe.observer", _observer_config(discovery, scenario)))
        wait_for_file(observer, StackFolder(folder.path).state_file)
        for sentence in (*discovery.missing, *discovery.assumptions):
            say(sentence)
        started.pop_all()
    return RunningCluster(folder, discovery.access.endpoint(scenario.wire), info_of(discovery), children[::-1])


def _discover(
    folder: RunFolder,
    scenario: Scenario,
    api: Api,
    kube: Kube,
    workload: Discovered[ScaledWorkload],
    stop_on_error: Callable[[Child], Child],
    say: Say,
    *,
    fresh: bool,
    strict: bool,
) -> ClusterDiscovery:
    """Discover the access path and the signals of a ready workload; `missing` and `assumptions` cover all steps."""
    scaled = workload.value
    within_s = _ROUTED_WITHIN_S if fresh or kube.endpoint != "auto" else 0.0
    access = discover_access_path(api, scaled, scenario, kube.endpoint, within_s=within_s, say=say)
    path = access.value
    if path.kind == "forward":
        path = _open_forward(folder, scenario, api, scaled.workload, stop_on_error)
    say(f"requests go through {path}{': all to one pod' if path.kind == 'forward' else ''}")
    sources = Sources(folder, api, kube, scaled)
    stop_on_error(sources.relay)
    metric_wait = _wait_for_metric(api, scaled, sources.metric.value, say, strict=strict)
    autoscaler = sources.autoscaler()
    skews = {"kubernetes": api.skew(), "prometheus": _prometheus_skew(sources.prometheus.value)}
    pod_metrics, custom_metrics, use = sources.pod_metrics(), sources.custom_metrics(), sources.metrics_api()
    results: tuple[Discovered[Any], ...] = (
        workload,
        access,
        sources.metric,
        sources.prometheus,
        metric_wait,
        autoscaler,
        pod_metrics,
        custom_metrics,
        use,
    )
    return ClusterDiscovery(
        context=api.context,
        scaled=scaled,
        access=path,
        signals=Signals(
            metric=sources.metric.value,
            autoscaler=autoscaler.value,
            prometheus=sources.prometheus.value,
            pod_metrics=pod_metrics.value,
            custom_metrics=custom_metrics.value,
            use=use.value,
            versions=sources.versions(),
        ),
        skews={name: skew for name, skew in skews.items() if skew is not None},
        missing=tuple(sentence for result in results for sentence in result.missing),
        assumptions=tuple(sentence for result in results for sentence in result.assumptions),
    )


def _report_workload(api: Api, scaled: ScaledWorkload, say: Say) -> None:
    hpa = f"scaled by the HPA {scaled.hpa_name}" if scaled.hpa else "not scaled by an HPA"
    say(f"{scaled.workload} of context {api.context}, {hpa}")


def _wait_for_replicas(api: Api, scaled: ScaledWorkload, say: Say, patience_s: float) -> bool:
    """Wait until the minimum number of replicas is ready; return whether a wait was necessary."""
    workload, hpa = scaled.workload, scaled.hpa
    if workload.replicas == 0:
        raise TargetError(
            f"{workload} is scaled to zero, so its model cannot be found: send it a request, or scale it to 1, and "
            "run again"
        )
    min_replicas = max(1, hpa["spec"].get("minReplicas", 1) if hpa else 1)
    return wait_until_ready(api, workload, min_replicas, say=say, patience_s=patience_s)


def _open_forward(
    folder: RunFolder, scenario: Scenario, api: Api, workload: Workload, stop_on_error: Callable[[Child], Child]
) -> AccessPath:
    file = folder.path / "stack" / "forward.port"
    config = ForwardConfig(
        context=api.context,
        namespace=workload.namespace,
        selector=workload.selector,
        port=workload.grpc if scenario.wire == "grpc" else workload.http,
        port_file=file.resolve(),
    )
    child = stop_on_error(start_process(folder, "proxy.forward", config))
    return AccessPath(kind="forward", address=f"127.0.0.1:{read_port(child, file)}", balances="one pod")


def _wait_for_metric(
    api: Api, scaled: ScaledWorkload, metric: ScalingMetric | None, say: Say, *, strict: bool
) -> Discovered[None]:
    """Wait until the HPA has read its metric: by then its recording rule and scrapes exist, too."""
    if scaled.hpa_name is None or metric is None:
        return Discovered(None)
    reason = wait_for_hpa_metric(api, scaled.workload.namespace, scaled.hpa_name, metric.name, say=say)
    if reason and strict:
        raise StackError(reason)
    return Discovered(None, missing=(f"{reason}; the run continued without it",) if reason else ())


def _prometheus_skew(url: str | None) -> Skew | None:
    return prometheus.skew(url) if url else None


def _observer_config(discovery: ClusterDiscovery, scenario: Scenario) -> ObserverConfig:
    scaled, signals = discovery.scaled, discovery.signals
    workload = scaled.workload
    return ObserverConfig(
        context=discovery.context,
        kind=workload.kind,
        namespace=workload.namespace,
        workload=workload.name,
        hpa=scaled.hpa_name,
        metric=signals.metric.name if signals.metric else None,
        selector=workload.selector,
        forbidden=[right.resource for right in scaled.missing_permissions],
        skew_s=discovery.skews["kubernetes"].ahead_s if "kubernetes" in discovery.skews else 0.0,
        http_port=workload.http,
        grpc_port=workload.grpc,
        pod_url=signals.pod_metrics,
        gateway=discovery.access.address,
        prometheus=signals.prometheus,
        custom_metrics=signals.custom_metrics,
        node_use=signals.use.nodes,
        replica_use=signals.use.replicas,
        model=scenario.model or DEFAULT_MODEL,
        versions=dict(signals.versions),
    )


def info_of(discovery: ClusterDiscovery) -> TargetInfo:
    """Return what `run.json` records about a discovered workload."""
    scaled = discovery.scaled
    cluster = ClusterInfo(
        context=discovery.context,
        namespace=scaled.workload.namespace,
        kind=scaled.workload.kind,
        workload=scaled.workload.name,
        hpa=scaled.hpa_name,
        hpa_manifest=manifest_of(scaled.hpa) if scaled.hpa else None,
        service=scaled.service["metadata"]["name"] if scaled.service else None,
        endpoint=str(discovery.access),
        balances=discovery.access.balances,
        lacking=discovery.missing,
        assumed=discovery.assumptions,
        skew_s={name: round(skew.ahead_s, 4) for name, skew in discovery.skews.items()},
        skew_error_s={name: round(skew.error_s, 4) for name, skew in discovery.skews.items()},
        gpus_per_replica=scaled.workload.gpus,
    )
    emulated = EMULATED if scaled.workload.emulated else None
    return TargetInfo(emulated=emulated, autoscaler=discovery.signals.autoscaler, cluster=cluster)
