"""Runs the share of the load that one process sends: self-check, sender and recorder."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import gevent
from gevent.pool import Group

from loadgen.base.errors import LoadgenError, unexpected
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.tables import load_writer
from loadgen.load.descriptors import check_descriptors
from loadgen.load.host import Host
from loadgen.load.monitor import PERIOD_S, Monitor
from loadgen.load.plan import LoadPlan
from loadgen.load.recorder import PART_S, Recorder
from loadgen.load.selfcheck import SelfCheck, self_check, streams_to_check
from loadgen.load.sender import Counts, OnAnswer, Sender
from loadgen.protocols import triton_grpc
from loadgen.protocols.detect import Model
from loadgen.protocols.endpoint import Endpoint
from loadgen.protocols.reference import MODEL
from loadgen.scenario.settings import Scenario

REFERENCE_MODEL = Model(name=MODEL, family="trtllm", batched=True, decoupled=True, streams=True, counts_tokens=False)
"""The model of the self-check's reference server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What one process needs to know before a run.

    Attributes:
        folder: Path of the run folder, which the process must be able to write.
        master: Host of the process that owns the run.
        endpoint: Server to send requests to.
        model: Model to request.
        stream: Whether answers are streamed.
        reference: Reference server of the self-check.
        worker: Number of this process, from 0.
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
        """Return the assignment as plain values for a Locust message."""
        return asdict(self)

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> "Assignment":
        """Build an assignment from the values of a Locust message."""
        parts = {
            **message,
            "master": Host(**message["master"]),
            "endpoint": Endpoint.from_message(message["endpoint"]),
            "model": Model.from_message(message["model"]),
            "reference": Endpoint.from_message(message["reference"]),
        }
        return cls(**parts)


class LoadShare:
    """The share of one run that this process sends.

    Raises:
        LoadgenError: the run folder cannot be read, or the prompt file is malformed.
    """

    def __init__(self, assignment: Assignment, on_answer: OnAnswer, plan: LoadPlan | None = None) -> None:
        self._assignment = assignment
        self._on_answer = on_answer
        self._folder = RunFolder(Path(assignment.folder))
        info = self._folder.read_info()
        same = Host.here().same_clock(assignment.master)
        self._clock = info.clock if same else info.clock.elsewhere()
        self._plan = (LoadPlan(Scenario(**info.settings)) if plan is None else plan).of_run(info.run_id)
        self._recorder = Recorder(self._folder, self._clock, assignment.worker)
        load_writer()  # the import takes a second, in which nothing could be sent
        self._background = Group()
        self._error: str | None = None
        self._closed = False
        self.sender: Sender | None = None

    def check(self) -> SelfCheck:
        """Prepare this process for its number of streams, then check it against the reference server.

        Raises:
            SelfCheckError: this process would report wrong token times.
        """
        workers = self._assignment.workers
        users = self._plan.users(workers) // workers
        check_descriptors(users)
        if self._assignment.endpoint.protocol == "grpc":
            triton_grpc.prepare(users)
        return self_check(
            lambda: self._assignment.reference.connect(REFERENCE_MODEL, stream=True), streams_to_check(users, workers)
        )

    def start(self, load_start_s: float) -> None:
        """Start sending; the load starts at `load_start_s` on the run's time axis."""
        assignment = self._assignment
        self.sender = Sender(
            plan=self._plan,
            numbers=self._plan.share(assignment.worker, assignment.workers),
            start=self._clock.to_monotonic(load_start_s),
            connect=lambda: assignment.endpoint.connect(assignment.model, stream=assignment.stream),
            recorder=self._recorder,
            on_answer=self._on_answer,
        )
        self._background.spawn(self._flush_periodically)
        self._background.spawn(self._sample_periodically)

    def counts(self) -> Counts:
        """Return the progress of this process."""
        counts = self.sender.counts() if self.sender else Counts(total=len(self._plan))
        return replace(counts, error=self._error, closed=self._closed)

    def stop(self) -> None:
        """Stop sending; requests in flight continue."""
        if self.sender is not None:
            self.sender.stop()

    def close(self) -> None:
        """Write the remaining rows after the users have stopped. A second call does nothing."""
        self._background.kill()
        if self.sender is not None and not self._closed:
            with self._errors_recorded():
                self.sender.close()
        self._closed = True

    def _flush_periodically(self) -> None:
        while self._error is None:
            gevent.sleep(PART_S)
            with self._errors_recorded():
                self._recorder.flush()

    def _sample_periodically(self) -> None:
        monitor = Monitor(self._assignment.worker)
        while self._error is None:
            due = time.monotonic() + PERIOD_S
            gevent.sleep(PERIOD_S)
            now = time.monotonic()
            with self._errors_recorded():
                self._recorder.record_samples(monitor.samples(self._clock.at_monotonic(now), now - due))

    @contextmanager
    def _errors_recorded(self) -> Iterator[None]:
        try:
            yield
        except LoadgenError as error:
            self._error = str(error)
        except Exception as fault:  # a bug of ours must end the run with a message rather than lose rows silently
            self._error = str(unexpected(fault))
