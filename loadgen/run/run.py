"""One run from folder to verdict: target up, collector on, load facts into `run.json`, everything down, report."""

import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from loadgen.base.clock import Clock
from loadgen.base.errors import CollectError, ExitCode, LoadgenError, StackError
from loadgen.base.processes import Child
from loadgen.collect.start import start_collector
from loadgen.dataset.events import Event
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.names import EventKind
from loadgen.dataset.run_info import Autoscaler, Limit, RunInfo, Stage, ValidityLimits
from loadgen.protocols import triton_grpc
from loadgen.protocols.detect import Model
from loadgen.protocols.endpoint import Endpoint
from loadgen.protocols.reference_process import ReferenceProcess
from loadgen.run.progress import Fleet
from loadgen.scenario.settings import FLEETS, Scenario, Slo, Validity, runs_dir
from loadgen.targets import local as local

if TYPE_CHECKING:
    from loadgen.kube.discover.endpoint import Way
    from loadgen.targets.cluster import ClusterTarget
    from loadgen.targets.sandbox import SandboxTarget

Say = Callable[[str], None]

_COLLECTOR_GRACE_S = 15.0
_REPORT_TIMEOUT_S = 600.0
_VERSIONED = (
    "triton-loadgen",
    "locust",
    "tritonclient",
    "grpcio",
    "gevent",
    "geventhttpclient",
    "prometheus-api-client",
    "numpy",
    "pandas",
    "pyarrow",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the load goes to, once it stands."""

    endpoint: Endpoint
    model: Model


class Run:
    """One run. `begin` may be called once `up` returned; `down` may be called at any time, and twice.

    Args:
        scenario: What to run.
        say: Told what happens, one sentence at a time.

    Raises:
        LoadgenError: the run folder cannot be created.
    """

    def __init__(self, scenario: Scenario, say: Say) -> None:
        self.scenario = scenario
        self.clock = Clock.start()
        self._say = say
        self.folder = RunFolder.create(runs_dir(), scenario.name, self.clock)
        self._stack: local.LocalStack | ClusterTarget | SandboxTarget | None = None
        self._collector: Child | None = None
        self._reference: ReferenceProcess | None = None
        self.info = _first_info(scenario, self.folder, self.clock)
        self.folder.write_info(self.info)

    def start_reference(self) -> Endpoint:
        """Start the reference server of the self-check; `stop_reference` ends it.

        Raises:
            SelfCheckError: it does not start.
        """
        self._reference = ReferenceProcess(self.scenario.wire, self.folder.logs / "reference.log")
        return self._reference.endpoint

    def stop_reference(self) -> None:
        """End the reference server."""
        if self._reference is not None:
            self._reference.stop()
            self._reference = None

    def up(self) -> Target:
        """Bring the target up, find the model, start the collector.

        Raises:
            LoadgenError: the stack does not come up, or the server cannot be driven.
        """
        scenario = self.scenario
        if scenario.wire == "grpc":
            triton_grpc.prepare(1)  # before the first channel, or nothing else goes on while it waits
        if scenario.target == "local":
            self._stack = local.start_stack(self.folder, on_progress=self._say)
            endpoint = Endpoint(address=self._stack.endpoint, wire=scenario.wire)
        elif scenario.target in FLEETS:
            self._stack = stack = self._start_cluster()
            endpoint = Endpoint(address=stack.endpoint, wire=scenario.wire, tls=stack.tls)
            validity = validity_of(scenario.validity, stack.autoscaler)
            self._update(cluster=stack.cluster, autoscaler=stack.autoscaler, emulated=stack.emulated, validity=validity)
        else:
            endpoint = Endpoint.parse(scenario.target, scenario.wire)
        model, server = endpoint.find_model(wanted=scenario.model, stream=scenario.stream)
        programs = self._stack.state().versions if self._stack else {}
        if self.scenario.target != "local":
            programs = {**programs, "server": server}
        self._update(model=model.name, versions={**self.info.versions, **programs})
        self._collector = start_collector(self.folder)
        return Target(endpoint=endpoint, model=model)

    def _start_cluster(self) -> "ClusterTarget | SandboxTarget":
        # now, as the Kubernetes library takes a second that a local run need not pay
        from loadgen.targets.cluster import start_cluster
        from loadgen.targets.sandbox import start_workload

        if self.scenario.target == "sandbox":
            return start_workload(self.folder, self.scenario, answers=self._answers, on_progress=self._say)
        kube = self.scenario.kube
        return start_cluster(self.folder, self.scenario, kube, answers=self._answers, on_progress=self._say)

    def _answers(self, way: "Way") -> bool:
        from loadgen.kube.discover.endpoint import reachable

        return (
            reachable(way.address) and Endpoint(address=way.address, wire=self.scenario.wire, tls=way.tls).is_triton()
        )

    def begin(self, load_start_s: float, arrivals: int) -> None:
        """Write down when the load starts, its stages and its number of arrivals; nothing may have been sent before."""
        stages = tuple(
            Stage(name=span.name, start_s=load_start_s + span.start_s, end_s=load_start_s + span.end_s)
            for span in self.scenario.load.spans()
        )
        self._update(state="loading", load_start_s=load_start_s, stages=stages, expected_rows=arrivals)
        self._event(EventKind.LOAD_STARTED, load_start_s)

    def not_started(self, error: str) -> None:
        """Write down why no load was sent."""
        self._update(error=error)

    def end(self) -> None:
        """Write down that the load is over: every arrival has its outcome."""
        now_s = self.clock.now_s()
        self._event(EventKind.LOAD_ENDED, now_s)
        self._update(state="finished", load_end_s=now_s)

    def stopped(self, arrivals: int) -> None:
        """Write down that the load was stopped on purpose after so many arrivals, unless it had ended before."""
        if self.info.state != "loading":
            return
        now_s = self.clock.now_s()
        self._event(EventKind.LOAD_STOPPED, now_s)
        self._update(state="stopped", load_end_s=now_s, expected_rows=arrivals)

    def trouble(self) -> LoadgenError | None:
        """What makes it pointless to go on, if anything does."""
        if self._collector is not None and (code := self._collector.poll()) is not None:
            return CollectError(
                f"the collector ended by itself (exit code {code}): read {self._collector.log}, run again"
            )
        failure = self._stack.failure() if self._stack else None
        return StackError(failure) if failure else None

    def fleet(self) -> Fleet:
        """What the target says of itself at this moment."""
        if self._stack is None:
            return Fleet()
        state = self._stack.state()
        return Fleet(
            ratio=None if state.metric_milli is None else state.metric_milli / 1000,
            desired=state.desired,
            ready=sum(replica.phase == "ready" for replica in state.replicas),
        )

    def down(self) -> None:
        """Stop everything that this run started; the collector last reads what is there, so it goes first."""
        self.stop_reference()
        if self._collector is not None:
            self._collector.stop(_COLLECTOR_GRACE_S)
            self._collector = None
        if self._stack is not None:
            self._stack.stop()
            self._stack = None

    def report(self) -> tuple[int, str]:
        """Judge the folder in a process of its own, as `loadgen report` does; exit code and what it says."""
        command = [sys.executable, "-m", "loadgen", "report", str(self.folder.path)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_REPORT_TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            raise LoadgenError(
                f"no report within {_REPORT_TIMEOUT_S:g} s; everything is recorded: "
                f"free memory and CPU, then `loadgen report {self.folder.path}`"
            ) from None
        known = done.returncode in tuple(ExitCode)
        return done.returncode if known else ExitCode.TOOL, done.stdout + done.stderr

    def _event(self, kind: str, t_s: float) -> None:
        self.folder.append("events", "run", [Event(t_s, kind).row()])

    def _update(self, **changes: object) -> None:
        self.info = self.info.model_copy(update=changes)
        self.folder.write_info(self.info)


def _first_info(scenario: Scenario, folder: RunFolder, clock: Clock) -> RunInfo:
    ours = scenario.target in ("local", "sandbox")
    scaler = local.autoscaler_info(scenario) if ours else None
    return RunInfo(
        run_id=folder.path.name,
        scenario=scenario.name,
        anchor_unix_s=clock.anchor_unix_s,
        anchor_monotonic_s=clock.anchor_monotonic_s,
        target=scenario.target,
        protocol=scenario.wire,
        stream=scenario.stream,
        model=scenario.model,
        emulated=local.EMULATED if scenario.target == "local" else None,
        compressions=local.compressions(scenario) if ours else (),
        autoscaler=scaler,
        limits=limits_of(scenario.slo),
        validity=validity_of(scenario.validity, scaler),
        seeds=dict(scenario.seeds),
        settings=scenario.model_dump(mode="json"),
        versions=_versions(),
    )


def validity_of(validity: Validity, autoscaler: Autoscaler | None) -> ValidityLimits:
    """Limits of the verdict; without one for gaps of the signal, three scrapes may be missed, and 5 s in any case."""
    gap_s = validity.scrape_gap_s
    if gap_s is None:
        gap_s = max(5.0, 3 * autoscaler.scrape_interval_s if autoscaler else 0.0)
    return ValidityLimits(**{**dict(validity), "scrape_gap_s": gap_s})


def limits_of(slo: Slo) -> tuple[Limit, ...]:
    """The limits that a scenario sets, such as `ttft_p95_s=2` → TTFT, p95, 2 s."""
    limits = []
    for name, limit in slo:
        if limit is not None:
            metric, statistic = name.split("_")[:2]
            limits.append(Limit.model_validate({"metric": metric, "statistic": statistic, "limit": limit}))
    return tuple(limits)


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _VERSIONED:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed as a package"
    return versions
