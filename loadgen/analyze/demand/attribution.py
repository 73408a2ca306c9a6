"""Determines what the lag did, by two replays, and the smallest fixed fleet for a run.

Arrivals and services are those of the run: once with the replicas as they served, once with replicas that follow the
need without delay. A slow request that is slow in the first replay and not in the second is slow because of the lag;
one that is slow in both has another cause. What was slow in the run and is not in the first replay is unexplained.

Only requests that were due while fewer replicas served than needed, or before the backlog of that time was gone, can be
slow because of the lag: at other times the replays differ in which replica gets which request.

Which replica gets which request is not known, so requests are compared as counts in blocks of consecutive ones, which
hold several turns of the gateway.
"""

from collections.abc import Sequence

import numpy as np

from loadgen.analyze.demand.capacity import SEED, LatencyLimit, Work, latency_s, within
from loadgen.analyze.demand.replay import Policy, Supply, fixed, replay
from loadgen.analyze.observed import Bools, Floats, Ints
from loadgen.analyze.results.demand import Attribution, SmallestFleet
from loadgen.analyze.steps import Interval, Step, count, runs

MOST_UNEXPLAINED = 0.1
_BLOCK = 20
_TURNS = 4
"""Turns of the gateway in a block, at least."""
_RESAMPLES = 100
_REPLAYED = 500_000
"""Requests that the interval of the smallest fleet may replay: it has fewer resamples where a run has many."""
MOST_REPLICAS = 1024


def following(needed: Step, lowest: int, highest: int | None, slots: int, policy: Policy) -> Supply:
    """Replicas that follow the need without delay, within the bounds of the autoscaler."""
    counts = np.clip(needed.value, lowest, highest)
    most = int(counts.max())
    from_s, until_s = [], []
    for number in range(1, most + 1):
        there = counts >= number
        begins = np.flatnonzero(there & ~np.concatenate(([False], there[:-1])))
        ends = np.flatnonzero(~there & np.concatenate(([False], there[:-1])))
        from_s += [-np.inf if index == 0 else float(needed.t_s[index]) for index in begins]
        until_s += [float(needed.t_s[index]) for index in ends]
        until_s += [np.inf] * (len(from_s) - len(until_s))
    return Supply(from_s=np.array(from_s), until_s=np.array(until_s), slots=slots, policy=policy)


def shortages(served: Supply, ideal: Supply) -> list[Interval]:
    """The spans in which fewer replicas served than follow the need, in order; the first and last may be unbounded."""
    lives = [zip(each.from_s.tolist(), each.until_s.tolist(), strict=True) for each in (served, ideal)]
    finite = [t for each in (served, ideal) for t in (*each.from_s.tolist(), *each.until_s.tolist()) if np.isfinite(t)]
    first_s = min(finite, default=0.0) - 1.0
    there, needed = (count(each, first_s) for each in lives)
    at = np.union1d(there.t_s, needed.t_s)
    edges = np.concatenate(([-np.inf], at[1:], [np.inf]))
    return [(float(edges[first]), float(edges[last + 1])) for first, last in runs(there.at(at) < needed.at(at))]


def attribution(
    due_s: Floats,
    work: Work,
    slow: Bools,
    limits: Sequence[LatencyLimit],
    served_start_s: Floats,
    ideal_start_s: Floats,
    replicas: int,
    lagged: Sequence[Interval] = ((-np.inf, np.inf),),
) -> tuple[Attribution, Bools]:
    """Attribute slow requests; the second result marks those in blocks in which the lag made some slow.

    Args:
        due_s: When requests were due, in order.
        work: Their services.
        slow: Whether each exceeded a limit in the run.
        limits: Limits on TTFT and E2E that apply to single requests.
        served_start_s: Their starts in a replay with the replicas as they served.
        ideal_start_s: Their starts in a replay with replicas that follow the need.
        replicas: Number of the replicas as they served, of which each gets requests in turn.
        lagged: Spans in which the lag can have made requests slow: `shortages`, each until its backlog was gone.
    """
    size = max(_BLOCK, _TURNS * replicas)
    block = np.arange(len(due_s)) // size

    def counted(flags: Bools) -> Ints:
        return np.bincount(block, weights=flags, minlength=1).astype(np.int64)

    in_run = counted(slow)
    explained = np.minimum(in_run, counted(_slow(due_s, work, limits, served_start_s)))
    possible = np.zeros(len(due_s), dtype=np.bool_)
    for start_s, end_s in lagged:
        possible |= (due_s >= start_s) & (due_s <= end_s)
    both = np.minimum(explained, counted(_slow(due_s, work, limits, ideal_start_s)))
    by_lag = np.where(counted(possible) > 0, explained - both, 0)
    otherwise = explained - by_lag
    count, unexplained = int(slow.sum()), int((in_run - explained).sum())
    found = Attribution(
        slow=count,
        by_lag=int(by_lag.sum()),
        otherwise=int(otherwise.sum()),
        unexplained=unexplained,
        conclusive=unexplained <= MOST_UNEXPLAINED * count,
    )
    return found, slow & (by_lag > 0)[block]


def _slow(due_s: Floats, work: Work, limits: Sequence[LatencyLimit], start_s: Floats) -> Bools:
    over = [latency_s(each.metric, due_s, start_s, work) > each.limit_s for each in limits]
    return np.any(over, axis=0) if over else np.zeros(len(due_s), dtype=np.bool_)


def smallest_fleet(
    due_s: Floats, work: Work, limits: Sequence[LatencyLimit], slots: int, policy: Policy
) -> SmallestFleet | None:
    """The smallest fixed fleet with which a replay keeps the limits; None if none does.

    The interval has the fleets of resampled services.

    Args:
        due_s: When requests were due, in order; at least one.
        work: Their services.
        limits: Limits on TTFT and E2E, at least one.
        slots: Requests that a replica serves at the same time.
        policy: How the gateway distributes requests.
    """
    best = _smallest(due_s, work, limits, slots, policy, 1)
    if best is None:
        return None
    random = np.random.default_rng(SEED)
    found = [best]
    for _ in range(max(3, min(_RESAMPLES, _REPLAYED // (4 * len(due_s))))):
        drawn = work.rows(random.integers(0, len(due_s), len(due_s)))
        found.append(_smallest(due_s, drawn, limits, slots, policy, best) or MOST_REPLICAS)
    low, high = np.quantile(found, [0.025, 0.975], method="closest_observation")
    return SmallestFleet(replicas=best, low=min(int(low), best), high=max(int(high), best))


def _smallest(
    due_s: Floats, work: Work, limits: Sequence[LatencyLimit], slots: int, policy: Policy, guess: int
) -> int | None:
    """The smallest fleet, searched from a guess."""

    def enough(replicas: int) -> bool:
        return within(limits, due_s, replay(due_s, work.service_s, fixed(replicas, slots, policy)), work)

    if not within(limits, due_s, due_s, work):  # not even without waiting
        return None
    if enough(guess):
        while guess > 1 and enough(guess - 1):
            guess -= 1
        return guess
    low = high = guess
    while not enough(high):
        low, high = high, high * 2
        if high > MOST_REPLICAS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
