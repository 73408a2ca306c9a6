"""One run as sorted arrays on the load's own time axis: what every analysis reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from loadgen.dataset.run_info import RunInfo

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Objects = npt.NDArray[np.object_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The four tables of a run folder as read; columns as in `docs/dataset.md`."""

    requests: pd.DataFrame
    tokens: pd.DataFrame
    samples: pd.DataFrame
    events: pd.DataFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Due requests in the order in which they were due; times in seconds, NaN when they did not happen.

    Attributes:
        ids: Request numbers.
        scheduled_s: When each was due.
        sent_s: When it was sent.
        first_s: When its first token came.
        last_s: When its last token came.
        ended_s: When its outcome was known.
        outcome: Outcome, a string.
        cause: Cause, a string or None.
        output_tokens: Tokens received, NaN when unknown.
        ok: Whether it ended `ok`.
        stopped: Whether the operator's stop ended it or kept it from being sent: nobody's fault, never judged.
    """

    ids: Ints
    scheduled_s: Floats
    sent_s: Floats
    first_s: Floats
    last_s: Floats
    ended_s: Floats
    outcome: Objects
    cause: Objects
    output_tokens: Floats
    ok: Bools
    stopped: Bools

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def judged(self) -> Bools:
        """Requests that the verdict is about."""
        return ~self.stopped

    @property
    def due(self) -> Bools:
        """Requests whose time came: all but those that a stop kept from being sent."""
        return ~(self.stopped & np.isnan(self.sent_s))

    @property
    def ttft_s(self) -> Floats:
        """First token − scheduled; NaN without a first token."""
        return self.first_s - self.scheduled_s

    @property
    def e2e_s(self) -> Floats:
        """Last token − scheduled of `ok` requests; NaN for the others."""
        return np.where(self.ok, self.last_s - self.scheduled_s, np.nan)

    @property
    def send_lag_s(self) -> Floats:
        """Sent − scheduled; NaN when never sent."""
        return self.sent_s - self.scheduled_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """All answers that carried output, request after request.

    Attributes:
        t_s: Arrival times, in order within a request.
        row: Index into `Requests` of the request that each belongs to.
        tokens: Output tokens that each answer stands for: the request's tokens spread evenly over its answers.
        count: Number of answers of each request, in the order of `Requests`.
    """

    t_s: Floats
    row: Ints
    tokens: Floats
    count: Ints


@dataclass(frozen=True, slots=True)
class Series:
    """Samples of one signal of one replica: times in ascending order, no time twice."""

    t_s: Floats
    value: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One row of `events`, its JSON parsed."""

    t_s: float
    kind: str
    pod: str | None
    reason: str | None
    message: str | None
    data: Mapping[str, Any]

    @property
    def until_s(self) -> float:
        """When it was over: a gap of the collection lasts, the others are moments."""
        start, end = self.data.get("from_s"), self.data.get("to_s")
        if not isinstance(start, int | float) or not isinstance(end, int | float):
            return self.t_s
        return self.t_s + (end - start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One run, ready for analysis; every time is seconds with 0 at the start of the load.

    Attributes:
        info: `run.json`, whose own times stay on the run's axis.
        zero_s: Where 0 lies on the run's axis.
        length_s: Length of the load: until the last answer, or until the last trace of it when it was interrupted;
            None when no load started.
        first_s: First thing seen.
        last_s: Last thing seen.
        interrupted: Whether the tool died before the end of the load.
        requests: Due requests.
        answers: Their answers.
        signals: Signal → replica ("" for the fleet) → samples.
        events: All events in order.
    """

    info: RunInfo
    zero_s: float
    length_s: float | None
    first_s: float
    last_s: float
    interrupted: bool
    requests: Requests
    answers: Answers
    signals: Mapping[str, Mapping[str, Series]]
    events: tuple[Event, ...]

    @property
    def end_s(self) -> float:
        """End of the load, 0 when none started."""
        return self.length_s or 0.0

    def of_kind(self, *kinds: str) -> list[Event]:
        """Events of these kinds, in order."""
        return [event for event in self.events if event.kind in kinds]
