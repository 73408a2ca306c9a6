r"""Determines the load step: when the offered load exceeded the capacity of a number of replicas, or fell below it.

Let A(t) be the number of requests due until t and C the capacity of the replicas per second. A(t) − C·t falls while
the load is below C, and rises while it is above. The last time at which the load crossed C before a decision is
therefore the lowest point of A(t) − C·t for a scale-up, and its highest point for a scale-down.

    A(t) − C·t  |\                 /          offered > C from here on
                | \    /\         /
                |  \__/  \__    __/
                |           \__/
                +------------x----|----> t
                        load step  decided

The lowest point is also the last time at which a queue served at C would have been empty. It needs no smoothing: a
burst that is worked off before the decision does not move it. A step with less than one second of work is
indistinguishable from chance. If the ratio crossed its target before the decision, the work may follow later.
"""

import numpy as np

from loadgen.analyze.observed import Floats

MIN_STEP_S = 1.0
"""Least work of a step, in seconds at capacity: a single burst is not a step."""


def load_rose(
    due_s: Floats, capacity_per_s: float, start_s: float, latest_s: float, proven_by_s: float
) -> float | None:
    """When the load exceeded the capacity; None when it did not.

    Args:
        due_s: When requests were due, in order.
        capacity_per_s: C, requests per second.
        start_s: Start of the search: the start of the load, or the last scale-down.
        latest_s: Latest time of the step: when the ratio crossed its target, or the decision.
        proven_by_s: Time by which the step must have brought one second of work.
    """
    due = due_s[(due_s >= start_s) & (due_s <= proven_by_s)]
    if not len(due):
        return None
    # The sum just before each arrival: a step begins with the first excess request.
    lows = np.arange(len(due)) - capacity_per_s * (due - start_s)
    early = int(np.searchsorted(due, latest_s, side="right"))
    lowest = early - 1 - int(np.argmin(lows[:early][::-1])) if early else 0
    brought = np.append(lows[lowest:] + 1, len(due) - capacity_per_s * (proven_by_s - start_s)) - lows[lowest]
    if brought.max() < capacity_per_s * MIN_STEP_S:
        return None
    return float(due[lowest]) if early else latest_s


def load_fell(due_s: Floats, capacity_per_s: float, start_s: float, decided_s: float) -> float | None:
    """When the load fell below the capacity; None when it did not before the decision.

    Args:
        due_s: When requests were due, in order.
        capacity_per_s: C, requests per second.
        start_s: Start of the search: the start of the load, or the last scale-up.
        decided_s: When the autoscaler decided.
    """
    due = due_s[(due_s >= start_s) & (due_s <= decided_s)]
    highs = np.concatenate(([0.0], np.arange(1, len(due) + 1) - capacity_per_s * (due - start_s)))
    times = np.concatenate(([start_s], due))
    end = len(due) - capacity_per_s * (decided_s - start_s)
    if highs.max() - end < capacity_per_s * MIN_STEP_S:
        return None
    return float(times[int(np.argmax(highs))])


def longest_wait_s(due_s: Floats, capacity_per_s: float) -> float:
    """The longest wait of any request in one queue served at C; at least one request is due.

    It is the greatest rise of A(t) − C·t since any earlier time, divided by C.
    """
    sums = np.arange(len(due_s)) - capacity_per_s * due_s
    return float((sums - np.minimum.accumulate(sums)).max()) / capacity_per_s
