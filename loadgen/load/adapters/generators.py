"""Generates the load in this process (`LocalGenerator`) or in Locust's workers (`DistributedGenerator`).

Messages between Locust's master and its workers: `loadgen_prepare` (assignment), answered by `loadgen_prepared` (error
or none); `loadgen_start` (start of the load); `loadgen_close`; and `loadgen_counts` (progress) about once a second.
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
from loadgen.load.adapters.dispatcher import Dispatchers
from loadgen.load.adapters.statistics import statistics_listener
from loadgen.load.adapters.users import TritonUser
from loadgen.load.descriptors import check_descriptors, check_ports
from loadgen.load.host import Host
from loadgen.load.plan import LoadPlan
from loadgen.load.sender import Sender
from loadgen.load.share import Assignment, LoadShare
from loadgen.load.tally import Counts
from loadgen.protocols.reference_process import ReferenceProcess

_TIMEOUT_S = 60.0
_COUNTS_EVERY_S = 1.0
_SKEW_S = 1.0
"""Largest accepted difference between the wall clocks of two hosts, which share the run's time axis."""
_SILENT_S = 10.0
"""A disconnected worker that has sent no message for this long is lost."""


class WorkerError(LoadgenError):
    """A worker failed; has the worker's own message and exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = ExitCode(exit_code)


def _clock_skew_error(unix_s: float | None) -> str | None:
    """Return the error if a worker's wall clock differs too much; `unix_s` is None for a worker on this host."""
    skew_s = 0.0 if unix_s is None else unix_s - time.time()
    if abs(skew_s) <= _SKEW_S:
        return None
    return (
        f"the clock of a worker's host differs from this host's by {skew_s:+.1f} s (limit {_SKEW_S:g} s): "
        f"synchronize all hosts with one time server (NTP), and run again"
    )


class Generator(Protocol):
    """The processes that generate the load of a run."""

    def size(self) -> int:
        """Return the number of processes."""
        ...

    def check_limits(self, users: int) -> None:
        """Check what this host allows its processes for so many Locust users in total.

        Raises:
            SelfCheckError: the limit on open files is too low, or there are too few ports.
        """
        ...

    def prepare(self, assignments: Sequence[Assignment]) -> None:
        """Plan the load and run the self-check in every process.

        Raises:
            LoadgenError: a process failed.
        """
        ...

    def start(self, load_start_s: float) -> None:
        """Start sending; the load starts at `load_start_s` on the run's time axis."""
        ...

    def counts(self) -> Counts:
        """Return the progress of all processes together."""
        ...

    def close(self) -> None:
        """Write the remaining rows after the users have stopped.

        Raises:
            LoadgenError: a process did not write its rows.
        """
        ...


class LocalGenerator:
    """Generates the load in this process, from the plan of the run, or from a plan of its own on a worker."""

    def __init__(self, environment: Environment, plan: LoadPlan | None = None) -> None:
        self._environment = environment
        self._plan = plan
        self._share: LoadShare | None = None
        environment.events.test_stopping.add_listener(self._stop)

    def size(self) -> int:
        """Return 1."""
        return 1

    def check_limits(self, users: int) -> None:
        """Check what this host allows this process."""
        check_descriptors(users)
        check_ports(users)

    def prepare(self, assignments: Sequence[Assignment]) -> None:
        """Plan the load and run the self-check in this process."""
        (assignment,) = assignments
        call = assignment.endpoint.call_name(assignment.model, stream=assignment.stream)
        name = f"{call} {assignment.model.name}"
        listener = statistics_listener(self._environment, protocol=assignment.endpoint.protocol, name=name)
        self._share = LoadShare(assignment, listener, self._plan)
        self._share.check()

    def start(self, load_start_s: float) -> None:
        """Start sending from this process's users."""
        assert self._share is not None
        self._share.start(load_start_s)
        sender = self._share.sender
        TritonUser.sender = sender if isinstance(sender, Sender) else None

    def counts(self) -> Counts:
        """Return the progress of this process."""
        return self._share.counts() if self._share else Counts()

    def close(self) -> None:
        """Write the remaining rows."""
        TritonUser.sender = None
        if self._share is not None:
            self._share.close(self._environment.stop_timeout or 0.0)

    def _stop(self, **_: Any) -> None:
        if self._share is not None:
            self._share.stop(self._environment.stop_timeout or 0.0)  # as Locust waits for its users


class DistributedGenerator:
    """Generates the load in Locust's workers; runs on the master."""

    def __init__(self, runner: MasterRunner) -> None:
        self._runner = runner
        self._ids: list[str] = []
        self._folder = ""
        self._counts: dict[str, Counts] = {}
        self._last_message: dict[str, float] = {}
        self._prepared: dict[str, WorkerError | None] = {}
        self._dispatchers = Dispatchers(runner)
        # Locust's default of 3 s is too short: on a busy machine, importing pandas delays heartbeats for longer
        runners.HEARTBEAT_LIVENESS = round(_SILENT_S)
        runner.register_message("loadgen_prepared", self._on_prepared)
        runner.register_message("loadgen_counts", self._on_counts)

    def _connected(self) -> list[str]:
        clients = self._runner.clients
        return [client.id for client in [*clients.ready, *clients.spawning, *clients.running]]

    def size(self) -> int:
        """Return the number of connected workers."""
        return len(self._connected())

    def check_limits(self, users: int) -> None:
        """Check what this host allows the workers that this process started (--processes); others check themselves."""
        options = self._runner.environment.parsed_options
        if options is not None and options.processes:
            check_descriptors(users // max(1, self.size()))
            check_ports(users)

    def prepare(self, assignments: Sequence[Assignment]) -> None:
        """Plan the load and run the self-check in every worker, and wait for all of them."""
        self._dispatchers.fix()
        self._ids = self._connected()[: len(assignments)]
        self._folder = assignments[0].folder
        self._last_message, self._prepared = {}, {}
        for worker_id, assignment in zip(self._ids, assignments, strict=True):
            self._runner.send_message("loadgen_prepare", assignment.to_message(), worker_id)
        complete = self._wait(lambda: len(self._prepared) == len(self._ids) or any(self._prepared.values()))
        for error in self._prepared.values():
            if error is not None:
                raise error
        if not complete:
            raise LoadgenError(
                f"only {len(self._prepared)} of {len(self._ids)} workers answered within {_TIMEOUT_S:g} s; "
                f"check that all run the same locustfile and release of triton-loadgen, and read their logs"
            )

    def start(self, load_start_s: float) -> None:
        """Start sending from every worker's users."""
        self._counts, self._last_message = {}, dict.fromkeys(self._ids, time.monotonic())
        for worker_id in self._ids:
            self._runner.send_message("loadgen_start", {"load_start_s": load_start_s}, worker_id)

    def counts(self) -> Counts:
        """Return the sum of the workers' last counts; a worker that has sent none yet is not complete."""
        total = Counts(closed=True)
        for worker_id in self._last_message:
            total += self._counts.get(worker_id, Counts(total=1))
        if total.error is None and (lost := self._lost()):
            numbers = ", ".join(str(self._ids.index(worker_id) + 1) for worker_id in lost)
            total = replace(
                total,
                error=f"worker {numbers} of {len(self._ids)} died: no message for {_SILENT_S:g} s, so that part of the "
                f"load is missing; read the log above for the reason, free memory and CPU, and run again",
            )
        return total

    def close(self) -> None:
        """Let the workers write their remaining rows, and wait for those that are alive."""
        for worker_id in self._last_message:
            self._runner.send_message("loadgen_close", {}, worker_id)
        timeout_s = _TIMEOUT_S + (self._runner.environment.stop_timeout or 0.0)
        if not self._wait(lambda: self._unfinished() == self._lost(), timeout_s):
            raise LoadgenError(
                f"{len(self._unfinished())} of {len(self._ids)} workers did not write their last rows within "
                f"{timeout_s:g} s; free memory and CPU, and run again"
            )

    def _unfinished(self) -> list[str]:
        """Return the workers that have started and not yet reported that all their rows are written."""
        return [worker_id for worker_id in self._last_message if not self._counts.get(worker_id, Counts()).closed]

    def _lost(self) -> list[str]:
        """Return the unfinished workers that are disconnected and silent; one that just exited is not silent yet."""
        connected, silent = self._connected(), time.monotonic() - _SILENT_S
        return [
            worker_id
            for worker_id in self._unfinished()
            if worker_id not in connected and self._last_message[worker_id] < silent
        ]

    def _wait(self, done: Callable[[], bool], timeout_s: float = _TIMEOUT_S) -> bool:
        deadline = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > deadline:
                return False
            gevent.sleep(0.05)
        return True

    def _on_prepared(self, environment: Environment, msg: Any, **_: Any) -> None:
        if msg.data["folder"] != self._folder:
            return  # from an earlier run that was stopped before its load began
        error = msg.data["error"] or _clock_skew_error(msg.data["unix_s"])
        self._prepared[msg.node_id] = WorkerError(error, msg.data["exit_code"] or ExitCode.TOOL) if error else None

    def _on_counts(self, environment: Environment, msg: Any, **_: Any) -> None:
        if msg.node_id in self._last_message:
            self._last_message[msg.node_id] = time.monotonic()
            self._counts[msg.node_id] = Counts(**{**msg.data, "recent_ttft_s": tuple(msg.data["recent_ttft_s"])})


class Worker:
    """Generates a share of the load in a Locust worker, on request of the master's `DistributedGenerator`."""

    def __init__(self, environment: Environment, runner: WorkerRunner) -> None:
        self._runner = runner
        self._generator = LocalGenerator(environment)
        runner.register_message("loadgen_prepare", self._on_prepare, concurrent=True)
        runner.register_message("loadgen_start", self._on_start)
        runner.register_message("loadgen_close", self._on_close, concurrent=True)
        gevent.spawn(self._send_counts_periodically)
        load_writer()  # the import takes a second without heartbeats: now rather than during a run

    def close(self) -> None:
        """Write the remaining rows after the users have stopped, and report it to the master."""
        self._generator.close()
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
                f"a worker cannot access the run folder {folder.path}, into which it must write: start workers on the "
                f"master's host (--processes), or mount the same volume (ReadWriteMany) at the same path"
            )
        if Host.here().same_loopback(assignment.master):
            self._generator.prepare([assignment])
            return
        # the check must measure this process only, without a network between it and the reference server
        log = folder.logs / f"reference-{assignment.worker + 1}.log"
        reference = ReferenceProcess(assignment.reference.protocol, log)
        try:
            self._generator.prepare([replace(assignment, reference=reference.endpoint)])
        finally:
            reference.stop()

    def _on_start(self, environment: Environment, msg: Any, **_: Any) -> None:
        self._generator.start(msg.data["load_start_s"])

    def _on_close(self, environment: Environment, msg: Any, **_: Any) -> None:
        self._runner.stop()  # stops the users first; the test_stop event then calls `close`
        self.close()

    def _send_counts(self) -> None:
        self._runner.send_message("loadgen_counts", asdict(self._generator.counts()))

    def _send_counts_periodically(self) -> None:
        while True:
            gevent.sleep(_COUNTS_EVERY_S)
            self._send_counts()
