r"""The load step: the moment from which the offered load was more (or less) than a number of replicas carries.

Let A(t) be the number of requests due until t and C what the replicas carry per second. While the load is below C,
A(t) − C·t falls, while it is above, it rises: so the moment at which the load crossed C for good before a decision is
the lowest point of A(t) − C·t (upwards), or its highest (downwards).

    A(t) − C·t  |\                 /          offered > C from here on
                | \    /\         /
                |  \__/  \__    __/
                |           \__/
                +------------x----|----> t
                        load step  decided

The lowest point is also the last moment at which a queue served at C would have been empty. It needs no smoothing:
a burst that is made up for before the decision moves nothing. A step that brings less than a second's work is not told
from chance; where the ratio crossed its target before the decision, the load may prove it later.
"""

import numpy as np

from loadgen.analyze.observed import Floats

MIN_STEP_S = 1.0
"""A step must have brought (or spared) this much work: one clump of requests is none."""


def load_rose(due_s: Floats, carried_per_s: float, start_s: float, latest_s: float, proven_by_s: float) -> float | None:
    """When the load rose above what is carried; None when it had not.

    Args:
        due_s: When requests were due, in order.
        carried_per_s: C, requests per second.
        start_s: Where to begin: the start of the load, or the last decision to have fewer replicas.
        latest_s: The step is at or before this: when the ratio crossed its target, or the decision.
        proven_by_s: By then the step must have brought a second's work.
    """
    due = due_s[(due_s >= start_s) & (due_s <= proven_by_s)]
    if not len(due):
        return None
    # The sum just before each arrival: a step begins with the first request that is too many.
    lows = np.arange(len(due)) - carried_per_s * (due - start_s)
    early = int(np.searchsorted(due, latest_s, side="right"))
    lowest = early - 1 - int(np.argmin(lows[:early][::-1])) if early else 0
    brought = np.append(lows[lowest:] + 1, len(due) - carried_per_s * (proven_by_s - start_s)) - lows[lowest]
    if brought.max() < carried_per_s * MIN_STEP_S:
        return None
    return float(due[lowest]) if early else latest_s


def load_fell(due_s: Floats, carried_per_s: float, start_s: float, decided_s: float) -> float | None:
    """When the load fell below what is carried; None when it had not by the decision.

    Args:
        due_s: When requests were due, in order.
        carried_per_s: C, requests per second.
        start_s: Where to begin: the start of the load, or the last decision to have more replicas.
        decided_s: When the autoscaler decided.
    """
    due = due_s[(due_s >= start_s) & (due_s <= decided_s)]
    highs = np.concatenate(([0.0], np.arange(1, len(due) + 1) - carried_per_s * (due - start_s)))
    times = np.concatenate(([start_s], due))
    end = len(due) - carried_per_s * (decided_s - start_s)
    if highs.max() - end < carried_per_s * MIN_STEP_S:
        return None
    return float(times[int(np.argmax(highs))])


def longest_wait_s(due_s: Floats, carried_per_s: float) -> float:
    """The longest wait of any request in one queue that is served at C; at least one is due.

    It is the greatest rise of A(t) − C·t from any earlier moment, as a time: rise / C.
    """
    sums = np.arange(len(due_s)) - carried_per_s * due_s
    return float((sums - np.minimum.accumulate(sums)).max()) / carried_per_s
