"""`--target local`: starts the embedded stack, observes it and stops it.

Works in a process patched by gevent: it starts no thread, and waits by sleeping.
"""

import contextlib
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from loadgen.base.console import Say
from loadgen.base.errors import StackError
from loadgen.base.processes import Child, spawn
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.run_info import Autoscaler, Compression
from loadgen.dataset.stack import StackFolder, StackState
from loadgen.local.autoscaler import hpa_spec
from loadgen.local.engine.profile import load_profile
from loadgen.local.environments import remove_environment_folders
from loadgen.local.leftovers import sweep_dead, sweep_own
from loadgen.local.lifecycle import BACKOFF_S, KUBELET_BACKOFF_S
from loadgen.local.prometheus import RATIO_METRIC
from loadgen.local.resources import check_space
from loadgen.programs.find import check_platform
from loadgen.protocols.endpoint import Endpoint
from loadgen.scenario.fleets import Local
from loadgen.scenario.settings import Scenario
from loadgen.targets.info import TargetInfo

EMULATED = (
    "The engine (its batching, KV cache and token times) and the image pull and engine load before a replica starts "
    "are emulated; Triton with its queues and counters, Prometheus, the gateway and the HPA's algorithm are real."
)
# The stack ends in order within about 10 s; its supervisor waits 20 s for that.
_STOP_WITHIN_S = 35.0
_KILLED_WITHIN_S = 20.0
_POLL_S = 0.1


class LocalTarget:
    """The embedded stack that the settings `local` describe."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario

    def info(self) -> TargetInfo:
        """The stack as the settings describe it; starting it adds nothing."""
        return _info(self._scenario)

    def start(self, folder: RunFolder, *, say: Say) -> "LocalStack":
        """Start the stack and wait until it serves, as `start_stack` does."""
        return start_stack(folder, on_progress=say)


class LocalStack:
    """A running stack, in a process of its own.

    Attributes:
        pid: Process id of its supervisor.
        info: The stack as its settings describe it.
    """

    def __init__(self, child: Child, folder: RunFolder, scenario: Scenario) -> None:
        self.pid = child.pid
        self.info = _info(scenario)
        self._wire = scenario.wire
        self._child = child
        self._folder = folder
        self._record = StackFolder(folder.path)

    @property
    def endpoint(self) -> Endpoint:
        """The gateway, which serves HTTP and gRPC at one address.

        Raises:
            StackError: the stack is not ready.
        """
        gateway = self.state().gateway
        if gateway is None:
            raise StackError("the local stack has no gateway yet: wait until it is ready")
        return Endpoint(address=gateway, protocol=self._wire)

    def versions(self, server: str) -> Mapping[str, str]:
        """Versions of the programs that the stack runs, Triton among them."""
        return self.state().versions

    def state(self) -> StackState:
        """Replicas and autoscaler at this moment.

        Raises:
            StackError: the record of the state is missing.
        """
        return self._record.read()

    def failure(self) -> str | None:
        """Reason why the stack no longer works, as a sentence; None while it works."""
        state = self.state()
        if state.phase == "failed":
            return state.error or "the local stack failed"
        code = self._child.poll()
        if code is None:
            return None
        return f"the local stack ended by itself (exit code {code}): read {self._child.log}"

    def stop(self) -> None:
        """End everything in order, within a bounded time; a second call does nothing.

        If the supervisor was killed and could not clean up, this does.
        """
        self._child.stop(_STOP_WITHIN_S)
        sweep_own(self._child.pid, within_s=_KILLED_WITHIN_S)
        remove_environment_folders(self._folder.logs)


def start_stack(folder: RunFolder, *, on_progress: Say, deadline_s: float = 1800.0) -> LocalStack:
    """Start the stack that `run.json` describes, and wait until it serves.

    Args:
        folder: A run folder whose `run.json` is written.
        on_progress: Receives progress, one sentence at a time, such as a download.
        deadline_s: The longest wait; the first start on a machine may fetch and build programs.

    Raises:
        SettingsError: the settings cannot be met, as with an unknown profile.
        StackError: the stack did not become ready; everything that was started is stopped again.
    """
    check_platform()
    scenario = Scenario.model_validate(folder.read_info().settings)
    profile = load_profile(scenario.local.profile)
    hpa_spec(scenario.local)
    sweep_dead()  # what an earlier stack left must not count as used
    check_space(profile, scenario.local.replicas[1])
    record = StackFolder(folder.path)
    record.write(StackState.initial(scenario.model, scenario.local.replicas[0]))
    supervisor: list[str | Path] = [sys.executable, "-m", "loadgen.local.supervisor", folder.path.resolve()]
    stack = LocalStack(spawn(supervisor, log=folder.logs / "stack.log", lifeline=True), folder, scenario)
    try:
        _wait(stack, record.progress_file, on_progress, time.monotonic() + deadline_s)
    except BaseException:
        stack.stop()
        raise
    return stack


def autoscaler_info(local: Local) -> Autoscaler:
    """Settings of the autoscaler, for `run.json`."""
    return Autoscaler(
        metric=RATIO_METRIC,
        target=local.ratio_target,
        min_replicas=local.replicas[0],
        max_replicas=local.replicas[1],
        sync_period_s=local.sync_period_s,
        rate_window_s=local.rate_window_s,
        scrape_interval_s=local.scrape_interval_s,
        scale_down_window_s=local.scale_down_window_s,
    )


def compressions(local: Local, *, embedded: bool = True) -> tuple[Compression, ...]:
    """Durations that a run shortens, each with its usual value in production; unshortened durations are left out.

    Production: defaults of Kubernetes (HPA sync and window, kubelet's back-off), of kube-prometheus-stack (scrapes),
    a rate window of one minute, and three minutes from a GPU pod's creation to its server, within the 2 to 7 minutes
    that operators report.

    Args:
        local: Settings of the emulated system.
        embedded: Whether autoscaler and restarts are those of the embedded stack; the sandbox runs Kubernetes' own
            controllers and kubelets, with their own timing.
    """
    values = [
        ("scale-down stabilization window", local.scale_down_window_s, 300.0),
        ("image pull and engine load of a new replica", local.startup_delay_s, 180.0),
        ("scrape and rule interval", local.scrape_interval_s, 30.0),
        ("rate window of the ratio", local.rate_window_s, 60.0),
    ]
    if embedded:
        values += [
            ("interval of the autoscaler", local.sync_period_s, 15.0),
            ("first back-off after a crash", BACKOFF_S, KUBELET_BACKOFF_S),
        ]
    return tuple(
        Compression(what=what, local=here, production=production)
        for what, here, production in values
        if here < production
    )


def _info(scenario: Scenario) -> TargetInfo:
    return TargetInfo(
        emulated=EMULATED,
        compressions=compressions(scenario.local),
        autoscaler=autoscaler_info(scenario.local),
    )


def _wait(stack: LocalStack, progress: Path, on_progress: Say, deadline: float) -> None:
    reported = 0
    while True:
        # the state first: progress that was written before it changed is then passed on before the wait ends
        state, failure = stack.state(), stack.failure()
        with contextlib.suppress(FileNotFoundError):
            lines = progress.read_text().splitlines()
            for line in lines[reported:]:
                on_progress(line)
            reported = len(lines)
        if failure:
            raise StackError(failure)
        if state.phase == "ready":
            return
        if time.monotonic() > deadline:
            raise StackError(f"the local stack was not ready in time: read {progress.parent.parent / 'logs'}")
        time.sleep(_POLL_S)
