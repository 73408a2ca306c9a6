"""`--target sandbox`, inside the sandbox: installs the chart in mode emulated, then proceeds as on any cluster."""

import contextlib
import os
import shutil
from dataclasses import replace

from loadgen.base.console import Say
from loadgen.base.errors import StackError
from loadgen.dataset.folder import RunFolder
from loadgen.kube.deploy import chart, helm
from loadgen.local.engine.profile import load_profile
from loadgen.sandbox import emulated
from loadgen.sandbox.commands import INSIDE, Sandbox
from loadgen.scenario.fleets import Kube
from loadgen.scenario.settings import Scenario
from loadgen.targets.cluster import RunningCluster, start_cluster
from loadgen.targets.info import TargetInfo
from loadgen.targets.local import autoscaler_info, compressions

EMULATED = (
    "The engine (its batching, KV cache and token times), the image pull and the engine load are emulated, and pods "
    "are processes of one machine; Triton with its queues and counters, Prometheus, the gateway, kube-proxy, the "
    "scheduler and the HPA controller are real."
)
NAME = "triton"
NAMESPACE = "triton"
_KUBE = Kube(
    namespace=NAMESPACE,
    workload=NAME,
    hpa=NAME,
    endpoint="ingress",
    prometheus="monitoring/prometheus:9090",
    # shorter than on a cluster: a sandbox gets no new nodes or images while it waits
    patience_s=10.0,
)


class SandboxTarget:
    """The bundled chart in mode emulated, on the sandbox that this process runs in."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario

    def info(self) -> TargetInfo:
        """The workload as the settings describe it."""
        local = self._scenario.local
        return TargetInfo(compressions=compressions(local, embedded=False), autoscaler=autoscaler_info(local))

    def start(self, folder: RunFolder, *, say: Say) -> "RunningSandbox":
        """Deploy the workload and wait until the autoscaler reads its metric.

        Raises:
            SettingsError: the scenario names a profile that does not exist.
            StackError: the workload does not become ready; the sentence says what the cluster reports.
        """
        name = os.environ.get(INSIDE)
        if name is None:
            raise StackError("--target sandbox is given on the command line, so that Locust itself can run inside")
        sandbox = Sandbox.named(name)
        try:
            _install(self._scenario, say)
            cluster = start_cluster(folder, self._scenario, _KUBE, say=say, strict=True)
        except BaseException:
            _copy_logs(folder, sandbox)
            raise
        return RunningSandbox(folder, sandbox, cluster, self.info())


class RunningSandbox:
    """The workload on a sandbox, observed from inside; the sandbox itself ends with the process that started it.

    Attributes:
        endpoint: Address and protocol that requests go to.
        info: The workload as it was discovered.
    """

    def __init__(self, folder: RunFolder, sandbox: Sandbox, cluster: RunningCluster, settings: TargetInfo) -> None:
        self._folder, self._sandbox, self._cluster = folder, sandbox, cluster
        self.endpoint = cluster.endpoint
        self.info = replace(cluster.info, emulated=EMULATED, compressions=settings.compressions)
        self.versions, self.state, self.failure = cluster.versions, cluster.state, cluster.failure

    def stop(self) -> None:
        """Stop observing, and copy the logs of the sandbox into the run folder."""
        self._cluster.stop()
        _copy_logs(self._folder, self._sandbox)


def _install(scenario: Scenario, say: Say) -> None:
    profile = load_profile(scenario.local.profile)
    say("installing the chart triton-trtllm in mode emulated")
    helm.install(NAME, NAMESPACE, chart.emulated_values(scenario.local, profile, name=NAME, tag=emulated.TAG))


def _copy_logs(folder: RunFolder, sandbox: Sandbox) -> None:
    with contextlib.suppress(OSError, shutil.Error):
        shutil.copytree(sandbox.folder / "logs", folder.logs / "sandbox", dirs_exist_ok=True)
