"""Defines the input of every analysis: one run as sorted arrays on the time axis of the load."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from loadgen.analyze.columns import Bools as Bools
from loadgen.analyze.columns import Floats as Floats
from loadgen.analyze.columns import Ints as Ints
from loadgen.analyze.columns import Texts
from loadgen.dataset.names import EventKind
from loadgen.dataset.run_info import RunInfo

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The four tables of a run folder; `docs/dataset.md` describes the columns.

    Attributes:
        requests: The requests in one, or part by part.
        tokens: The token times in one, or part by part; parts are read each time that they are iterated.
        samples: The samples.
        events: The events.
    """

    requests: "pd.DataFrame | pa.Table | Iterable[pa.Table]"
    tokens: "pd.DataFrame | pa.Table | Iterable[pa.Table]"
    samples: "pa.Table | pd.DataFrame"
    events: "pa.Table | pd.DataFrame"


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Rows of one table that cannot be true, all for one reason.

    Attributes:
        table: Name of the table.
        rows: Number of all rows of the table.
        count: Number of these rows; a row with several faults counts for the first of them.
        fault: What is wrong with them.
        example: The first of them: the columns that identify it, and the value at fault.
        left_out: Whether they are left out of everything else; otherwise only the value at fault is.
    """

    table: str
    rows: int
    count: int
    fault: str
    example: str
    left_out: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Scheduled requests in order of their due time; times are seconds, NaN for what did not happen.

    Attributes:
        ids: Request numbers.
        scheduled_s: When each was due.
        sent_s: When it was sent.
        first_s: When its first token arrived.
        last_s: When its last token arrived.
        ended_s: When its outcome was known.
        outcome: Outcome.
        cause: Cause; None without one.
        output_tokens: Tokens received, NaN when unknown.
        max_tokens: Most output tokens that were requested.
        ok: Whether it ended `ok`.
        stopped: Whether a stop of the run ended it before its time-out, or kept it from being sent.
        by_generator: Whether it failed because of the load generator, which makes the run invalid; it is not judged.
        engine_queue_s: How long it waited inside the engine, by the engine; NaN where it was not measured.
        engine_prefill_s: From its first iteration in the engine to its first token; NaN where it was not measured.
        engine_decode_s: From its first to its last token in the engine; NaN where it was not measured.
        pod: Replica that answered; None where it was not observed.
    """

    ids: Ints
    scheduled_s: Floats
    sent_s: Floats
    first_s: Floats
    last_s: Floats
    ended_s: Floats
    outcome: Texts
    cause: Texts
    output_tokens: Floats
    max_tokens: Floats
    ok: Bools
    stopped: Bools
    by_generator: Bools
    engine_queue_s: Floats
    engine_prefill_s: Floats
    engine_decode_s: Floats
    pod: Texts

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def judged(self) -> Bools:
        """Whether it is known how the server ended a request: not if a stop or the load generator did."""
        return ~self.stopped & ~self.by_generator

    @property
    def open(self) -> Bools:
        """Whether a request was in flight, and younger than its time-out, when a stop of the run ended it."""
        return self.stopped & ~np.isnan(self.sent_s)

    @property
    def due(self) -> Bools:
        """Whether a request became due: all but those that a stop kept from being sent."""
        return ~(self.stopped & np.isnan(self.sent_s))

    @property
    def ttft_s(self) -> Floats:
        """Time from scheduled to first token; NaN without a first token."""
        return self.first_s - self.scheduled_s

    @property
    def e2e_s(self) -> Floats:
        """Time from scheduled to last token of `ok` requests; NaN for others."""
        return np.where(self.ok, self.last_s - self.scheduled_s, np.nan)

    @property
    def age_s(self) -> Floats:
        """Time from scheduled to the end of the request, whatever its outcome; NaN without an end."""
        return self.ended_s - self.scheduled_s

    @property
    def send_lag_s(self) -> Floats:
        """Time from scheduled to sent; NaN for requests that were never sent."""
        return self.sent_s - self.scheduled_s

    @property
    def service_s(self) -> Floats:
        """Service time: how long the engine worked on an `ok` request, prefill and decode; NaN where not measured.

        A service that was cut short is none, so it is NaN, too.
        """
        return np.where(self.ok, self.engine_prefill_s + self.engine_decode_s, np.nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Responses that carried output, of some requests, request by request.

    Attributes:
        t_s: Arrival times, in order within a request.
        row: Index into `Requests` of each request.
        lengths: Number of responses of each request, at least 1.
    """

    t_s: Floats
    row: Ints
    lengths: Ints

    def gaps(self) -> Floats:
        """The gaps between consecutive responses of a request: one fewer than responses, request by request."""
        between = np.cumsum(self.lengths[:-1]) - 1
        return np.delete(np.diff(self.t_s), between)


@dataclass(frozen=True, slots=True)
class Series:
    """Samples of one signal of one replica, with strictly increasing times."""

    t_s: Floats
    value: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One row of `events` with its data parsed."""

    t_s: float
    kind: str
    pod: str | None
    reason: str | None
    message: str | None
    data: Mapping[str, Any]

    @property
    def until_s(self) -> float:
        """The end of the event: a collection gap has a duration, other events have none."""
        start, end = self.data.get("from_s"), self.data.get("to_s")
        if not isinstance(start, int | float) or not isinstance(end, int | float):
            return self.t_s
        return self.t_s + (end - start)

    @property
    def replica_counts(self) -> tuple[int, int] | None:
        """The desired replicas before and after a rescale; None for other events, and where a count is unknown."""
        before, after = self.data.get("before"), self.data.get("after")
        if self.kind != EventKind.HPA_RESCALE or not isinstance(before, int) or not isinstance(after, int):
            return None
        return before, after


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How requests came from the load generator onto the wire; None where it was not recorded.

    Attributes:
        wait_p99_s: 99th percentile of the time from sending to the last byte that the kernel took.
        wait_max_s: The longest.
        resent: Requests that were sent a second time.
    """

    wait_p99_s: float | None = None
    wait_max_s: float | None = None
    resent: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One run, ready for analysis; every time is seconds with 0 at the start of the load.

    Attributes:
        info: The content of `run.json`, whose times are on the axis of the run.
        zero_s: Time of 0 on the axis of the run.
        length_s: Length of the load: until its last response, or until its last record when it was interrupted;
            None when no load started.
        first_s: Time of the first record.
        last_s: Time of the last record.
        interrupted: Whether the tool died before the end of the load.
        requests: Scheduled requests.
        delivery: How they came onto the wire.
        answers: Their responses, part by part; they are read each time that they are iterated.
        signals: Signal → replica ("" for the fleet) → samples.
        events: All events in order.
        misdated_s: Times of the samples and events that cannot be of this run, which are left out of everything else: a
            clock was set.
        damage: Rows that cannot be true; those of `tokens` are counted when the answers are read.
        chunks: Whether chunks of answers were counted, because the server does not count tokens.
    """

    info: RunInfo
    zero_s: float
    length_s: float | None
    first_s: float
    last_s: float
    interrupted: bool
    requests: Requests
    answers: Iterable[Answers]
    signals: Mapping[str, Mapping[str, Series]]
    events: tuple[Event, ...]
    misdated_s: Floats
    damage: tuple[Damage, ...] = ()
    chunks: bool = False
    delivery: Delivery = Delivery()

    @property
    def warm_up_s(self) -> float:
        """Requests due before this time are not judged."""
        given = self.info.settings.get("warm_up_s")
        return float(given) if isinstance(given, int | float) and 0 < given < math.inf else 0.0

    @property
    def warm(self) -> Bools:
        """Whether each request was due after the warm-up; all are without one."""
        return self.requests.scheduled_s >= (self.warm_up_s or -math.inf)

    @property
    def end_s(self) -> float:
        """End of the load, 0 when none started."""
        return self.length_s or 0.0

    def of_kind(self, *kinds: str) -> list[Event]:
        """Events of these kinds, in order."""
        return [event for event in self.events if event.kind in kinds]
