"""One process's part in a run: check itself, carry its share, keep the rows. Local, master's worker, all the same."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import gevent

from loadgen.base.errors import LoadgenError, unexpected
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.tables import load_writer
from loadgen.load.host import Host
from loadgen.load.plan import Arrival, LoadPlan
from loadgen.load.recorder import PART_S, Recorder
from loadgen.load.selfcheck import SelfCheck, self_check, streams_to_check
from loadgen.load.sender import Counts, Sender
from loadgen.protocols import triton_grpc
from loadgen.protocols.answer import Answer
from loadgen.protocols.detect import Model
from loadgen.protocols.endpoint import Endpoint
from loadgen.protocols.reference import MODEL
from loadgen.scenario.settings import Scenario

REFERENCE_MODEL = Model(name=MODEL, family="trtllm", batched=True, decoupled=True, streams=True, counts_tokens=False)
"""The model of the reference server that the self-check asks."""

Report = Callable[[Arrival, float, Answer], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a process is told before a run.

    Attributes:
        folder: Path of the run folder; must be visible to the process.
        master: Where the process runs that has the run.
        endpoint: Where requests go.
        model: What they ask.
        stream: Whether answers are streamed.
        reference: The reference server of the self-check.
        worker: Number of the process.
        workers: Number of processes.
    """

    folder: str
    master: Host
    endpoint: Endpoint
    model: Model
    stream: bool
    reference: Endpoint
    worker: int
    workers: int

    def to_message(self) -> dict[str, Any]:
        """As plain values, for Locust's messages."""
        return asdict(self)

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> "Assignment":
        """From plain values."""
        parts = {
            **message,
            "master": Host(**message["master"]),
            "endpoint": Endpoint(**message["endpoint"]),
            "model": Model(**message["model"]),
            "reference": Endpoint(**message["reference"]),
        }
        return cls(**parts)


class Carrier:
    """One process's part in one run.

    Raises:
        LoadgenError: the run folder is not visible here, or the prompt file is malformed.
    """

    def __init__(self, assignment: Assignment, report: Report, plan: LoadPlan | None = None) -> None:
        self._assignment = assignment
        self._report = report
        self._folder = RunFolder(Path(assignment.folder))
        info = self._folder.read_info()
        same = Host.here().same_clock(assignment.master)
        self._clock = info.clock if same else info.clock.elsewhere()
        self._plan = LoadPlan(Scenario(**info.settings)) if plan is None else plan
        self._recorder = Recorder(self._folder, self._clock, assignment.worker)
        load_writer()  # not during the load
        self._flusher: gevent.Greenlet | None = None
        self._error: str | None = None
        self._closed = False
        self.sender: Sender | None = None

    def check(self) -> SelfCheck:
        """Make this process safe for its number of streams, then prove it against the reference server.

        Raises:
            SelfCheckError: token times from this process could not be trusted.
        """
        workers = self._assignment.workers
        users = self._plan.users(workers) // workers
        if self._assignment.endpoint.wire == "grpc":
            triton_grpc.prepare(users)
        return self_check(
            lambda: self._assignment.reference.connect(REFERENCE_MODEL, stream=True), streams_to_check(users, workers)
        )

    def go(self, load_start_s: float) -> None:
        """Start the share; the load starts at `load_start_s` of the run's time axis."""
        part = self._assignment
        self.sender = Sender(
            plan=self._plan,
            numbers=self._plan.share(part.worker, part.workers),
            start=self._clock.to_monotonic(load_start_s),
            connect=lambda: part.endpoint.connect(part.model, stream=part.stream),
            recorder=self._recorder,
            report=self._report,
        )
        self._flusher = gevent.spawn(self._flush_for_ever)

    def counts(self) -> Counts:
        """Where this process stands."""
        counts = self.sender.counts() if self.sender else Counts(total=len(self._plan))
        return replace(counts, error=self._error, closed=self._closed)

    def stop(self) -> None:
        """Send nothing that is due from now on."""
        if self.sender is not None:
            self.sender.stop()

    def close(self) -> None:
        """Write what is left; call it once the users stopped. A second call does nothing."""
        if self._flusher is not None:
            self._flusher.kill()
            self._flusher = None
        if self.sender is not None and not self._closed:
            with self._told():
                self.sender.close()
        self._closed = True

    def _flush_for_ever(self) -> None:
        while self._error is None:
            gevent.sleep(PART_S)
            with self._told():
                self._recorder.flush()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except LoadgenError as error:
            self._error = str(error)
        except Exception as fault:  # a fault of ours must end the run with a sentence, not lose rows in silence
            self._error = str(unexpected(fault))
