"""Judges whether the nodes with replicas on them had resources to spare during the load, and who used them."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from loadgen.analyze.observed import Event, Observed, Series
from loadgen.analyze.results.nodes import NodePressure, Nodes, NodeUnderLoad, NodeVerdict
from loadgen.analyze.scaling.replicas import Fleet, Replica
from loadgen.analyze.steps import Interval
from loadgen.dataset.names import EventKind, SignalName

BUSY_CPU = 0.95
"""A node that uses this share of its CPUs has none to spare."""
CPU = "CPU"
MEMORY = "MemoryPressure"
_CONDITIONS = (MEMORY, "DiskPressure", "PIDPressure")
_MEAN_S = 60.0
"""A value of the metrics API is a mean, usually of 15 to 60 s, so it stands for at most this time before it."""
_STALE_S = 120.0
"""A value of a replica is compared with one of its node of at most this age."""
_RANKS: tuple[NodeVerdict, ...] = ("neighbour", "pressure", "replicas", "not known", "no pressure")
"""Of several nodes, the one with the first of these verdicts counts."""


def nodes(run: Observed, fleet: Fleet) -> Nodes | None:
    """Judge the nodes of a cluster by their conditions and their use of CPU and memory; None without a cluster."""
    if run.info.cluster is None:
        return None
    on_nodes = sorted(_replicas(run, fleet).items())
    judged = [found for name, on_it in on_nodes if (found := _judged(run, name, on_it)) is not None]
    if not judged:
        return Nodes(
            verdict="not known",
            reason="Whether the nodes of the replicas had resources to spare is not known: their conditions were not "
            "recorded.",
        )
    judged.sort(key=lambda each: (_RANKS.index(each.verdict), each.name))
    return Nodes(verdict=judged[0].verdict, reason=_reason(judged), nodes=tuple(judged))


def _replicas(run: Observed, fleet: Fleet) -> dict[str, list[Replica]]:
    """The replicas of each node: those that were scheduled to it, or else those that its conditions name."""
    on: dict[str, dict[str, Replica]] = {}
    for event in run.of_kind(EventKind.REPLICA_SCHEDULED):
        node = event.data.get("node")
        if isinstance(node, str) and event.pod in fleet.pods:
            on.setdefault(node, {})[str(event.pod)] = fleet.pods[str(event.pod)]
    placed = {name for pods in on.values() for name in pods}
    for event in run.of_kind(EventKind.NODE_CONDITION):
        node = event.data.get("node")
        for pod in event.data.get("pods") or ():
            if isinstance(node, str) and pod in fleet.pods and pod not in placed:
                on.setdefault(node, {})[pod] = fleet.pods[pod]
    return {node: [pods[name] for name in sorted(pods)] for node, pods in on.items()}


class _Peak(NamedTuple):
    """The most that a node used, and what its replicas used of that; None where it was not recorded."""

    ratio: float | None = None
    at_s: float | None = None
    replicas_ratio: float | None = None


def _judged(run: Observed, name: str, replicas: Sequence[Replica]) -> NodeUnderLoad | None:
    """One node; None if no replica was on it during the load."""
    spans = _merged((max(_start_s(each), 0.0), min(_end_s(each), run.end_s)) for each in replicas)
    if not spans:
        return None
    cpu = _peak(run, name, replicas, spans, SignalName.NODE_CPU_RATIO, SignalName.REPLICA_CPU_RATIO)
    memory = _peak(run, name, replicas, spans, SignalName.NODE_MEMORY_RATIO, SignalName.REPLICA_MEMORY_RATIO)
    pressure = (*_conditions(run, name, spans), *_busy(run, name, spans))
    return NodeUnderLoad(
        name=name,
        verdict=_verdict(run, name, pressure, cpu, memory),
        replicas=tuple(each.name for each in replicas),
        pressure=tuple(sorted(pressure, key=lambda each: (each.start_s, each.resource))),
        cpu_peak_ratio=cpu.ratio,
        cpu_peak_s=cpu.at_s,
        cpu_replicas_ratio=cpu.replicas_ratio,
        memory_peak_ratio=memory.ratio,
        memory_peak_s=memory.at_s,
        memory_replicas_ratio=memory.replicas_ratio,
    )


def _verdict(run: Observed, name: str, pressure: Sequence[NodePressure], cpu: _Peak, memory: _Peak) -> NodeVerdict:
    if not pressure:
        reported = {event.data.get("condition") for event in _events(run, name)}
        return "no pressure" if cpu.ratio is not None and reported.issuperset(_CONDITIONS) else "not known"
    users = {_user({CPU: cpu, MEMORY: memory}.get(each.resource, _Peak())) for each in pressure}
    return min(users, key=_RANKS.index)


def _user(peak: _Peak) -> NodeVerdict:
    """Who used the larger part of a resource."""
    if peak.ratio is None or peak.replicas_ratio is None:
        return "pressure"
    return "neighbour" if peak.ratio - peak.replicas_ratio > peak.replicas_ratio else "replicas"


def _conditions(run: Observed, name: str, spans: Sequence[Interval]) -> Iterator[NodePressure]:
    """The times in which the node reported that it was short of a resource."""
    for condition in _CONDITIONS:
        events = [each for each in _events(run, name) if each.data.get("condition") == condition]
        for number, event in enumerate(events):
            until_s = events[number + 1].t_s if number + 1 < len(events) else math.inf
            if event.data.get("status") == "True":
                for start, end in _within((event.t_s, until_s), spans):
                    yield NodePressure(resource=condition, start_s=start, end_s=end, message=event.message)


def _busy(run: Observed, name: str, spans: Sequence[Interval]) -> Iterator[NodePressure]:
    """The times for which a value of the node's CPU use stands that is at least `BUSY_CPU`."""
    series = run.signals.get(SignalName.NODE_CPU_RATIO, {}).get(name)
    if series is None:
        return
    since = np.concatenate(([-math.inf], series.t_s[:-1]))
    since = np.maximum(since, series.t_s - _MEAN_S)
    busy = series.value >= BUSY_CPU
    for start_s, end_s in _merged(zip(since[busy].tolist(), series.t_s[busy].tolist(), strict=True)):
        for start, end in _within((start_s, end_s), spans):
            yield NodePressure(resource=CPU, start_s=start, end_s=end)


def _peak(
    run: Observed,
    name: str,
    replicas: Sequence[Replica],
    spans: Sequence[Interval],
    of_node: SignalName,
    of_replica: SignalName,
) -> _Peak:
    series = run.signals.get(of_node, {}).get(name)
    if series is None:
        return _Peak()
    during = np.array([any(start <= t <= end for start, end in spans) for t in series.t_s.tolist()], dtype=bool)
    if not during.any():
        return _Peak()
    times, values = series.t_s[during], series.value[during]
    at_s = float(times[values.argmax()])
    there = [each for each in replicas if _start_s(each) <= at_s <= _end_s(each)]
    used = [_near(run.signals.get(of_replica, {}).get(each.name), at_s) for each in there]
    known = [each for each in used if each is not None]
    return _Peak(float(values.max()), at_s, sum(known) if there and len(known) == len(used) else None)


def _near(series: Series | None, at_s: float) -> float | None:
    """The value nearest to a time; None without one of at most `_STALE_S` before or after it."""
    if series is None or not len(series.t_s):
        return None
    distance = np.abs(series.t_s - at_s)
    nearest = int(distance.argmin())
    return float(series.value[nearest]) if distance[nearest] <= _STALE_S else None


def _events(run: Observed, name: str) -> list[Event]:
    return [each for each in run.of_kind(EventKind.NODE_CONDITION) if each.data.get("node") == name]


def _start_s(pod: Replica) -> float:
    return pod.scheduled_s if pod.scheduled_s is not None else -math.inf


def _end_s(pod: Replica) -> float:
    return pod.stopped_s if pod.stopped_s is not None else math.inf


def _within(span: Interval, spans: Sequence[Interval]) -> Iterator[Interval]:
    for start, end in spans:
        if min(end, span[1]) > max(start, span[0]):
            yield max(start, span[0]), min(end, span[1])


def _merged(spans: Iterable[Interval]) -> list[Interval]:
    """Spans that have a length, in order and without overlap."""
    merged: list[Interval] = []
    for start, end in sorted(spans):
        if end <= start:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _reason(judged: Sequence[NodeUnderLoad]) -> str:
    """The verdict in one sentence, with the evidence of the first node."""
    first = judged[0]
    if first.verdict == "no pressure":
        most = max((each.cpu_peak_ratio for each in judged if each.cpu_peak_ratio is not None), default=None)
        return (
            f"The nodes of the replicas ({len(judged)}) had resources to spare: none reported pressure on memory, disk "
            f"or process ids, or used more than {_percent(most)} of its CPUs."
        )
    if first.verdict == "not known":
        lacks = sorted({_missing(each) for each in judged if each.verdict == "not known"})
        return (
            f"Whether the nodes of the replicas had CPU to spare is not known: {' and '.join(lacks)} not recorded. "
            f"No pressure on memory, disk or process ids was reported."
        )
    pressed = [each for each in judged if each.pressure]
    others = f" ({len(pressed)} nodes in all)" if len(pressed) > 1 else ""
    who = {
        "neighbour": "Something else on the nodes of the replicas took their resources",
        "replicas": "The replicas used up the resources of their nodes",
    }.get(first.verdict, "Nodes of the replicas were short of resources, and who used them is not known")
    return f"{who}: {evidence(first)}{others}."


def evidence(node: NodeUnderLoad) -> str:
    """What shows that a node was under pressure, and who used the resource."""
    parts = []
    for resource in dict.fromkeys(each.resource for each in node.pressure):
        spans = [each for each in node.pressure if each.resource == resource]
        total_s = sum(each.end_s - each.start_s for each in spans)
        if resource == CPU:
            peak, share = node.cpu_peak_ratio, node.cpu_replicas_ratio
            parts.append(f"used up to {_percent(peak)} of its CPUs{_of_replicas(share)}, for {total_s:.0f} s")
        else:
            peak = node.memory_peak_ratio if resource == MEMORY else None
            share = node.memory_replicas_ratio if resource == MEMORY else None
            used = "" if peak is None else f", with {_percent(peak)} of its memory in use{_of_replicas(share)}"
            parts.append(f"reported {resource} from {spans[0].start_s:.0f} s, for {total_s:.0f} s{used}")
    return f"node {node.name} {' and '.join(parts)}"


def _of_replicas(share: float | None) -> str:
    return "" if share is None else f" (its replicas {_percent(share)})"


def _missing(node: NodeUnderLoad) -> str:
    return "their use of CPU was" if node.cpu_peak_ratio is None else "their conditions were"


def _percent(value: float | None) -> str:
    return "an unknown share" if value is None else f"{value * 100:.0f} %"
