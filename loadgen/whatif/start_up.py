"""Finds out from a run how its replicas start and end.

Replicas that load at the same time share what they load from: processors, disk, network. So the time from the start of
a process until it is ready is that of as many as load together.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from loadgen.analyze.observed import Observed
from loadgen.analyze.scaling.events import EARLY_S
from loadgen.analyze.scaling.replicas import Fleet, Replica
from loadgen.base.errors import SettingsError
from loadgen.dataset.names import EventKind
from loadgen.whatif.model import Replicas


def fitted_replicas(run: Observed, fleet: Fleet, slots: int, slowdown_ratio: float, assumptions: list[str]) -> Replicas:
    """The replicas of a run, as a simulation takes them.

    Args:
        run: The run.
        fleet: Its replicas.
        slots: Requests that a replica computes at the same time.
        slowdown_ratio: By how much each further request in the batch slows down all of it.
        assumptions: Gets a sentence on what had to be assumed.

    Raises:
        SettingsError: no start of a replica was observed.
    """
    later = [pod for pod in fleet.pods.values() if pod.created_s is not None and pod.created_s > 0]
    pods = later or list(fleet.pods.values())
    pending_s = _median((pod.created_s, pod.started_s) for pod in pods)
    loads = _loads(pods)
    if pending_s is None or not loads:
        raise SettingsError("the start of no replica was observed: how long one takes is unknown")
    if not later:
        assumptions.append("no replica was added under load: the start-up is that of the first replicas")
    else:
        first = {count: load_s for count, load_s in _loads(fleet.pods.values()).items() if count < min(loads)}
        # a first replica that took longer, as with a cold cache, says nothing about later ones
        faster = {count: load_s for count, load_s in first.items() if load_s < loads[min(loads)]}
        if faster:
            assumptions.append(
                f"{_counted(max(faster))} as fast as before the load: under load at least {min(loads)} started together"
            )
        loads = {**faster, **loads}
    created_s = [pod.created_s for pod in later if pod.created_s is not None]
    create_s = _median(_creations(run, created_s))
    stop_s = _median((pod.draining_s, pod.stopped_s) for pod in later if pod.stopped_s is not None)
    if create_s is None:
        assumptions.append("pods are created when the HPA decides: no scale-up with a new pod was observed")
    if stop_s is None:
        assumptions.append("pods end with their last request: no termination was observed")
    balances = run.info.cluster.balances if run.info.cluster else "requests"
    if balances != "requests":
        assumptions.append("requests take turns among the replicas, although the endpoint does not balance requests")
    timeout_s = run.info.settings.get("request_timeout_s")
    return Replicas(
        slots=slots,
        create_s=create_s or 0.0,
        pending_s=pending_s,
        loads_s=_by_count(loads),
        stop_s=stop_s or 0.0,
        slowdown_ratio=slowdown_ratio,
        timeout_s=float(timeout_s) if isinstance(timeout_s, int | float) else None,
    )


def _counted(count: int) -> str:
    return "a replica that starts alone loads" if count == 1 else f"{count} replicas or fewer that start together load"


def _loads(pods: Iterable[Replica]) -> dict[int, float]:
    """Median time from the start of a replica until it is ready, by how many loaded then, itself included."""
    spans = [(pod.started_s, pod.ready_s) for pod in pods if pod.started_s is not None and pod.ready_s is not None]
    by_count: dict[int, list[float]] = {}
    for started_s, ready_s in spans:
        # Kubernetes stamps a start in whole seconds
        count = sum(other_s <= started_s + EARLY_S and started_s < end_s for other_s, end_s in spans)
        by_count.setdefault(max(count, 1), []).append(max(ready_s - started_s, 0.0))
    return {count: float(np.median(lengths)) for count, lengths in sorted(by_count.items())}


def _by_count(loads: dict[int, float]) -> tuple[float, ...]:
    """The times for every number from one on, linear between those that were observed, and never less for more."""
    counts = np.arange(1, max(loads) + 1)
    times = np.interp(counts, sorted(loads), [loads[count] for count in sorted(loads)])
    return tuple(np.maximum.accumulate(times).tolist())


def _creations(run: Observed, created_s: Sequence[float]) -> Iterator[tuple[float, float]]:
    """When each scale-up was decided, and when its first replica was created.

    Kubernetes stamps a creation in whole seconds, so it may be up to `EARLY_S` before the decision.
    """
    ups = [event.t_s for event in run.of_kind(EventKind.HPA_RESCALE) if _grew(event.replica_counts)]
    for decided_s, next_s in itertools.pairwise([*ups, math.inf]):
        first_s = min((at_s for at_s in created_s if decided_s - EARLY_S <= at_s < next_s - EARLY_S), default=None)
        if first_s is not None:
            yield decided_s, max(first_s, decided_s)


def _grew(counts: tuple[int, int] | None) -> bool:
    return counts is not None and counts[1] > counts[0]


def _median(spans: Iterable[tuple[float | None, float | None]]) -> float | None:
    lengths = [end_s - start_s for start_s, end_s in spans if start_s is not None and end_s is not None]
    return max(float(np.median(lengths)), 0.0) if lengths else None
