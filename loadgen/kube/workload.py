"""`--target sandbox`, inside the sandbox: deploys the emulated Triton, watches it, and says where it is.

It has the same face as the local stack: the run does not know which of the two it drives.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from loadgen.dataset import RunFolder
from loadgen.errors import StackError
from loadgen.kube import chart
from loadgen.kube.observer import Observed
from loadgen.kube.sandbox import emulated
from loadgen.kube.sandbox.commands import INSIDE, Sandbox
from loadgen.kube.sandbox.config import SandboxConfig
from loadgen.kube.sandbox.images import table, write_images
from loadgen.kube.sandbox.programs import KUBERNETES_VERSION, PROMETHEUS_VERSION
from loadgen.kube.stuck import stuck
from loadgen.local.binaries import TRAEFIK_VERSION, find_tritonserver
from loadgen.local.engine.profile import load_profile
from loadgen.local.prometheus import RATIO_METRIC
from loadgen.local.state import DRIVEN_MODEL, StackFolder, StackState
from loadgen.processes import Child, spawn
from loadgen.settings import Scenario

Say = Callable[[str], None]

EMULATED = (
    "The engine (its batching, KV cache and token times), the image pull and the engine load are emulated, and pods "
    "are processes of one machine; Triton with its queues and counters, Prometheus, the gateway, kube-proxy, the "
    "scheduler and the HPA controller are real."
)
NAME = "triton"
NAMESPACE = "triton"
_READY_WITHIN_S = 300.0
_METRIC_WITHIN_S = 120.0
_POLL_S = 0.5
_STUCK_FOR_S = 10.0
_KUBECTL_TIMEOUT_S = 60.0
_STOP_S = 5.0


class Workload:
    """The emulated Triton on a sandbox, observed from inside it."""

    def __init__(self, folder: RunFolder, sandbox: Sandbox, observer: Child, endpoint: str) -> None:
        self.endpoint = endpoint
        self._folder, self._sandbox, self._observer = folder, sandbox, observer
        self._record = StackFolder(folder.path)

    def state(self) -> StackState:
        """What stands at this moment."""
        return self._record.read()

    def failure(self) -> str | None:
        """Why it cannot go on, as a sentence; pods and parts that die are what a run is there to see."""
        code = self._observer.poll()
        return (
            None
            if code is None
            else f"the observer of the cluster ended by itself (exit code {code}): read {self._observer.log}"
        )

    def stop(self) -> None:
        """Watch no more; keep the logs of the sandbox, which goes with whoever started it."""
        self._observer.stop(_STOP_S)
        _keep_logs(self._folder, self._sandbox)


def start_workload(folder: RunFolder, *, on_progress: Say) -> Workload:
    """Deploy the emulated Triton of a run's scenario and wait until the autoscaler reads its metric.

    Raises:
        SettingsError: the scenario names a profile that is not there.
        StackError: it does not come up; the sentence says what the cluster says of it.
    """
    name = os.environ.get(INSIDE)
    if name is None:
        raise StackError("--target sandbox is given on the command line, so that Locust itself can run inside")
    sandbox = Sandbox.named(name)
    try:
        return _start(folder, sandbox, on_progress)
    except BaseException:
        _keep_logs(folder, sandbox)
        raise


def _start(folder: RunFolder, sandbox: Sandbox, on_progress: Say) -> Workload:
    scenario = Scenario.model_validate(folder.read_info().settings)
    config = SandboxConfig.model_validate_json((sandbox.folder / "config.json").read_bytes())
    profile = load_profile(scenario.local.profile)
    triton = find_tritonserver(progress=on_progress)
    write_images(config, [emulated.image(triton, sandbox.folder / "bin"), *table(config)])
    on_progress("installing the chart triton-trtllm in mode emulated")
    chart.install(NAME, NAMESPACE, chart.emulated_values(scenario.local, profile, name=NAME, tag=emulated.TAG))
    gateway = _service("traefik", "traefik")
    observed = Observed(
        namespace=NAMESPACE,
        deployment=NAME,
        hpa=NAME,
        selector=f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component=server",
        gateway=f"{gateway}:80",
        prometheus=f"http://{_service('monitoring', 'prometheus')}:9090",
        model=scenario.model or DRIVEN_MODEL,
        versions={
            "kubernetes": KUBERNETES_VERSION,
            "tritonserver": triton.version,
            "prometheus": PROMETHEUS_VERSION,
            "traefik": TRAEFIK_VERSION,
        },
    )
    observer = _observe(folder, observed)
    try:
        on_progress("waiting for its first pod")
        _wait_for_ready(scenario.local.replicas[0])
        on_progress("waiting until the HPA reads its metric")
        _wait_for_autoscaler()
    except BaseException:
        observer.stop(_STOP_S)
        raise
    return Workload(folder, sandbox, observer, observed.gateway or "")


def _keep_logs(folder: RunFolder, sandbox: Sandbox) -> None:
    with contextlib.suppress(OSError, shutil.Error):
        shutil.copytree(sandbox.folder / "logs", folder.logs / "sandbox", dirs_exist_ok=True)


def kubectl(*arguments: str, check: bool = True) -> str:
    """Run the kubectl of the sandbox and return what it prints.

    Raises:
        StackError: it failed or does not end.
    """
    program = shutil.which("kubectl")
    if program is None:
        raise StackError("kubectl is not on PATH: run Locust with --target sandbox, which puts it there")
    what = f"kubectl {' '.join(arguments[:3])}"
    try:
        done = subprocess.run(
            [program, *arguments], capture_output=True, text=True, timeout=_KUBECTL_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise StackError(f"{what} did not end within {_KUBECTL_TIMEOUT_S:g} s: is the API server there?") from None
    if check and done.returncode != 0:
        raise StackError(f"{what} failed: {done.stderr.strip()[-600:]}")
    return done.stdout


def _observe(folder: RunFolder, observed: Observed) -> Child:
    file = folder.path / "stack" / "observed.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(observed.model_dump_json(indent=1))
    command: Sequence[str | Path] = [
        sys.executable,
        "-m",
        "loadgen.kube.observer",
        folder.path.resolve(),
        file.resolve(),
    ]
    return spawn(command, log=folder.logs / "observer.log", lifeline=True)


def _service(namespace: str, name: str) -> str:
    return kubectl("get", "service", name, f"--namespace={namespace}", "--output=jsonpath={.spec.clusterIP}")


def _wait_for_ready(replicas: int) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    what = ["get", "deployment", NAME, f"--namespace={NAMESPACE}"]
    stuck_since: dict[str, float] = {}
    while int(kubectl(*what, "--output=jsonpath={.status.readyReplicas}") or 0) < replicas:
        now = time.monotonic()
        pods = json.loads(kubectl("get", "pods", f"--namespace={NAMESPACE}", "--output=json"))["items"]
        stuck_since = {reason: stuck_since.get(reason, now) for reason in stuck(pods)}
        for reason, since in stuck_since.items():
            if now > since + _STUCK_FOR_S:
                raise StackError(reason)
        if now > deadline:
            raise StackError(f"the emulated Triton is not ready within {_READY_WITHIN_S:g} s: {_last_events()}")
        time.sleep(_POLL_S)


def _wait_for_autoscaler() -> None:
    """Until a pass of the controller found its metric: a run that begins before that begins with a blind autoscaler."""
    what = ["get", "hpa", NAME, f"--namespace={NAMESPACE}"]
    deadline = time.monotonic() + _METRIC_WITHIN_S
    active = '{.status.conditions[?(@.type=="ScalingActive")]'
    while kubectl(*what, f"--output=jsonpath={active}.status}}", check=False) != "True":
        if time.monotonic() > deadline:
            why = kubectl(*what, f"--output=jsonpath={active}.message}}", check=False)
            raise StackError(
                f"the HPA cannot read {RATIO_METRIC} after {_METRIC_WITHIN_S:g} s: {why or _last_events()}; "
                "read the logs of prometheus-adapter and Prometheus"
            )
        time.sleep(_POLL_S)


def _last_events() -> str:
    """What the cluster last complained of."""
    warnings = ["get", "events", f"--namespace={NAMESPACE}", "--field-selector=type=Warning"]
    told = kubectl(*warnings, "--sort-by=.lastTimestamp", "--output=jsonpath={.items[-1:].message}", check=False)
    return told.strip() or "the cluster says nothing of it"
