"""Starts the target and the collector of a run, records its load in `run.json`, stops both and writes the reports."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from loadgen.base.clock import Clock
from loadgen.base.connection import DIRECT, Connection
from loadgen.base.console import Say
from loadgen.base.errors import CollectError, ExitCode, LoadgenError, StackError
from loadgen.base.processes import Child
from loadgen.collect.start import start_collector
from loadgen.dataset.events import Event
from loadgen.dataset.folder import RunFolder, runs_dir
from loadgen.dataset.names import EventKind, StopCause
from loadgen.dataset.outage import Outage
from loadgen.dataset.run_info import GroupInfo, Limit, PromptInfo, RunInfo, Stage, ValidityLimits
from loadgen.protocols import triton_grpc
from loadgen.protocols.endpoint import AnyModel, Endpoint
from loadgen.protocols.reference_process import ReferenceProcess
from loadgen.run.phase import start_of, start_sentence, with_sync
from loadgen.run.progress import Fleet
from loadgen.run.versions import recorded_versions
from loadgen.scenario.settings import Scenario, Slo, Validity
from loadgen.targets.info import TargetInfo
from loadgen.targets.target import RunningTarget, target_of

_COLLECTOR_GRACE_S = 15.0
_REPORT_TIMEOUT_S = 600.0
_VERDICTS = (ExitCode.PASS, ExitCode.FAIL, ExitCode.INVALID)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """The model that requests go to, and where it is served."""

    endpoint: Endpoint
    model: AnyModel


class Run:
    """One run and its folder. Call `start` before anything is recorded; `stop` may be called at any time, and twice.

    Args:
        scenario: Scenario to run.
        say: Receives progress, one sentence at a time.
        connection: How to connect to a URL target.
        group: The place of the run among repeats; None for a run by itself.

    Raises:
        LoadgenError: the run folder cannot be created.
    """

    def __init__(
        self, scenario: Scenario, say: Say, connection: Connection = DIRECT, group: GroupInfo | None = None
    ) -> None:
        self.scenario = scenario
        self._connection = connection
        self.clock = Clock.start()
        self._say = say
        self.folder = RunFolder.create(runs_dir(), scenario.name, self.clock)
        self._outage = Outage(self.folder.path, self.clock, say)
        self._target = target_of(scenario, connection)
        self._running: RunningTarget | None = None
        self._collector: Child | None = None
        self._reference: ReferenceProcess | None = None
        self.info = _initial_info(scenario, self._target.info(), self.folder, self.clock, group)
        self.folder.write_info(self.info)

    def start_reference(self) -> Endpoint:
        """Start the reference server of the self-check; `stop_reference` stops it.

        Raises:
            SelfCheckError: the server does not start.
        """
        # requests of OpenAI's API go over the same connections as Triton's over HTTP
        protocol = "http" if self.scenario.wire == "openai" else self.scenario.wire
        self._reference = ReferenceProcess(protocol, self.folder.logs / "reference.log")
        return self._reference.endpoint

    def stop_reference(self) -> None:
        """Stop the reference server."""
        if self._reference is not None:
            self._reference.stop()
            self._reference = None

    def start(self) -> ServedModel:
        """Start the target, find the model, start the collector.

        Raises:
            LoadgenError: the target does not become ready, or the server has no suitable model.
        """
        scenario = self.scenario
        if scenario.wire == "grpc":
            triton_grpc.prepare(1)  # before the first channel: without it every greenlet blocks while gRPC waits
        self._running = target = self._target.start(self.folder, say=self._say)
        self._update(**_target_fields(target.info, scenario.validity))
        endpoint = target.endpoint
        self._update(connection=endpoint.connection_info())
        model, server = endpoint.find_model(
            requested=scenario.model,
            stream=scenario.stream,
            inputs=scenario.inputs,
            openai_call=scenario.openai_call,
        )
        self._update(
            model=model.name,
            versions={**self.info.versions, **target.versions(server)},
            emulated=self.info.emulated or emulated_engine(model),
        )
        self._collector = start_collector(self.folder, self._connection)
        return ServedModel(endpoint=endpoint, model=model)

    def load_start_s(self, lead_s: float) -> float:
        """When the load starts, on the run's time axis: after the lead time, or later, at the phase of a repeat."""
        group = with_sync(self.folder, self.info)
        if group is None:
            return self.clock.now_s() + lead_s
        self._update(group=group)
        self._say(start_sentence(group))
        return start_of(group, self.clock.now_s() + lead_s)

    def record_start(self, load_start_s: float, arrivals: int, prompts: PromptInfo | None = None) -> None:
        """Record start, stages, number of arrivals and prompts of the load; call it before the first request."""
        stages = tuple(
            Stage(name=span.name, start_s=load_start_s + span.start_s, end_s=load_start_s + span.end_s)
            for span in self.scenario.load.spans()
        )
        self._update(state="loading", load_start_s=load_start_s, stages=stages, expected_rows=arrivals, prompts=prompts)
        self._event(EventKind.LOAD_STARTED, load_start_s)

    def record_error(self, error: str) -> None:
        """Record why no load was sent, or what ended it."""
        self._update(error=error)

    def record_end(self) -> None:
        """Record that every arrival has its outcome."""
        self._record_end(EventKind.LOAD_ENDED, state="finished")

    def record_stop(self, arrivals: int, cause: StopCause | None) -> None:
        """Record that the load was stopped early, after so many arrivals, and how."""
        self._record_end(EventKind.LOAD_STOPPED, cause, state="stopped", stop_cause=cause, expected_rows=arrivals)

    def _record_end(self, kind: EventKind, reason: str | None = None, **changes: object) -> None:
        now_s = self.clock.now_s()
        self._event(kind, now_s, reason)
        self._update(load_end_s=now_s, **changes)

    def failure(self) -> LoadgenError | None:
        """Reason why the run cannot go on; None while it can.

        Raises:
            FolderGoneError: the run folder was deleted or moved, which explains every other failure.
        """
        self.folder.check_present()
        if self._collector is not None and (code := self._collector.poll()) is not None:
            return CollectError(
                f"the collector ended by itself (exit code {code}): read {self._collector.log}, run again"
            )
        failure = self._running.failure() if self._running else None
        return StackError(failure) if failure else None

    def fleet(self) -> Fleet:
        """Replicas and autoscaler of the target at this moment; without a record of them, nothing."""
        state = None
        with suppress(StackError):
            state = self._running.state() if self._running else None
        if state is None:
            return Fleet()
        return Fleet(
            ratio=None if state.metric_milli is None else state.metric_milli / 1000,
            desired=state.desired,
            ready=sum(replica.phase == "ready" for replica in state.replicas),
        )

    def stop(self) -> None:
        """Stop everything that this run started: the collector first, as it reads the target once more."""
        self.stop_reference()
        if self._collector is not None:
            self._collector.stop(_COLLECTOR_GRACE_S)
            self._collector = None
        if self._running is not None:
            self._running.stop()
            self._running = None

    def report(self) -> tuple[int, str]:
        """Run `loadgen report` on the folder in another process; return its exit code and output.

        The process has a session of its own, so Ctrl-C in a terminal does not reach it.

        Raises:
            LoadgenError: the process ended without a verdict; the message has the command that reports later.
            FolderGoneError: the run folder was deleted or moved.
        """
        reports = ",".join(self.scenario.reports)
        command = [sys.executable, "-m", "loadgen", "report", str(self.folder.path), "--reports", reports]
        later = f"everything is recorded: free memory and CPU, then `loadgen report {self.folder.path}`"
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                env={**os.environ, "PYTHONIOENCODING": "utf-8"},
                start_new_session=True,
                timeout=_REPORT_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise LoadgenError(f"no report within {_REPORT_TIMEOUT_S:g} s; {later}") from None
        except OSError as error:
            raise LoadgenError(f"the report cannot be started ({error.strerror}); {later}") from error
        self.folder.check_present()
        if done.stderr:
            self._say(done.stderr.rstrip())
        if done.returncode not in _VERDICTS or not done.stdout:  # Python's own exit code for a fault is 1, too
            raise LoadgenError(f"no report: its process {_how_it_ended(done.returncode)}; {later}")
        return done.returncode, done.stdout

    def _event(self, kind: str, t_s: float, reason: str | None = None) -> None:
        self._outage.write(lambda: self.folder.append("events", "run", [Event(t_s, kind, reason=reason).row()]))

    def _update(self, **changes: object) -> None:
        self.info = self.info.model_copy(update=changes)
        self._outage.write(lambda: self.folder.write_info(self.info))


def _how_it_ended(code: int) -> str:
    """Describe the end of a process without a verdict."""
    if code == -signal.SIGKILL:
        return "was killed, as the kernel does when memory runs out"
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"failed (exit code {code}, message above)"


def _initial_info(
    scenario: Scenario, target: TargetInfo, folder: RunFolder, clock: Clock, group: GroupInfo | None
) -> RunInfo:
    info = RunInfo(
        run_id=folder.path.name,
        scenario=scenario.name,
        anchor_unix_s=clock.anchor_unix_s,
        anchor_monotonic_s=clock.anchor_monotonic_s,
        target=scenario.target,
        protocol=scenario.wire,
        stream=scenario.stream,
        model=scenario.model,
        limits=limits_of(scenario.slo),
        validity=validity_of(scenario.validity, target),
        seeds=dict(scenario.seeds),
        settings=scenario.model_dump(mode="json"),
        versions=recorded_versions(),
        group=group,
    )
    return info.model_copy(update=_target_fields(target, scenario.validity))


def emulated_engine(model: AnyModel) -> str | None:
    """What a model says of itself, where the target does not know."""
    if model.emulated is None:
        return None
    return f"The engine is emulated, as the configuration of the model {model.name} says (profile {model.emulated})."


def _target_fields(target: TargetInfo, validity: Validity) -> dict[str, Any]:
    """Fields of `run.json` that a target fills."""
    return {
        "emulated": target.emulated,
        "compressions": target.compressions,
        "autoscaler": target.autoscaler,
        "cluster": target.cluster,
        "validity": validity_of(validity, target),
    }


def validity_of(validity: Validity, target: TargetInfo) -> ValidityLimits:
    """Limits of the verdict; the limit on gaps of the signal defaults to that of the target."""
    gap_s = target.scrape_gap_s if validity.scrape_gap_s is None else validity.scrape_gap_s
    return ValidityLimits(**{**dict(validity), "scrape_gap_s": gap_s})


def limits_of(slo: Slo) -> tuple[Limit, ...]:
    """The limits of a scenario: `ttft_p95_s=2` becomes a limit of 2 s on the 95th percentile of TTFT."""
    return tuple(
        Limit.model_validate({"metric": metric, "statistic": statistic, "limit": limit})
        for (metric, statistic), limit in slo.limits().items()
    )
