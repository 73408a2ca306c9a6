"""`--target kube`: a workload on a cluster, found, reached, observed.

It has the same face as the local stack: the run does not know which of the two it drives.

    workload, autoscaler, Service, rights ▸ ready ▸ endpoint ▸ Prometheus, clocks ▸ observer
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from loadgen.base.errors import StackError, TargetError
from loadgen.base.processes import Child
from loadgen.base.urls import parse_url
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.run_info import Autoscaler, ClusterInfo
from loadgen.dataset.stack import DRIVEN_MODEL, StackFolder, StackState
from loadgen.kube.client import permissions as rights
from loadgen.kube.client.api import Skew
from loadgen.kube.deploy.readiness import wait_for_hpa_metric, wait_until_ready
from loadgen.kube.deploy.release import deploy
from loadgen.kube.deploy.values import read_values
from loadgen.kube.discover import endpoint, prometheus
from loadgen.kube.discover.attach import Attached, attach
from loadgen.kube.discover.autoscaler import Held
from loadgen.kube.discover.endpoint import Way
from loadgen.kube.discover.sources import Sources
from loadgen.kube.observe.config import ObserverConfig
from loadgen.kube.proxy.forward import ForwardConfig
from loadgen.kube.proxy.process import STOP_S, read_port, start_process, wait_for_file
from loadgen.scenario.settings import Kube, Scenario

Say = Callable[[str], None]
Answers = Callable[[Way], bool]

EMULATED = (
    "The engine (its batching, KV cache and token times) and its load are emulated by the chart; Triton with its "
    "queues and counters, and everything of the cluster, are real."
)
STUCK_FOR_S = 600.0
"""How long a pod may be stuck before that is an error: a node or an image may still come."""

_ROUTED_WITHIN_S = 30.0
"""How long a gateway may take to send requests to a replica that is ready."""


class ClusterTarget:
    """A workload on a cluster while a run drives it.

    Attributes:
        endpoint: `host:port` that requests go to.
        tls: Whether they go encrypted.
        cluster: What `run.json` says of it.
        autoscaler: What drives the replica count; None where nothing does that a run could judge.
        emulated: What of it is emulated, as a sentence; None where nothing is.
    """

    def __init__(
        self,
        folder: RunFolder,
        way: Way,
        cluster: ClusterInfo,
        autoscaler: Autoscaler | None,
        emulated: str | None,
        children: Sequence[Child],
    ) -> None:
        self.endpoint, self.tls = way.address, way.tls
        self.cluster, self.autoscaler, self.emulated = cluster, autoscaler, emulated
        self._record = StackFolder(folder.path)
        self._children = children

    def state(self) -> StackState:
        """What stands at this moment."""
        return self._record.read()

    def failure(self) -> str | None:
        """Why a run cannot go on, as a sentence; pods and parts that die are what a run is there to see."""
        for child in self._children:
            if (code := child.poll()) is not None:
                return f"the {child.log.stem} of the cluster ended by itself (exit code {code}): read {child.log}"
        return None

    def stop(self) -> None:
        """Watch no more, and close every way; what runs on the cluster stays."""
        for child in self._children:
            child.stop(STOP_S)


def start_cluster(
    folder: RunFolder,
    scenario: Scenario,
    kube: Kube,
    *,
    answers: Answers,
    on_progress: Say,
    patience_s: float = STUCK_FOR_S,
    strict: bool = False,
) -> ClusterTarget:
    """Find what the settings mean, wait until it is ready, and observe it.

    Args:
        folder: The run's.
        scenario: What is run.
        kube: Which workload.
        answers: Whether a server answers at the end of a way.
        on_progress: Gets sentences on what is found and waited for.
        patience_s: How long a pod may be stuck before that is an error.
        strict: Whether an autoscaler that cannot read its metric is an error, too.

    Raises:
        TargetError: what is meant is not there, is ambiguous, or may not be read.
        StackError: it does not become ready; the sentence says what the cluster says of it.
    """
    fresh = kube.deploy is not None
    if kube.deploy is not None:
        kube = deploy(kube, read_values(kube.deploy), say=on_progress)
    found = attach(kube, on_progress)
    if found.workload.replicas == 0:
        raise TargetError(
            f"{found.workload} is scaled to zero, so nothing says which model it serves: send it a request, or scale "
            "it to 1, and run again"
        )
    least = found.hpa["spec"].get("minReplicas", 1) if found.hpa else 1
    fresh |= wait_until_ready(found.api, found.workload, max(1, least), say=on_progress, patience_s=patience_s)
    with ExitStack() as undo:
        children: list[Child] = []

        def kept(child: Child) -> Child:
            undo.callback(child.stop, STOP_S)
            children.append(child)
            return child

        way = _way(folder, scenario, found, kept, answers, on_progress, fresh=fresh)
        on_progress(f"requests go by {way}{': all to one pod' if way.kind == 'forward' else ''}")
        sources = Sources(folder, found)
        kept(sources.relay)
        _wait_for_signal(found, sources.held, on_progress, strict=strict)
        scaler = sources.autoscaler()
        skews = _skews(found, sources.prometheus)
        observed = _observed(found, sources, way, scenario, skews)
        observer = kept(start_process(folder, "observe.observer", observed))
        wait_for_file(observer, StackFolder(folder.path).state_file)
        for sentence in (*found.lacking, *found.assumed):
            on_progress(sentence)
        undo.pop_all()
    emulated = EMULATED if found.workload.emulated else None
    return ClusterTarget(folder, way, _info(found, way, skews), scaler, emulated, children[::-1])


def _way(
    folder: RunFolder,
    scenario: Scenario,
    found: Attached,
    kept: Callable[[Child], Child],
    answers: Answers,
    say: Say,
    *,
    fresh: bool,
) -> Way:
    wanted, workload = found.kube.endpoint, found.workload
    if "://" in wanted:
        url = parse_url(wanted, schemes=("http", "https", "grpc", "grpcs"), example="grpc://triton.example:80")
        tls = url.scheme.endswith("s")
        return Way(kind="url", address=url.address(443 if tls else 80), balances="unknown", tls=tls)

    def look() -> list[Way]:
        around = endpoint.surroundings(found.api, workload, found.service)
        return list(endpoint.ways(around, workload, scenario.wire))

    within_s = _ROUTED_WITHIN_S if fresh or wanted != "auto" else 0.0
    unseen: list[str] = []
    if wanted in ("auto", "ingress") and found.service is not None:
        _, unseen = rights.check(found.api, workload.namespace, rights.for_gateways(found.api, workload.namespace))
    try:
        way = endpoint.choose(look, wanted, answers, within_s=within_s, say=say)
    except TargetError as error:
        raise TargetError("; ".join([str(error), *unseen])) from error
    if way.kind != "ingress":
        found.lacking.extend(unseen)
    if way.kind != "forward":
        return way
    rights.check(found.api, workload.namespace, [rights.PORT_FORWARD])
    file = folder.path / "stack" / "forward.port"
    config = ForwardConfig(
        context=found.kube.context,
        namespace=workload.namespace,
        selector=workload.selector,
        port=workload.grpc if scenario.wire == "grpc" else workload.http,
        port_file=file.resolve(),
    )
    child = kept(start_process(folder, "proxy.forward", config))
    return Way(kind="forward", address=f"127.0.0.1:{read_port(child, file)}", balances="one pod")


def _wait_for_signal(found: Attached, held: Held | None, say: Say, *, strict: bool) -> None:
    """Wait until the autoscaler reads its metric, by which its rule and scrapes are there, too."""
    if found.hpa is None or held is None:
        return
    name = found.hpa["metadata"]["name"]
    blind = wait_for_hpa_metric(found.api, found.workload.namespace, name, held.named, say=say)
    if blind and strict:
        raise StackError(blind)
    if blind:
        found.lacking.append(f"{blind}; the run went on without")


def _skews(found: Attached, url: str | None) -> dict[str, Skew]:
    skews = {"kubernetes": found.api.skew(), "prometheus": prometheus.skew(url) if url else None}
    return {name: skew for name, skew in skews.items() if skew is not None}


def _observed(
    found: Attached,
    sources: Sources,
    way: Way,
    scenario: Scenario,
    skews: dict[str, Skew],
) -> ObserverConfig:
    workload = found.workload
    return ObserverConfig(
        context=found.kube.context,
        kind=workload.kind,
        namespace=workload.namespace,
        workload=workload.name,
        hpa=found.hpa["metadata"]["name"] if found.hpa else None,
        metric=sources.held.named if sources.held else None,
        selector=workload.selector,
        forbidden=[right.resource for right in found.missing],
        skew_s=skews["kubernetes"].ahead_s if "kubernetes" in skews else 0.0,
        http_port=workload.http,
        grpc_port=workload.grpc,
        pod_url=sources.metrics_page(),
        gateway=way.address,
        prometheus=sources.prometheus,
        custom_metrics=sources.custom_metrics(),
        model=scenario.model or DRIVEN_MODEL,
        versions=sources.versions(),
    )


def _info(found: Attached, way: Way, skews: dict[str, Skew]) -> ClusterInfo:
    return ClusterInfo(
        context=found.api.context,
        namespace=found.workload.namespace,
        kind=found.workload.kind,
        workload=found.workload.name,
        hpa=found.hpa["metadata"]["name"] if found.hpa else None,
        service=found.service["metadata"]["name"] if found.service else None,
        endpoint=str(way),
        balances=way.balances,
        lacking=tuple(found.lacking),
        assumed=tuple(found.assumed),
        skew_s={name: round(skew.ahead_s, 4) for name, skew in skews.items()},
        skew_error_s={name: round(skew.error_s, 4) for name, skew in skews.items()},
    )
