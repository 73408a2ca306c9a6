"""Names that are used again: a pod of a LeaderWorkerSet has the name of the one before it, and is another replica."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise

from loadgen.analyze.observed import Event, Series
from loadgen.dataset.names import EventKind


def split_lives(
    events: Iterable[Event], signals: Mapping[str, Mapping[str, Series]]
) -> tuple[tuple[Event, ...], dict[str, dict[str, Series]]]:
    """Events and samples with a name for each life: `llm-0`, then `llm-0 (2)` from when it was created again."""
    told, begun = [], dict[str, list[float]]()
    for event in events:
        lives = begun.setdefault(event.pod, []) if event.pod is not None else []
        if event.pod is not None and event.kind == EventKind.REPLICA_CREATED:
            lives.append(event.t_s)
        told.append(replace(event, pod=_name(event.pod, len(lives))) if event.pod and len(lives) > 1 else event)
    split = {signal: _split(pods, begun) for signal, pods in signals.items()}
    return tuple(told), split


def _split(pods: Mapping[str, Series], begun: Mapping[str, list[float]]) -> dict[str, Series]:
    found = {}
    for pod, series in pods.items():
        starts = begun.get(pod, [])[1:]
        edges = [0, *series.t_s.searchsorted(starts).tolist(), len(series.t_s)]
        for number, (start, end) in enumerate(pairwise(edges), start=1):
            if end > start or number == 1:
                found[_name(pod, number)] = Series(series.t_s[start:end], series.value[start:end])
    return found


def _name(pod: str, life: int) -> str:
    return f"{pod} ({life})" if life > 1 else pod
