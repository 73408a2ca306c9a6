"""Who sends: this process alone, or Locust's workers; the run talks to both in the same words.

Messages between Locust's master and its workers: `loadgen_prepare` (assignment) → `loadgen_prepared` (error or none),
`loadgen_go` (start of the load), `loadgen_close`; and `loadgen_counts` about once a second.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

import gevent
from locust import runners
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadgen.base.errors import ExitCode, LoadgenError, unexpected
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.tables import load_writer
from loadgen.load.adapters.statistics import report_to
from loadgen.load.adapters.users import TritonUser
from loadgen.load.host import Host
from loadgen.load.plan import LoadPlan
from loadgen.load.sender import Counts
from loadgen.load.share import Assignment, Carrier
from loadgen.protocols.reference_process import ReferenceProcess

_PATIENCE_S = 60.0
_COUNTS_EVERY_S = 1.0
_SKEW_S = 1.0
"""Wall clocks of two hosts that differ by more would tear the run's time axis; messages take milliseconds."""
_SILENT_S = 10.0
"""A worker that Locust misses and that said nothing for so long is lost."""


class WorkerError(LoadgenError):
    """A sending process could not do its part; carries that process's own sentence and exit code."""

    def __init__(self, sentence: str, exit_code: int) -> None:
        super().__init__(sentence)
        self.exit_code = ExitCode(exit_code)


def _clock_fault(unix_s: float | None) -> str | None:
    """What is wrong with the wall clock of a worker on another host that says this time; None of one on this host."""
    skew_s = 0.0 if unix_s is None else unix_s - time.time()
    if abs(skew_s) <= _SKEW_S:
        return None
    return (
        f"the clock of a worker's host is {skew_s:+.1f} s from this one's, and the run has one time axis: "
        f"let all hosts follow one time server (NTP), and run again"
    )


class Crew(Protocol):
    """The sending processes of a run."""

    def size(self) -> int:
        """Number of sending processes."""
        ...

    def prepare(self, assignments: Sequence[Assignment]) -> None:
        """Let every process plan and check itself.

        Raises:
            LoadgenError: one cannot do its part.
        """
        ...

    def go(self, load_start_s: float) -> None:
        """Give the users their shares; the load starts at that run time."""
        ...

    def counts(self) -> Counts:
        """Where all of them stand together."""
        ...

    def close(self) -> None:
        """Write what is left; call it once the users stopped.

        Raises:
            LoadgenError: a process did not write what it has.
        """
        ...


class LoneCrew:
    """The one sending process is this one; it takes the plan of the run, or makes its own when it is a worker."""

    def __init__(self, environment: Environment, plan: LoadPlan | None = None) -> None:
        self._environment = environment
        self._plan = plan
        self._carrier: Carrier | None = None
        environment.events.test_stopping.add_listener(self._stop)

    def size(self) -> int:
        """One."""
        return 1

    def prepare(self, assignments: Sequence[Assignment]) -> None:
        """Plan and check this process."""
        (assignment,) = assignments
        call = assignment.endpoint.call_name(assignment.model, stream=assignment.stream)
        report = report_to(self._environment, wire=assignment.endpoint.wire, name=f"{call} {assignment.model.name}")
        self._carrier = Carrier(assignment, report, self._plan)
        self._carrier.check()

    def go(self, load_start_s: float) -> None:
        """Give this process's users their share."""
        assert self._carrier is not None
        self._carrier.go(load_start_s)
        TritonUser.sender = self._carrier.sender

    def counts(self) -> Counts:
        """Where this process stands."""
        return self._carrier.counts() if self._carrier else Counts()

    def close(self) -> None:
        """Write what is left."""
        TritonUser.sender = None
        if self._carrier is not None:
            self._carrier.close()

    def _stop(self, **_: Any) -> None:
        if self._carrier is not None:
            self._carrier.stop()


class WorkerCrew:
    """Locust's workers, seen from the master."""

    def __init__(self, runner: MasterRunner) -> None:
        self._runner = runner
        self._ids: list[str] = []
        self._folder = ""
        self._counts: dict[str, Counts] = {}
        self._heard: dict[str, float] = {}
        self._prepared: dict[str, WorkerError | None] = {}
        # Locust gives a worker up after 3 s: one that imports pandas on a busy machine says nothing for longer
        runners.HEARTBEAT_LIVENESS = round(_SILENT_S)
        runner.register_message("loadgen_prepared", self._on_prepared)
        runner.register_message("loadgen_counts", self._on_counts)

    def _connected(self) -> list[str]:
        clients = self._runner.clients
        return [client.id for client in [*clients.ready, *clients.spawning, *clients.running]]

    def size(self) -> int:
        """Number of workers that are connected."""
        return len(self._connected())

    def prepare(self, assignments: Sequence[Assignment]) -> None:
        """Let every worker plan and check itself, and wait for all of them."""
        self._ids = self._connected()[: len(assignments)]
        self._folder = assignments[0].folder
        self._heard, self._prepared = {}, {}
        for worker_id, assignment in zip(self._ids, assignments, strict=True):
            self._runner.send_message("loadgen_prepare", assignment.to_message(), worker_id)
        answered = self._wait(lambda: len(self._prepared) == len(self._ids) or any(self._prepared.values()))
        for error in self._prepared.values():
            if error is not None:
                raise error
        if not answered:
            raise LoadgenError(
                f"only {len(self._prepared)} of {len(self._ids)} workers answered within {_PATIENCE_S:g} s; "
                f"see that all run the same locustfile and the same release of triton-loadgen, and read their logs"
            )

    def go(self, load_start_s: float) -> None:
        """Give every worker's users their share."""
        self._counts, self._heard = {}, dict.fromkeys(self._ids, time.monotonic())
        for worker_id in self._ids:
            self._runner.send_message("loadgen_go", {"load_start_s": load_start_s}, worker_id)

    def counts(self) -> Counts:
        """The sum of what the workers last said; a worker that said nothing yet has everything before it."""
        total = Counts(closed=True)
        for worker_id in self._heard:
            total += self._counts.get(worker_id, Counts(total=1))
        if total.error is None and (lost := self._lost()):
            numbers = ", ".join(str(self._ids.index(worker_id) + 1) for worker_id in lost)
            total = replace(
                total,
                error=f"worker {numbers} of {len(self._ids)} died: nothing was heard for {_SILENT_S:g} s and that part "
                f"of the load is missing; look above for last words, free memory and CPU, and run again",
            )
        return total

    def close(self) -> None:
        """Let the workers write what is left, and wait for those that are alive."""
        for worker_id in self._heard:
            self._runner.send_message("loadgen_close", {}, worker_id)
        patience_s = _PATIENCE_S + (self._runner.environment.stop_timeout or 0.0)
        if not self._wait(lambda: self._open() == self._lost(), patience_s):
            raise LoadgenError(
                f"{len(self._open())} of {len(self._ids)} workers did not write their last rows within "
                f"{patience_s:g} s; free memory and CPU, and run again"
            )

    def _open(self) -> list[str]:
        """Workers that started and did not say that they have written everything."""
        return [worker_id for worker_id in self._heard if not self._counts.get(worker_id, Counts()).closed]

    def _lost(self) -> list[str]:
        """Workers that will never say it: gone for Locust, which one that ends in order is too, and silent."""
        connected, silent = self._connected(), time.monotonic() - _SILENT_S
        return [
            worker_id for worker_id in self._open() if worker_id not in connected and self._heard[worker_id] < silent
        ]

    def _wait(self, done: Callable[[], bool], patience_s: float = _PATIENCE_S) -> bool:
        deadline = time.monotonic() + patience_s
        while not done():
            if time.monotonic() > deadline:
                return False
            gevent.sleep(0.05)
        return True

    def _on_prepared(self, environment: Environment, msg: Any, **_: Any) -> None:
        if msg.data["folder"] != self._folder:
            return  # of a run that was stopped before its load began
        error = msg.data["error"] or _clock_fault(msg.data["unix_s"])
        self._prepared[msg.node_id] = WorkerError(error, msg.data["exit_code"] or ExitCode.TOOL) if error else None

    def _on_counts(self, environment: Environment, msg: Any, **_: Any) -> None:
        if msg.node_id in self._heard:
            self._heard[msg.node_id] = time.monotonic()
            self._counts[msg.node_id] = Counts(**{**msg.data, "recent_ttft_s": tuple(msg.data["recent_ttft_s"])})


class Worker:
    """A Locust worker: does what the master's `WorkerCrew` asks by message."""

    def __init__(self, environment: Environment, runner: WorkerRunner) -> None:
        self._runner = runner
        self._crew = LoneCrew(environment)
        runner.register_message("loadgen_prepare", self._on_prepare, concurrent=True)
        runner.register_message("loadgen_go", self._on_go)
        runner.register_message("loadgen_close", self._on_close, concurrent=True)
        gevent.spawn(self._say_counts)
        load_writer()  # a second without heartbeats: now, and not when others wait for them

    def close(self) -> None:
        """Write what is left and tell the master so; the users have stopped."""
        self._crew.close()
        self._send_counts()

    def _on_prepare(self, environment: Environment, msg: Any, **_: Any) -> None:
        answer: dict[str, Any] = {"folder": msg.data["folder"], "error": None, "exit_code": 0, "unix_s": None}
        try:
            self._prepare(Assignment.from_message(msg.data))
        except LoadgenError as error:
            answer |= {"error": str(error), "exit_code": int(error.exit_code)}
        except Exception as fault:
            answer |= {"error": str(unexpected(fault)), "exit_code": int(ExitCode.TOOL)}
        if not Host.here().same_clock(Host(**msg.data["master"])):
            answer["unix_s"] = time.time()
        self._runner.send_message("loadgen_prepared", answer)

    def _prepare(self, assignment: Assignment) -> None:
        folder = RunFolder(Path(assignment.folder))
        if not folder.logs.is_dir():
            raise LoadgenError(
                f"a worker does not see the run folder {folder.path}: workers write into it, so let them share the "
                f"master's disk (--processes), or mount the volume of its runs (ReadWriteMany) at the same path"
            )
        if Host.here().same_loopback(assignment.master):
            self._crew.prepare([assignment])
            return
        # the check is of this process alone: no network may lie between it and the reference server
        own = ReferenceProcess(assignment.reference.wire, folder.logs / f"reference-{assignment.worker + 1}.log")
        try:
            self._crew.prepare([replace(assignment, reference=own.endpoint)])
        finally:
            own.stop()

    def _on_go(self, environment: Environment, msg: Any, **_: Any) -> None:
        self._crew.go(msg.data["load_start_s"])

    def _on_close(self, environment: Environment, msg: Any, **_: Any) -> None:
        self._runner.stop()  # its users first; then `close` by the test_stop event
        self.close()

    def _send_counts(self) -> None:
        self._runner.send_message("loadgen_counts", asdict(self._crew.counts()))

    def _say_counts(self) -> None:
        while True:
            gevent.sleep(_COUNTS_EVERY_S)
            self._send_counts()
