"""Determines the service times of requests, and how many requests a replica serves at the same time.

Service is what a request does in a slot of the engine, from the end of its wait to its last token. Where the engine
reports it, it is measured. Elsewhere it is modelled from what the client sees, send, first and last token:

    sent           started        first token                 last token
      |--- wait ------|-- prefill ----|-------- decode -----------|
                      |-------------- service --------------------|

Decode is known. The prefill is the time from send to first token of requests that found a free slot, and is taken to be
the same for all: it is the mean over the requests that were sent while no other was in flight (or few others, once the
number of slots is known), without those that took more than ten times the median; the median, if they are fewer than
`MIN_ALONE`. It contains the network's round trip, which makes modelled services longer than those of the engine.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from loadgen.analyze.observed import Bools, Floats, Ints
from loadgen.analyze.results.demand import ServiceMethod

MIN_ALONE = 20
STALL = 10.0
"""A lone request whose first token took this many medians did not find a free slot: it stalled."""
MIN_WAITED = 5
"""Requests that must have waited before the slots of a replica can be told."""
CLEAR_WAIT = 0.25
"""A request waited if it did for this share of a mean service: shorter waits may be variations of the prefill."""
SLOTS_VARY = 0.25
"""Share by which the number in service may differ from the slots while requests wait, as starts are estimates."""
MIN_CONSTANT = 0.5
"""Share of the time with waiting requests in which it does not differ by more, if they wait for a slot."""
_MEDIAN = 0.5
_PIECE = 1 << 18
"""Requests whose starts and ends are put in order together, so that memory is bounded."""
MIN_FULL = 20
"""Services that must have started in a full batch before only those count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Services of requests, in the order of the requests; NaN where one did not complete.

    Attributes:
        start_s: When each started.
        service_s: How long each took, from start to last token.
        prefill_s: Its part before the first token.
        method: Where the times come from.
        error_s: Standard error of the modelled prefill, which all services share; 0 if they are measured.
    """

    start_s: Floats
    service_s: Floats
    prefill_s: Floats
    method: ServiceMethod
    error_s: float = 0.0

    @property
    def known(self) -> Bools:
        """Whether the service of each request is known."""
        return np.isfinite(self.service_s) & (self.service_s > 0)


def measured(first_s: Floats, last_s: Floats, service_s: Floats) -> Services:
    """Services that the engine reported.

    Args:
        first_s: When the first token of each request arrived.
        last_s: When its last token arrived, NaN if it was not answered.
        service_s: Seconds from its first scheduling in the engine to its last token; NaN if not reported.
    """
    use = np.isfinite(service_s) & np.isfinite(last_s)
    service = np.where(use, service_s, np.nan)
    return Services(
        start_s=last_s - service,
        service_s=service,
        prefill_s=np.clip(service - (last_s - first_s), 0.0, None),
        method="measured",
    )


def modelled(sent_s: Floats, first_s: Floats, last_s: Floats, ended_s: Floats, few: int = 0) -> Services:
    """Services by the model above; all unknown if no request was answered.

    Args:
        sent_s: When each request was sent; NaN if it was not.
        first_s: When its first token arrived; NaN without one.
        last_s: When its last token arrived; NaN if it was not answered.
        ended_s: When it ended, answered or not.
        few: Other requests in flight that leave a slot free at every replica.
    """
    answered = np.isfinite(sent_s) & np.isfinite(first_s) & np.isfinite(last_s)
    prefill, error = prefill_s(sent_s, first_s, ended_s, few)
    service = np.where(answered, last_s - first_s + prefill, np.nan)
    return Services(
        start_s=last_s - service,
        service_s=service,
        prefill_s=np.where(answered, prefill, np.nan),
        method="modelled",
        error_s=error,
    )


def others_in_flight(sent_s: Floats, ended_s: Floats) -> Floats:
    """How many other requests were in flight when each was sent; NaN for one that was not sent.

    Those that were sent at the same moment are among them: only some of these can find a free slot.
    """
    sent = np.isfinite(sent_s)
    end_s = np.where(np.isnan(ended_s), np.inf, ended_s)
    begun = np.searchsorted(np.sort(sent_s[sent]), sent_s, side="right")
    ended = np.searchsorted(np.sort(end_s[sent]), sent_s, side="right")
    itself = end_s > sent_s
    return np.where(sent, (begun - ended - itself).astype(np.float64), np.nan)


def prefill_s(sent_s: Floats, first_s: Floats, ended_s: Floats, few: int = 0) -> tuple[float, float]:
    """Time from send to first token of a request that does not wait, and its standard error.

    Both are NaN if no request got a token.
    """
    others = others_in_flight(sent_s, ended_s)
    to_first = first_s - sent_s
    known = np.isfinite(to_first)
    if not known.any():
        return math.nan, math.nan
    alone = known & (others <= few)
    if not alone.any():
        alone = known & (others == others[known].min())
    times = to_first[alone]
    if len(times) < MIN_ALONE:
        # A coefficient of variation of 1 is assumed; the standard error of a median is √(π/2) times that of a mean.
        middle = float(np.median(times))
        return middle, middle * math.sqrt(math.pi / 2 / len(times))
    times = times[not_stalled(times)]
    return float(times.mean()), float(times.std(ddof=1) / math.sqrt(len(times)))


def not_stalled(times_s: Floats) -> Bools:
    """Which lone requests found a free slot: those that took at most `STALL` medians."""
    return times_s <= STALL * float(np.median(times_s))


def slots(sent_s: Floats, start_s: Floats, ended_s: Floats, replicas: Floats, mean_service_s: float) -> int | None:
    """How many requests a replica serves at the same time; None if too few waited to tell, 0 if not for a slot.

    While a request waits, every slot of its replica is taken. With one replica the number in service at such times is
    the number of slots: it is the median over that time. With several, one may have a free slot while requests wait at
    another, so it is the 90th percentile of the number in service for each replica.

    Where one replica serves now more and now fewer requests while others wait, they wait for something else than a
    slot, such as the compilation of a cold engine, or for a server that does not answer.

    Args:
        sent_s: When each request was sent; NaN if it was not.
        start_s: When its service started; NaN if it did not, or if that is unknown.
        ended_s: When it ended.
        replicas: How many replicas served when each request was sent; NaN if unknown.
        mean_service_s: Mean service time.
    """
    sent = np.isfinite(sent_s) & np.isfinite(ended_s)
    leaves_queue_s = np.where(np.isnan(start_s), ended_s, np.fmin(start_s, ended_s))
    waited = sent & (leaves_queue_s - sent_s > CLEAR_WAIT * mean_service_s)
    if waited.sum() < MIN_WAITED:
        return None
    served = sent & np.isfinite(start_s)
    queued_s, left_s = np.sort(sent_s[waited]), np.sort(leaves_queue_s[waited])
    begun_s, over_s = np.sort(start_s[served]), np.sort(ended_s[served])
    order = np.flatnonzero(sent)[np.argsort(sent_s[sent], kind="stable")]
    dispatched_s, fleets = sent_s[order], np.nan_to_num(replicas[order], nan=1.0)
    alone, every = list[tuple[Floats, Floats]](), list[tuple[Floats, Floats]]()
    for edges in _edges(queued_s, left_s, begun_s, over_s):
        middle = (edges[1:] + edges[:-1]) / 2
        waiting = _count(queued_s, middle) > _count(left_s, middle)
        middle, lasts = middle[waiting], np.diff(edges)[waiting]
        fleet = fleets[np.clip(_count(dispatched_s, middle) - 1, 0, len(order) - 1)]
        busy = _count(begun_s, middle) - _count(over_s, middle)
        one, some = fleet == 1, fleet >= 1
        alone.append(_added(busy[one], lasts[one]))
        every.append(_added(busy[some] / fleet[some], lasts[some]))
    for pieces, share in ((alone, _MEDIAN), (every, 0.9)):
        values, lasts = (np.concatenate(each) for each in zip(*pieces, strict=True))
        if lasts.sum() >= CLEAR_WAIT * MIN_WAITED * mean_service_s:
            found = max(1, round(_quantile(values, lasts, share)))
            constant = np.abs(values - found) <= SLOTS_VARY * found
            one = pieces is alone
            return 0 if one and (lasts * constant).sum() < MIN_CONSTANT * lasts.sum() else found
    return None


def _added(values: Floats | Ints, weights: Floats) -> tuple[Floats, Floats]:
    """Each value once, with the sum of its weights."""
    each, place = np.unique(values.astype(np.float64), return_inverse=True)
    sums: Floats = np.bincount(place, weights, minlength=len(each)).astype(np.float64)
    return each, sums


def _edges(*times_s: Floats) -> Iterator[Floats]:
    """All times in order, in pieces of a bounded number; each begins with the last time of the one before.

    Args:
        times_s: Some times, each in order.
    """
    longest = max(times_s, key=len)
    cuts = [*longest[_PIECE::_PIECE].tolist(), np.inf]
    first, last_s = [0] * len(times_s), np.empty(0)
    for cut in cuts:
        until = [int(np.searchsorted(each, cut, side="left")) for each in times_s]
        parts = [each[low:high] for each, low, high in zip(times_s, first, until, strict=True)]
        edges = np.concatenate((last_s, np.sort(np.concatenate(parts))))
        yield edges
        first, last_s = until, edges[-1:]


def _count(ordered: Floats, at_s: Floats) -> Ints:
    """How many of the times in order are not after each time."""
    return np.searchsorted(ordered, at_s, side="right")


def most_at_once(start_s: Floats, ended_s: Floats, replicas: Floats) -> int:
    """The most requests in service at once for each replica, without the highest hundredth of starts; at least one.

    A replica has at least that many slots.
    """
    running = _between(start_s, ended_s, start_s) / np.maximum(np.nan_to_num(replicas, nan=1.0), 1.0)
    return max(1, math.floor(np.quantile(running, 0.99)))


def in_full_batch(start_s: Floats, ended_s: Floats, replicas: Floats, slot_count: int) -> Bools:
    """Whether each service started in a full batch, which is known at its start; only those with a known start."""
    served = np.isfinite(start_s) & np.isfinite(ended_s)
    running = np.zeros(len(start_s))
    running[served] = _between(start_s[served], ended_s[served], start_s[served])
    fleet = np.maximum(np.nan_to_num(replicas, nan=1.0), 1.0)
    return served & (running >= slot_count * fleet)


def _between(start_s: Floats, end_s: Floats, at_s: Floats) -> Floats:
    """The number of half-open spans [start, end) that contain each time."""
    begun = np.searchsorted(np.sort(start_s), at_s, side="right")
    over = np.searchsorted(np.sort(end_s), at_s, side="right")
    return (begun - over).astype(np.float64)


def _quantile(values: Floats, weights: Floats, share: float) -> float:
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, share * total[-1], side="left")])
