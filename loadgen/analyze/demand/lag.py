"""Determines the lag of the supply behind the demand, signed, for each level and cycle.

    needed   ____|‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾|____________|‾‾‾‾‾‾‾      n + 1 replicas are needed
    serving  __________|‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾|____|‾‾‾‾‾‾‾‾‾‾‾      n + 1 replicas serve
                 |     |           |         |  |
                 +-----+           |         +--+
                 lag > 0           |         lag < 0: in time
             <---- first span ----><----- second span --->

Each need pairs with a moment in the span from the end of the previous need of that level to the end of this one: if
enough replicas serve when it begins, with the moment since which they do; otherwise with the first moment at which they
do. Replicas that left before they were needed do not count.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from loadgen.analyze.observed import Floats
from loadgen.analyze.results.demand import Estimate, LevelLag, NeededSpan
from loadgen.analyze.steps import Step


def lags(needed: Sequence[NeededSpan], serving: Step, end_s: float) -> tuple[LevelLag, ...]:
    """The lag of every needed span, in the order of the spans.

    Args:
        needed: Spans in which the load needs a number of replicas.
        serving: Serving replicas over time.
        end_s: End of the load.
    """
    since: dict[int, float] = {}
    made = []
    for span in needed:
        until = end_s if span.end is None else span.end.value
        made.append(_lag(span, serving, since.get(span.replicas), until))
        since[span.replicas] = until
    return tuple(made)


def _lag(span: NeededSpan, serving: Step, since_s: float | None, until_s: float) -> LevelLag:
    served_s = _served(serving, span, -math.inf if since_s is None else since_s, until_s)
    if served_s is None:
        needed_s = until_s - span.start.value
        return LevelLag(replicas=span.replicas, needed=span.start, served_s=None, lag=None, lag_at_least_s=needed_s)
    start = span.start
    lag = Estimate(value=served_s - start.value, low=served_s - start.high, high=served_s - start.low)
    already = served_s <= max(0.0, 0.0 if since_s is None else since_s)
    return LevelLag(replicas=span.replicas, needed=start, served_s=served_s, lag=lag, already_served=already)


def _served(serving: Step, span: NeededSpan, since_s: float, until_s: float) -> float | None:
    """The moment of the supply that belongs to a need, not before `since_s`."""
    at = span.start.value
    enough = serving.value >= span.replicas
    index = int(np.searchsorted(serving.t_s, at, side="right")) - 1
    if index >= 0 and enough[index]:
        while index > 0 and enough[index - 1]:
            index -= 1
        return max(float(serving.t_s[index]), since_s)
    later = np.flatnonzero(enough & (serving.t_s > at) & (serving.t_s <= until_s))
    return float(serving.t_s[later[0]]) if len(later) else None


def phase_s(over_target_s: float, syncs_s: Floats, period_s: float) -> float | None:
    """How long the metric was over its target until the next HPA sync: chance, from 0 to one sync period.

    None if no sync was observed within two periods: one of them may be missing.
    """
    after = syncs_s[syncs_s >= over_target_s]
    wait = float(after.min()) - over_target_s if len(after) else math.inf
    return wait if wait <= 2 * period_s else None


def with_phase(lag: LevelLag, phase: float | None, period_s: float) -> LevelLag:
    """The lag with its part that is the phase of the HPA, and with that part at half a sync period."""
    if lag.lag is None or phase is None:
        return lag
    return replace(lag, phase_s=phase, lag_at_mid_phase_s=lag.lag.value - phase + period_s / 2)


def lag_s(lag: LevelLag) -> float:
    """The lag; of replicas that did not serve while they were needed, how long that lasted: it is at least as long."""
    length_s = lag.lag_at_least_s if lag.lag is None else lag.lag.value
    assert length_s is not None  # one of the two is always known
    return length_s


def worst(
    found: Sequence[LevelLag], needed: Sequence[NeededSpan], levels: range, decided_s: float, gone_s: float
) -> LevelLag | None:
    """The longest lag of a scale-up: of its levels, in the needed spans that it answered; None without any.

    It answered a need that it was decided in, or after the end of the previous need of that level, if its replicas were
    not gone when the need began.

    Args:
        found: Lags, one for each needed span.
        needed: The needed spans.
        levels: From the replicas before, plus one, to the replicas after.
        decided_s: When it was decided.
        gone_s: When its replicas were gone.
    """
    since: dict[int, float] = {}
    own: list[tuple[float, LevelLag]] = []
    for lag, span in zip(found, needed, strict=True):
        until = math.inf if span.end is None else span.end.value
        answered = since.get(span.replicas, -math.inf) <= decided_s < until and span.start.value < gone_s
        if span.replicas in levels and answered:
            own.append((lag_s(lag), lag))
        since[span.replicas] = until
    return max(own, key=lambda each: each[0], default=(0.0, None))[1]
