"""Records one row per arrival of one process, and writes them to the run folder every few seconds."""

import logging
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import gevent
import pyarrow as pa
from gevent.lock import BoundedSemaphore

from loadgen.base.clock import Clock
from loadgen.base.console import say
from loadgen.base.errors import RecordError
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.names import Cause, Outcome
from loadgen.dataset.outage import Outage
from loadgen.dataset.tables import REQUESTS, TOKENS, table_of
from loadgen.load.columns import Columns, Lists
from loadgen.load.plan import Arrival
from loadgen.protocols.answer import Answer

_LOG = logging.getLogger(__name__)

PART_S = 3.0
"""Seconds between part files: a crash loses at most this much."""
MAX_ROWS = 2_000_000
"""Most requests and token times in memory while the disk is full: about 200 MB."""
MAX_SAMPLES = 20_000
"""Most samples in memory while the disk is full: those of an hour."""
_NOT_ANSWERED = (None,) * (len(REQUESTS.names) - REQUESTS.get_field_index("output_tokens"))
"""The columns of an answer, from `output_tokens` on, for a request without one."""


class Recorder:
    """Buffers rows in memory and writes them as part files; they stay in memory while the disk is full.

    Args:
        folder: The run's folder.
        clock: The run's time axis; answers have readings of the monotonic clock.
        worker: Number of this process, which keeps its part files apart from those of other processes.
    """

    def __init__(self, folder: RunFolder, clock: Clock, worker: int) -> None:
        self._folder = folder
        self._anchor = clock.anchor_monotonic_s
        self._worker = worker
        self._requests = Columns(REQUESTS)
        self._tokens = Lists(TOKENS)
        self._unwritten: dict[str, list[pa.Table]] = {"requests": [], "tokens": []}
        self._flushing = BoundedSemaphore()
        self._samples: deque[Mapping[str, Any]] = deque(maxlen=MAX_SAMPLES)
        self._rows = 0
        self._outage = Outage(folder.path, clock, say)

    def record(self, arrival: Arrival, scheduled: float, sent: float, answer: Answer) -> None:
        """Add the row of a request that was sent; times are readings of the monotonic clock."""
        anchor, token_times, last, prompt = self._anchor, answer.token_times, answer.last, arrival.prompt
        self._add(
            (
                arrival.number,
                self._worker,
                scheduled - anchor,
                sent - anchor,
                token_times[0] - anchor if token_times else None,
                None if last is None else last - anchor,
                answer.ended - anchor,
                answer.outcome,
                answer.cause,
                prompt.input_tokens,
                prompt.max_tokens,
                answer.output_tokens,
                answer.token_source,
                *answer.engine,
                answer.pod,
                None if answer.on_wire is None else answer.on_wire - anchor,
                answer.resent,
            )
        )
        if token_times:
            self._tokens.add(arrival.number, token_times)

    def record_unsent(self, arrival: Arrival, scheduled: float, cause: str) -> None:
        """Add the row of an arrival that was due and never sent."""
        prompt = arrival.prompt
        times = (scheduled - self._anchor, None, None, None, None)
        lengths = prompt.input_tokens, prompt.max_tokens
        self._add((arrival.number, self._worker, *times, Outcome.NOT_SENT, cause, *lengths, *_NOT_ANSWERED))

    def _add(self, row: tuple[object, ...]) -> None:
        """Add a row of `requests`; values that cannot be written are left out, named in the log and as the cause."""
        try:
            self._requests.add(row)
        except (TypeError, ValueError, OverflowError):
            table, unwritable = table_of(REQUESTS, [[value] for value in row])
            for each in unwritable:
                _LOG.error("request %s", each)
            for values in table.to_pylist():
                self._requests.add(tuple({**values, "cause": Cause.NOT_RECORDABLE}.values()))

    def record_samples(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows of `samples/` about this process; the newest hour of them is kept while the disk is full."""
        self._samples.extend(rows)

    def flush(self) -> bool:
        """Write a part file of each table; False if that failed and the rows are kept for the next attempt.

        The files are written by a thread, so that the hub goes on reading.

        Raises:
            RecordError: the disk stays full, `MAX_ROWS` are in memory, or the run folder is gone.
        """
        # Locust may kill the caller, which must not end a write halfway; gevent prints what a greenlet raises
        written: bool | RecordError = gevent.spawn(self._flush).get()
        if isinstance(written, RecordError):
            raise written
        return written

    def _flush(self) -> bool | RecordError:
        with self._flushing:
            self._take("requests", self._requests.table(), len(self._requests))
            self._requests = Columns(REQUESTS)
            self._take("tokens", self._tokens.table(-self._anchor), self._tokens.numbers)
            self._tokens = Lists(TOKENS)
            try:
                for name, tables in self._unwritten.items():
                    if tables:
                        self._append(name, pa.concat_tables(tables))
                        tables.clear()
                samples = list(self._samples)
                self._append("samples", samples)
                for _ in samples:
                    self._samples.popleft()
                if (delay := self._outage.event()) is not None:
                    self._append("events", [delay.row()])
            except RecordError as error:
                return self._failed(error)
            self._rows = 0
            self._outage.end()
            return True

    def _failed(self, error: RecordError) -> bool | RecordError:
        try:
            self._outage.failed(error)
        except RecordError as final:
            return final
        return error if self._rows > MAX_ROWS else False

    def _take(self, name: str, table: pa.Table, rows: int) -> None:
        if rows:
            self._unwritten[name].append(table)
            self._rows += rows

    def _append(self, name: str, rows: Any) -> None:
        writer = f"load{self._worker}"

        def write() -> RecordError | None:
            try:
                self._folder.append(name, writer, rows)
            except RecordError as error:
                return error  # gevent prints what a thread raises
            return None

        if (error := gevent.get_hub().threadpool.apply(write)) is not None:
            raise error
