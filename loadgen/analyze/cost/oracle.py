"""Finds the fewest replicas that an autoscaler which knows the future would use.

Requests take turns among the replicas and wait in the queue of theirs, so when a request starts depends on the
replicas up to its arrival alone. A schedule is therefore found from its beginning: each sync period gets the fewest
replicas with which its requests attain. Then single replicas are taken away or moved to another period, as long as
every window attains and the cost falls. The result is a schedule that keeps the SLO, and a bound that no schedule can
be below; the best is between the two.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from loadgen.analyze.attainment import window_edges
from loadgen.analyze.cost.load import Load
from loadgen.analyze.cost.queues import Queues
from loadgen.analyze.observed import Floats

MOST_STEPS = 20_000_000
"""Requests that may be replayed to move single replicas."""
_NEAR = 3
"""Periods between which a replica is moved."""

Windows = Sequence[tuple[int, int]]
"""Half-open ranges of requests, in order of arrival; each has to attain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What has to be kept.

    Attributes:
        limit_s: Limit on TTFT.
        share: Share of the requests of each window that must be within it; 0 … 1.
        windows: The windows.
    """

    limit_s: float
    share: float
    windows: Windows


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Replicas over time, constant within each sync period.

    Attributes:
        begin_s: Start of the first period.
        period_s: Length of a period; the last one may be shorter.
        replicas: Replicas of each.
        replica_seconds: Their time, with that in which replicas drain or start.
        least_replica_seconds: A bound that no schedule can be below.
    """

    begin_s: float
    period_s: float
    replicas: tuple[int, ...]
    replica_seconds: float
    least_replica_seconds: float


def join_windows(arrival_s: Floats, end_s: float, window_s: float, least: int) -> list[tuple[int, int]]:
    """Windows of arrival time from 0 on; one with fewer than `least` requests is joined with the next.

    Args:
        arrival_s: Arrivals in order.
        end_s: End of the last window.
        window_s: Length of a window.
        least: Fewest requests; the last windows are joined if they have fewer.
    """
    inner = window_edges(arrival_s, 0.0, end_s, window_s, least)[1:-1]
    return list(itertools.pairwise([0, *np.searchsorted(arrival_s, inner, side="left").tolist(), len(arrival_s)]))


def fixed_fleet(load: Load, slots: int, goal: Goal, *, most: int = 1000) -> int | None:
    """The fewest replicas of a fixed fleet that keeps the goal; None if even `most` do not."""

    def keeps(count: int) -> bool:
        ttft = Queues(slots, count).serve(load, 0, len(load)) - load.arrival_s + load.first_token_s
        return _keeps(ttft, goal)

    return _fewest(keeps, 1, most)


def perfect(
    load: Load,
    slots: int,
    goal: Goal,
    *,
    begin_s: float,
    end_s: float,
    period_s: float,
    start_up_s: float = 0.0,
    minimum: int = 1,
    most: int = 1000,
    most_steps: int = MOST_STEPS,
) -> Schedule | None:
    """The best schedule found; None if no number of replicas keeps the goal, as single services are too long.

    Args:
        load: The requests, in order of arrival.
        slots: Requests that a replica computes at the same time.
        goal: What has to be kept.
        begin_s: Start of the schedule.
        end_s: Its end.
        period_s: Replicas change at most this often.
        start_up_s: Time for which a replica is billed before it serves.
        minimum: Fewest replicas.
        most: Most replicas.
        most_steps: Requests that may be replayed to move single replicas.
    """
    count = max(1, math.ceil((end_s - begin_s) / period_s))
    lengths_s = [period_s] * (count - 1) + [end_s - begin_s - (count - 1) * period_s]
    edges = np.searchsorted(load.arrival_s, begin_s + period_s * np.arange(count + 1), side="left").tolist()
    edges[0], edges[-1] = 0, len(load)
    spans = list(itertools.pairwise(edges))
    schedule = _Search(load, slots, goal, begin_s, period_s, spans, lengths_s, most_steps)
    replicas = schedule.greedy(minimum, most)
    if replicas is None:
        return None
    if start_up_s:
        replicas = _without_short_dips(replicas, start_up_s / period_s)
    replicas = schedule.improved(replicas, minimum, start_up_s)
    return Schedule(
        begin_s=begin_s,
        period_s=period_s,
        replicas=tuple(replicas),
        replica_seconds=schedule.cost(replicas, start_up_s),
        least_replica_seconds=max(_least_work_s(load, goal) / slots, minimum * (end_s - begin_s)),
    )


class _Search:
    def __init__(
        self,
        load: Load,
        slots: int,
        goal: Goal,
        begin_s: float,
        period_s: float,
        spans: list[tuple[int, int]],
        lengths_s: list[float],
        most_steps: int,
    ) -> None:
        self._load, self._slots, self._goal = load, slots, goal
        self._begin_s, self._period_s, self._spans = begin_s, period_s, spans
        self._lengths_s, self._most_steps = lengths_s, most_steps

    def greedy(self, minimum: int, most: int) -> list[int] | None:
        """The fewest replicas for each period, one after the other.

        Where no number suffices, a queue from the period before is too long: that one gets one more.
        """
        queues, chosen, least = [Queues(self._slots)], list[int](), minimum
        while len(chosen) < len(self._spans):
            number = len(chosen)
            (low, high), at_s = self._spans[number], self._begin_s + number * self._period_s
            count = _fewest(partial(self._attains, queues[-1], at_s, low, high), least, most)
            if count is None:
                if not chosen:
                    return None
                queues.pop()
                least = chosen.pop() + 1
                continue
            after = queues[-1].copy()
            after.resize(count, at_s)
            after.serve(self._load, low, high)
            queues.append(after)
            chosen.append(count)
            least = minimum
        return chosen if self.keeps(chosen) else None

    def _attains(self, fleet: Queues, at_s: float, low: int, high: int, count: int) -> bool:
        """Whether the requests of a period attain with so many replicas, as far as single requests can."""
        load, goal = self._load, self._goal
        trial = fleet.copy()
        trial.resize(count, at_s)
        first_s = load.first_token_s[low:high]
        ttft_s = trial.serve(load, low, high) - load.arrival_s[low:high] + first_s
        able = int((first_s <= goal.limit_s).sum())
        return bool((ttft_s <= goal.limit_s).sum() >= min(goal.share * (high - low), able))

    def keeps(self, replicas: Sequence[int]) -> bool:
        """Whether a schedule keeps the goal in every window."""
        return _keeps(self._replay(replicas)[0], self._goal)

    def cost(self, replicas: Sequence[int], start_up_s: float) -> float:
        """Replica-seconds of a schedule, with those in which replicas drain or start."""
        added = sum(max(after - before, 0) for before, after in itertools.pairwise(replicas))
        there_s = sum(count * length_s for count, length_s in zip(replicas, self._lengths_s, strict=True))
        return there_s + self._replay(replicas)[1] + added * start_up_s

    def improved(self, replicas: list[int], minimum: int, start_up_s: float) -> list[int]:
        """Move single replicas, as long as the goal is kept and the cost falls."""
        best, best_s = replicas, self.cost(replicas, start_up_s)
        tries = self._most_steps // (len(self._load) + len(self._spans))
        moved = True
        while moved:
            moved = False
            for move in _moves(len(best)):
                tries -= 1
                if tries < 0:
                    return best
                trial = best.copy()
                for number, by in move:
                    trial[number] += by
                if min(trial) < minimum or not self.keeps(trial):
                    continue
                trial_s = self.cost(trial, start_up_s)
                if trial_s < best_s - 1e-9:
                    best, best_s, moved = trial, trial_s, True
        return best

    def _replay(self, replicas: Sequence[int]) -> tuple[Floats, float]:
        load, fleet = self._load, Queues(self._slots)
        starts = []
        for number, (count, (low, high)) in enumerate(zip(replicas, self._spans, strict=True)):
            fleet.resize(count, self._begin_s + number * self._period_s)
            starts.append(fleet.serve(load, low, high))
        start_s = np.concatenate(starts) if starts else np.empty(0)
        return start_s - load.arrival_s + load.first_token_s, fleet.drained_s


def _fewest(enough: Callable[[int], bool], least: int, most: int) -> int | None:
    """The fewest for which a condition holds that more can only help."""
    if least > most:
        return None
    step, failed, count = 1, least - 1, least
    while not enough(count):
        if count >= most:
            return None
        failed, count, step = count, min(count + step, most), 2 * step
    while count - failed > 1:
        middle = (count + failed) // 2
        failed, count = (failed, middle) if enough(middle) else (middle, count)
    return count


def _moves(count: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """One replica less or more in a period, or one more and one or two less in periods close to each other."""
    for number in range(count):
        yield ((number, -1),)
        yield ((number, 1),)
        for other in range(max(number - _NEAR, 0), min(number + _NEAR + 1, count)):
            if other != number:
                yield (number, -1), (other, 1)
                yield (number, -2), (other, 1)
                for third in range(other + 1, min(number + _NEAR + 1, count)):
                    if third != number:
                        yield (number, 1), (other, -1), (third, -1)


def _keeps(ttft_s: Floats, goal: Goal) -> bool:
    within = np.concatenate(([0], np.cumsum(ttft_s <= goal.limit_s)))
    return all(within[high] - within[low] >= goal.share * (high - low) for low, high in goal.windows)


def _without_short_dips(replicas: Sequence[int], periods: float) -> list[int]:
    """Keep replicas that would be started again before their start-up is paid for."""
    kept = list(replicas)
    for level in sorted(set(replicas), reverse=True):
        above = [number for number, count in enumerate(kept) if count >= level]
        for before, after in itertools.pairwise(above):
            if 1 < after - before <= periods + 1:
                kept[before + 1 : after] = [max(count, level) for count in kept[before + 1 : after]]
    return kept


def _least_work_s(load: Load, goal: Goal) -> float:
    """Slot-seconds of the shortest requests that must attain in every window."""
    total = 0.0
    for low, high in goal.windows:
        must = math.ceil(goal.share * (high - low))
        total += float(np.sort(load.service_s[low:high])[:must].sum())
    return total
