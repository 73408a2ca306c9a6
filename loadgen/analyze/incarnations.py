"""Gives every replica a unique name where pod names are reused, as in a LeaderWorkerSet."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise

from loadgen.analyze.observed import Event, Series
from loadgen.dataset.names import EventKind


def split_incarnations(
    events: Iterable[Event], signals: Mapping[str, Mapping[str, Series]]
) -> tuple[tuple[Event, ...], dict[str, dict[str, Series]]]:
    """Rename the replicas in events and samples: `llm-0`, then `llm-0 (2)` from its second creation on."""
    renamed, created_s = [], dict[str, list[float]]()
    for event in events:
        if event.pod is None:
            renamed.append(event)
            continue
        creations = created_s.setdefault(event.pod, [])
        if event.kind == EventKind.REPLICA_CREATED:
            creations.append(event.t_s)
        renamed.append(replace(event, pod=_name(event.pod, len(creations))))
    return tuple(renamed), {signal: _split(pods, created_s) for signal, pods in signals.items()}


def _split(pods: Mapping[str, Series], created_s: Mapping[str, list[float]]) -> dict[str, Series]:
    split = {}
    for pod, series in pods.items():
        later = created_s.get(pod, [])[1:]
        edges = [0, *series.t_s.searchsorted(later).tolist(), len(series.t_s)]
        for number, (start, end) in enumerate(pairwise(edges), start=1):
            if end > start or number == 1:
                split[_name(pod, number)] = Series(series.t_s[start:end], series.value[start:end])
    return split


def _name(pod: str, incarnation: int) -> str:
    return f"{pod} ({incarnation})" if incarnation > 1 else pod
