"""Records one row per arrival of one process, and writes them to the run folder every few seconds."""

import logging
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from loadgen.base.clock import Clock
from loadgen.base.console import say
from loadgen.base.errors import RecordError
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.names import Cause, Outcome
from loadgen.dataset.outage import Outage
from loadgen.dataset.tables import REQUESTS, TOKENS, table_of
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


class _Rows:
    """Rows of a table that are not yet on disk, stored by column."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self._columns: list[list[Any]] = [[] for _ in schema.names]

    def add(self, *values: object) -> None:
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)

    def table(self) -> pa.Table:
        """Return all rows; values that cannot be written are left out, named in the log and counted by their cause."""
        table, unwritable = table_of(self.schema, self._columns)
        for row in unwritable:
            _LOG.error("request %s", row)
        if unwritable:
            self._columns = [column.to_pylist() for column in table.columns]
            self._note_causes({row.key for row in unwritable if not row.dropped})
            table, _ = table_of(self.schema, self._columns)
        return table

    def _note_causes(self, requests: set[object]) -> None:
        if "cause" in self.schema.names:
            causes = self._columns[self.schema.get_field_index("cause")]
            for number, request in enumerate(self._columns[0]):
                if request in requests:
                    causes[number] = Cause.NOT_RECORDABLE


class Recorder:
    """Buffers rows in memory and writes them as part files; they stay in memory while the disk is full.

    Args:
        folder: The run's folder.
        clock: The run's time axis; answers have readings of the monotonic clock.
        worker: Number of this process, which keeps its part files apart from those of other processes.
    """

    def __init__(self, folder: RunFolder, clock: Clock, worker: int) -> None:
        self._folder = folder
        self._clock = clock
        self._worker = worker
        self._requests = _Rows(REQUESTS)
        self._tokens = _Rows(TOKENS)
        self._samples: deque[Mapping[str, Any]] = deque(maxlen=MAX_SAMPLES)
        self._rows = 0
        self._outage = Outage(folder.path, clock, say)

    def record(self, arrival: Arrival, scheduled: float, sent: float, answer: Answer) -> None:
        """Add the row of a request that was sent; times are readings of the monotonic clock."""
        times = self._clock.at_monotonic
        self._rows += 1 + len(answer.token_times)
        token_times = [times(at) for at in answer.token_times]
        self._requests.add(
            arrival.number,
            self._worker,
            times(scheduled),
            times(sent),
            token_times[0] if token_times else None,
            None if answer.last is None else times(answer.last),
            times(answer.ended),
            answer.outcome,
            answer.cause,
            arrival.prompt.input_tokens,
            arrival.prompt.max_tokens,
            answer.output_tokens,
            answer.token_source,
            *answer.engine,
            answer.pod,
        )
        if token_times:
            self._tokens.add(arrival.number, token_times)

    def record_unsent(self, arrival: Arrival, scheduled: float, cause: str) -> None:
        """Add the row of an arrival that was due and never sent."""
        self._rows += 1
        outcome = Outcome.NOT_SENT
        prompt = arrival.prompt
        times = (self._clock.at_monotonic(scheduled), None, None, None, None)
        lengths = prompt.input_tokens, prompt.max_tokens
        self._requests.add(arrival.number, self._worker, *times, outcome, cause, *lengths, *_NOT_ANSWERED)

    def record_samples(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows of `samples/` about this process; the newest hour of them is kept while the disk is full."""
        self._samples.extend(rows)

    def flush(self) -> bool:
        """Write a part file of each table; False if that failed and the rows are kept for the next attempt.

        Raises:
            RecordError: the disk stays full, `MAX_ROWS` are in memory, or the run folder is gone.
        """
        try:
            self._requests = self._write("requests", self._requests)
            self._tokens = self._write("tokens", self._tokens)
            self._folder.append("samples", f"load{self._worker}", list(self._samples))
            self._samples.clear()
            if (delay := self._outage.event()) is not None:
                self._folder.append("events", f"load{self._worker}", [delay.row()])
        except RecordError as error:
            self._outage.failed(error)
            if self._rows > MAX_ROWS:
                raise
            return False
        self._rows = 0
        self._outage.end()
        return True

    def _write(self, table: str, rows: _Rows) -> _Rows:
        self._folder.append(table, f"load{self._worker}", rows.table())
        return _Rows(rows.schema)
