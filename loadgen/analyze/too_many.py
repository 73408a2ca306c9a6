"""Bounds what one run may have, so that the time of an analysis is bounded, too.

Rows of replicas beyond the bound are left out as rows that cannot be true. Of stages, scaling events and syncs, which
a long run may really have, the first are analyzed one by one, and a finding says how many that are.
"""

import numpy as np

from loadgen.analyze.columns import Bools, Floats, Texts
from loadgen.dataset.names import REPLICA_EVENTS, EventKind

MAX_REPLICAS = 2_000
"""Replicas of a run, those that were replaced included."""
MAX_STAGES = 1_000
"""Stages, and numbers of ready replicas, whose requests are a group of their own."""
MAX_SCALING_EVENTS = 500
"""Scaling events whose links are found."""
MAX_SYNCS = 20_000
"""Syncs of the autoscaler that are replayed: 83 hours at the usual period."""
MAX_REMEMBERED = 2_500_000
"""Recommendations that all replayed syncs together look at: those of many syncs within one window are as many each."""


def extra_replicas(t_s: Floats, kind: Texts, pod: Texts, good: Bools) -> Bools:
    """Whether a good row of `events` is of a replica beyond the first `MAX_REPLICAS`.

    A pod name that is used again is another replica each time that it is created.
    """
    of_replica = good & kind.isin(REPLICA_EVENTS) & pod.known
    if np.count_nonzero(of_replica) <= MAX_REPLICAS:
        return np.zeros(len(good), dtype=np.bool_)
    rows = np.flatnonzero(of_replica)
    rows = rows[np.argsort(t_s[rows], kind="stable")]
    _, first = np.unique(pod.code[rows], return_index=True)
    late = rows[np.sort(first)[MAX_REPLICAS:]]
    extra = good & np.isin(pod.code, pod.code[late]) & pod.known
    created = rows[(kind == EventKind.REPLICA_CREATED)[rows] & ~extra[rows]]
    extra[created[MAX_REPLICAS:]] = True
    return extra


def extra_series(pod: Texts, good: Bools, replicas: frozenset[str]) -> Bools:
    """Whether a good row of `samples` is of a replica, node or process beyond the first `MAX_REPLICAS`.

    Args:
        pod: The column `pod`.
        good: The rows that can be true.
        replicas: The replicas in the events, which come first.
    """
    codes = np.unique(pod.code[good & pod.known])
    if len(codes) <= MAX_REPLICAS:
        return np.zeros(len(good), dtype=np.bool_)
    names = [pod.names[code] for code in codes.tolist()]
    order = np.argsort([name not in replicas for name in names], kind="stable")
    return good & np.isin(pod.code, codes[order[MAX_REPLICAS:]]) & pod.known
