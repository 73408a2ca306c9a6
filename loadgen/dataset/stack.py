"""Reads and writes `stack/` of a run folder: the state of the fleet and its journal (docs/dataset.md)."""

import errno
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from loadgen.base.checked import error_sentence
from loadgen.base.clock import Clock
from loadgen.base.console import Say
from loadgen.base.errors import RecordError, StackError
from loadgen.base.files import disk_problem, record_error, write_whole
from loadgen.base.text import clean
from loadgen.dataset.events import Event
from loadgen.dataset.outage import Outage

StackPhase = Literal["starting", "ready", "stopping", "failed"]
ReplicaPhase = Literal["created", "scheduled", "pulling", "started", "ready", "draining", "crashed"]


# This TensorRT-LLM model blocks, so waiting requests stay in Triton's queue, where the ratio counts them.
DEFAULT_MODEL = "tensorrt_llm_bls"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaState:
    """One replica; its addresses (`host:port`) are None while it has no server process, its node while it has none."""

    name: str
    phase: ReplicaPhase
    http: str | None = None
    grpc: str | None = None
    metrics: str | None = None
    node: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """What a node with replicas on it has; a value is None where the node does not report it."""

    name: str
    cpu_cores: float | None = None
    memory_bytes: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StackState:
    """The content of `state.json`: the current state of the fleet.

    Attributes:
        phase: `ready` once the gateway serves the first replicas; `stopping` is also the last phase of a normal end.
        error: Error message when the phase is `failed`.
        gateway: `host:port` of the gateway for HTTP and gRPC.
        prometheus: Base URL of Prometheus.
        custom_metrics: URL of the metric in the custom metrics API of a cluster.
        node_use: URL of the nodes in the metrics API of a cluster.
        replica_use: URL of the replicas in the metrics API of a cluster.
        model: Model under test, whose counters make the ratio.
        desired: Replicas that the autoscaler requests.
        metric_milli: The metric that it last read, averaged over the pods; None when it could not read it.
        versions: Version of each program.
        replicas: Oldest first, without stopped ones.
        nodes: The nodes of a cluster with replicas on them, by name; empty where they may not be read.
    """

    phase: StackPhase = "starting"
    error: str | None = None
    gateway: str | None = None
    prometheus: str | None = None
    custom_metrics: str | None = None
    node_use: str | None = None
    replica_use: str | None = None
    model: str
    desired: int
    metric_milli: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    replicas: tuple[ReplicaState, ...] = ()
    nodes: tuple[NodeState, ...] = ()

    @classmethod
    def initial(cls, model: str | None, desired: int) -> "StackState":
        """The state before anything runs."""
        return cls(model=model or DEFAULT_MODEL, desired=desired)


_STATE = TypeAdapter(StackState)


class StackFolder:
    """`stack/` below a run folder."""

    def __init__(self, run: Path) -> None:
        self.path = run / "stack"
        self.state_file = self.path / "state.json"
        self.journal_file = self.path / "journal.jsonl"
        self.progress_file = self.path / "progress.txt"

    def write(self, state: StackState) -> None:
        """Replace `state.json` atomically.

        Raises:
            RecordError: the disk is full or the run folder is gone.
        """
        self._make()
        write_whole(self.state_file, _STATE.dump_json(state, indent=2) + b"\n")

    def read(self) -> StackState:
        """Read and validate `state.json`.

        Raises:
            StackError: it is missing or unreadable.
        """
        try:
            return _STATE.validate_json(self.state_file.read_bytes())
        except FileNotFoundError:
            raise StackError(f"{self.state_file} is missing: the local stack was never started in this run") from None
        except OSError as error:
            raise StackError(f"{self.state_file} cannot be read ({error.strerror}): start the run again") from error
        except ValidationError as error:
            reason = clean(error_sentence("the state", error))
            raise StackError(f"{self.state_file} is damaged ({reason}): start the run again") from error

    def emit(self, *events: Event) -> None:
        """Append events to `journal.jsonl`: all of them or none.

        Raises:
            RecordError: the disk is full or the run folder is gone.
        """
        self._append(self.journal_file, b"".join(event.line() for event in events))

    def progress(self, sentence: str) -> None:
        """Append a progress message of the start-up; `start_stack` shows it to the user."""
        self._append(self.progress_file, sentence.encode() + b"\n")

    def _make(self) -> None:
        try:
            self.path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise self._error(f"create {self.path}", error) from error

    def _error(self, what: str, error: OSError) -> RecordError:
        reason, advice = disk_problem(error, self.path.parent)
        return record_error(self.path.parent, f"cannot {what}: {reason}; {advice} and try again")

    def _append(self, file: Path, lines: bytes) -> None:
        self._make()
        try:
            # unbuffered, and a single write: a reader of whole lines never sees part of an event
            with file.open("ab", buffering=0) as out:
                size = out.tell()
                if out.write(lines) < len(lines):
                    out.truncate(size)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise self._error(f"write {file}", error) from error


class StackWriter:
    """Writes `stack/` during a run; while the disk is full, the state and the events stay in memory.

    Args:
        run: The run folder.
        clock: The run's time axis.
        say: Receives a sentence when the disk is full.
    """

    def __init__(self, run: Path, clock: Clock, say: Say) -> None:
        self._folder = StackFolder(run)
        self._outage = Outage(self._folder.path, clock, say)
        self._events: list[Event] = []
        self._state: StackState | None = None
        self._written: StackState | None = None

    def emit(self, event: Event) -> None:
        """Append an event to the journal; see `flush`."""
        self._events.append(event)
        self.flush()

    def write(self, state: StackState) -> None:
        """Replace the state if it has changed; see `flush`."""
        self._state = state
        self.flush()

    def progress(self, sentence: str) -> None:
        """Append a progress message, which is lost while the disk is full."""
        with suppress(RecordError):
            self._folder.progress(sentence)

    def flush(self) -> bool:
        """Write what is in memory; False if that failed, and it stays there for the next call.

        Raises:
            RecordError: the disk stays full, or the run folder is gone.
        """
        try:
            self._flush_state()  # first, as a state that says why the stack ends must not wait for the events
            self._flush_events()
        except RecordError as error:
            self._outage.failed(error)
            return False
        self._outage.end()
        return True

    def _flush_state(self) -> None:
        if self._state is not None and self._state != self._written:
            self._folder.write(self._state)
            self._written = self._state

    def _flush_events(self) -> None:
        if self._events:
            self._folder.emit(*self._events)
            self._events.clear()
        if (delay := self._outage.event()) is not None:
            self._folder.emit(delay)
