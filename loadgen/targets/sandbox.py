"""`--target sandbox`, inside the sandbox: installs the chart in mode emulated; from then on it is any cluster's."""

import contextlib
import os
import shutil
from collections.abc import Callable

from loadgen.base.errors import StackError
from loadgen.dataset.folder import RunFolder
from loadgen.kube.deploy import chart, helm
from loadgen.local.engine.profile import load_profile
from loadgen.sandbox import emulated
from loadgen.sandbox.commands import INSIDE, Sandbox
from loadgen.scenario.settings import Kube, Scenario
from loadgen.targets.cluster import Answers, ClusterTarget, start_cluster

Say = Callable[[str], None]

EMULATED = (
    "The engine (its batching, KV cache and token times), the image pull and the engine load are emulated, and pods "
    "are processes of one machine; Triton with its queues and counters, Prometheus, the gateway, kube-proxy, the "
    "scheduler and the HPA controller are real."
)
NAME = "triton"
NAMESPACE = "triton"
_KUBE = Kube(namespace=NAMESPACE, workload=NAME, hpa=NAME, endpoint="ingress", prometheus="monitoring/prometheus:9090")
_STUCK_FOR_S = 10.0
"""No node and no image comes to a sandbox by itself."""


class SandboxTarget:
    """The emulated Triton on a sandbox, observed from inside it; the sandbox goes with whoever started it."""

    def __init__(self, folder: RunFolder, sandbox: Sandbox, target: ClusterTarget) -> None:
        self._folder, self._sandbox, self._target = folder, sandbox, target
        self.endpoint, self.tls = target.endpoint, target.tls
        self.cluster, self.autoscaler, self.emulated = target.cluster, target.autoscaler, EMULATED
        self.state, self.failure = target.state, target.failure

    def stop(self) -> None:
        """Watch no more, and keep the logs of the sandbox."""
        self._target.stop()
        _keep_logs(self._folder, self._sandbox)


def start_workload(folder: RunFolder, scenario: Scenario, *, answers: Answers, on_progress: Say) -> SandboxTarget:
    """Deploy the emulated Triton of a scenario and wait until the autoscaler reads its metric.

    Raises:
        SettingsError: the scenario names a profile that is not there.
        StackError: it does not come up; the sentence says what the cluster says of it.
    """
    name = os.environ.get(INSIDE)
    if name is None:
        raise StackError("--target sandbox is given on the command line, so that Locust itself can run inside")
    sandbox = Sandbox.named(name)
    try:
        _install(scenario, on_progress)
        target = start_cluster(
            folder, scenario, _KUBE, answers=answers, on_progress=on_progress, patience_s=_STUCK_FOR_S, strict=True
        )
    except BaseException:
        _keep_logs(folder, sandbox)
        raise
    return SandboxTarget(folder, sandbox, target)


def _install(scenario: Scenario, on_progress: Say) -> None:
    profile = load_profile(scenario.local.profile)
    on_progress("installing the chart triton-trtllm in mode emulated")
    helm.install(NAME, NAMESPACE, chart.emulated_values(scenario.local, profile, name=NAME, tag=emulated.TAG))


def _keep_logs(folder: RunFolder, sandbox: Sandbox) -> None:
    with contextlib.suppress(OSError, shutil.Error):
        shutil.copytree(sandbox.folder / "logs", folder.logs / "sandbox", dirs_exist_ok=True)
