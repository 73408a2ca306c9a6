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
from loadgen.load.dispatcher import Dispatcher
from loadgen.load.garbage import PausedCollector
from loadgen.load.host import Host
from loadgen.load.monitor import PERIOD_S, Monitor
from loadgen.load.plan import LoadPlan
from loadgen.load.recorder import PART_S, Recorder
from loadgen.load.selfcheck import SelfCheck, self_check, streams_to_check
from loadgen.load.sender import Sender
from loadgen.load.tally import Counts, OnAnswer
from loadgen.protocols import triton_grpc
from loadgen.protocols.detect import Model
from loadgen.protocols.endpoint import AnyModel, Endpoint, connections, model_from_message
from loadgen.protocols.reference import MODEL
from loadgen.scenario.settings import Scenario

_RETRY_S = 1.0
"""Time between attempts to write the last rows while the disk is full."""

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
        has_users: Whether Locust's users send the requests, rather than the dispatcher.
    """

    folder: str
    master: Host
    endpoint: Endpoint
    model: AnyModel
    stream: bool
    reference: Endpoint
    worker: int
    workers: int
    has_users: bool = False

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
            "model": model_from_message(message["model"]),
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
        self._collector: PausedCollector | None = None
        self.sender: Sender | Dispatcher | None = None

    def check(self) -> SelfCheck:
        """Prepare this process for its number of streams, then check it against the reference server.

        Raises:
            SelfCheckError: this process would report wrong token times.
        """
        workers = self._assignment.workers
        users = self._plan.users(workers) // workers
        endpoint = self._assignment.endpoint
        check_descriptors(
            users if self._assignment.has_users else connections(endpoint.protocol, endpoint.client, users)
        )
        if endpoint.protocol == "grpc":
            triton_grpc.prepare(users if endpoint.client == "reference" else 0)
        return self_check(
            lambda: self._assignment.reference.connect(REFERENCE_MODEL, stream=True), streams_to_check(users, workers)
        )

    def start(self, load_start_s: float) -> None:
        """Start sending; the load starts at `load_start_s` on the run's time axis."""
        start = self._clock.to_monotonic(load_start_s)
        if self._assignment.has_users:
            self.sender = self._sender(start)
        else:
            self._collector = PausedCollector()
            self.sender = self._dispatcher(start)
        self._background.spawn(self._flush_periodically)
        self._background.spawn(self._sample_periodically)

    def _sender(self, start: float) -> Sender:
        assignment = self._assignment
        return Sender(
            plan=self._plan,
            numbers=self._plan.share(assignment.worker, assignment.workers),
            start=start,
            connect=lambda: assignment.endpoint.connect(assignment.model, stream=assignment.stream),
            recorder=self._recorder,
            on_answer=self._on_answer,
        )

    def _dispatcher(self, start: float) -> Dispatcher:
        assignment = self._assignment
        return Dispatcher(
            plan=self._plan,
            numbers=self._plan.share(assignment.worker, assignment.workers),
            start=start,
            client=assignment.endpoint.open(assignment.model, stream=assignment.stream),
            recorder=self._recorder,
            on_answer=self._on_answer,
        )

    def counts(self) -> Counts:
        """Return the progress of this process."""
        counts = self.sender.counts() if self.sender else Counts(total=len(self._plan))
        return replace(counts, error=self._error, closed=self._closed)

    def stop(self, grace_s: float = 0.0) -> None:
        """Stop sending; requests in flight continue.

        Args:
            grace_s: Time to wait for them where no user of Locust does, seconds.
        """
        if self.sender is not None:
            self.sender.stop()
        if isinstance(self.sender, Dispatcher):
            self.sender.drain(grace_s)

    def close(self, grace_s: float = 0.0) -> None:
        """Stop sending and write the remaining rows. A second call does nothing.

        It waits while the disk is full, until the recorder gives up.

        Args:
            grace_s: Time for requests in flight to end by themselves, seconds.
        """
        if self.sender is not None and not self._closed:
            with self._errors_recorded():
                self.sender.close(grace_s)
                while not self._recorder.flush():
                    gevent.sleep(_RETRY_S)
        self._background.kill()
        if self._collector is not None:
            self._collector.resume()
            self._collector = None
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
            if self._collector is not None:
                self._collector.check()
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
