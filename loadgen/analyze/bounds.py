"""Bounds of each latency of each request: what was open when the run was stopped is known only to be longer."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from loadgen.analyze.measured import Measured
from loadgen.analyze.observed import Bools, Floats, Ints, Observed


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Values of a latency metric, each between two bounds.

    Attributes:
        lower_s: Lower bounds, seconds: the value where it is known, +inf for what will never arrive, and the age at the
            stop of what was open then.
        upper_s: Upper bounds, seconds: the same, except for +inf for what was open; the same array if nothing was.
        row: Row of the request of each value, in order.
        scheduled_s: Due times of all requests, by row.
    """

    lower_s: Floats
    upper_s: Floats
    row: Ints
    scheduled_s: Floats

    @property
    def due_s(self) -> Floats:
        """Due time of the request of each value."""
        return self.scheduled_s[self.row]

    def __len__(self) -> int:
        return len(self.lower_s)

    def broken(self, limit_s: float) -> Bools:
        """Whether each value exceeds the limit for certain."""
        return self.lower_s > limit_s

    def unknown(self, limit_s: float) -> Bools:
        """Whether each value may be on either side of the limit."""
        return (self.lower_s <= limit_s) & (self.upper_s > limit_s)

    def known(self, limit_s: float) -> "Bounds":
        """The values of which it is certain on which side of the limit they are."""
        return self.where(~self.unknown(limit_s))

    def where(self, use: Bools) -> "Bounds":
        """Some of the values."""
        if use.all():
            return self
        lower_s = self.lower_s[use]
        upper_s = lower_s if self.upper_s is self.lower_s else self.upper_s[use]
        return replace(self, lower_s=lower_s, upper_s=upper_s, row=self.row[use])

    def of(self, rows: slice) -> "Bounds":
        """The values of the requests in these rows."""
        first, last = np.searchsorted(self.row, (rows.start, rows.stop))
        lower_s = self.lower_s[first:last]
        upper_s = lower_s if self.upper_s is self.lower_s else self.upper_s[first:last]
        return replace(self, lower_s=lower_s, upper_s=upper_s, row=self.row[first:last])


def bounds(run: Observed, measured: Measured, metric: str, members: Bools | None = None) -> Bounds:
    """The values to which a limit on `ttft`, `tpot` or `e2e` applies; those of `itl` are `Measured.gaps`.

    Args:
        run: The run.
        measured: Its measured values.
        metric: The metric.
        members: The requests whose values are returned; None means all.
    """
    values = _tpot(run, measured) if metric == "tpot" else ttft_bounds(run) if metric == "ttft" else e2e_bounds(run)
    return values if members is None else values.where(members[values.row])


def ttft_bounds(run: Observed) -> Bounds:
    """TTFT of every due request: known once its first token arrived; empty if nothing was streamed."""
    requests = run.requests
    if not run.info.stream and np.isnan(requests.first_s).all():
        return _none(run)
    still_open = requests.open & np.isnan(requests.first_s)
    return _bounds(run, requests.ttft_s, still_open, lambda: requests.age_s, requests.due)


def e2e_bounds(run: Observed) -> Bounds:
    """E2E of every due request: known once it was answered."""
    requests = run.requests
    return _bounds(run, requests.e2e_s, requests.open, lambda: requests.age_s, requests.due)


def _tpot(run: Observed, measured: Measured) -> Bounds:
    """TPOT of every due request that has, or may still get, two tokens; empty if nothing was streamed."""
    requests = run.requests
    started = requests.open & ~np.isnan(requests.first_s)
    if not (started | (requests.ok & np.isfinite(measured.tpot_s))).any():
        return _none(run)

    def least() -> Floats:
        # An open request gets at least one more token and at most `max_tokens` in all.
        most = np.fmax(requests.max_tokens, np.fmax(requests.output_tokens, measured.responses) + 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(started, (requests.ended_s - requests.first_s) / (most - 1), 0.0)

    # An answered request of one token has no gap, and neither will one that may have only one.
    use = np.where(
        requests.open, requests.max_tokens != 1, requests.judged & ~(requests.ok & np.isnan(measured.tpot_s))
    )
    return _bounds(run, np.where(requests.ok, measured.tpot_s, np.nan), requests.open, least, use)


def unfinished_gaps(run: Observed, measured: Measured) -> Bounds:
    """The gap of each stream of a due request that ended or was stopped before its last token."""
    requests = run.requests
    rows = np.flatnonzero(requests.due & ~requests.ok & (measured.responses > 0))
    still_open = requests.open[rows]
    since_s = np.maximum(requests.ended_s[rows] - measured.latest_s[rows], 0.0)
    return Bounds(
        lower_s=np.where(still_open, since_s, np.inf),
        upper_s=np.full(len(rows), np.inf),
        row=rows,
        scheduled_s=requests.scheduled_s,
    )


def _bounds(run: Observed, values: Floats, still_open: Bools, least: Callable[[], Floats], use: Bools) -> Bounds:
    """Bounds of one value a request: at least `least` where it was open, +inf where it is missing otherwise."""
    known = values.copy()
    known[np.isnan(values)] = np.inf
    lower_s = upper_s = known
    if still_open.any():
        lower_s = np.where(still_open, np.nan_to_num(least(), nan=0.0), known)
        upper_s = np.where(still_open, np.inf, known)
    every = Bounds(lower_s=lower_s, upper_s=upper_s, row=np.arange(len(values)), scheduled_s=run.requests.scheduled_s)
    return every.where(use)


def _none(run: Observed) -> Bounds:
    nothing = np.empty(0)
    return Bounds(
        lower_s=nothing,
        upper_s=nothing,
        row=np.empty(0, dtype=np.int64),
        scheduled_s=run.requests.scheduled_s,
    )
