"""Reads how a replica started: its node, its images, when its server answered, and when it was ready."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from loadgen.analyze.observed import Event, Observed
from loadgen.analyze.results.chain import PodStart
from loadgen.analyze.scaling.replicas import Replica
from loadgen.dataset.names import EventKind, SignalName

_NODE = re.compile(r"Successfully assigned \S+ to (\S+)")
_PRESENT = "already present on machine"
_SLACK_S = 1.5
"""The API stamps whole seconds: an event may seem to come this much before or after another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Startup:
    """Times of one replica; None where they were not observed.

    Attributes:
        pulling_s: When its first image pull began.
        image_s: When its last image was there.
        engine_s: When its server first answered a scrape.
        emulated: Whether the pull and the load of its engine were one emulated delay, which began at `pulling_s`.
        node: The node.
        warm: Whether all images were on the node already.
    """

    pulling_s: float | None
    image_s: float | None
    engine_s: float | None
    emulated: bool
    node: str | None
    warm: bool | None


def startup(run: Observed, events: Sequence[Event], pod: Replica) -> Startup:
    """How a replica started.

    Args:
        run: The run.
        events: The events of this replica.
        pod: The replica.
    """
    emulated = next((each.t_s for each in events if each.kind == EventKind.REPLICA_PULLING), None)
    until_s = pod.ready_s if pod.ready_s is not None else run.last_s
    early = [e for e in events if e.kind == EventKind.POD_EVENT and e.t_s <= until_s + _SLACK_S]
    pulling = [each.t_s for each in early if each.reason == "Pulling"]
    pulled = [each for each in early if each.reason == "Pulled"]
    present = [_PRESENT in (each.message or "") for each in pulled]
    placed = (e.data.get("node") for e in events if e.kind == EventKind.REPLICA_SCHEDULED)
    nodes = [node for node in placed if isinstance(node, str)] or [
        match[1] for e in early if e.reason == "Scheduled" and (match := _NODE.search(e.message or ""))
    ]
    return Startup(
        pulling_s=emulated if emulated is not None else min(pulling, default=None),
        image_s=max((each.t_s for each in pulled), default=None),
        engine_s=_engine_s(run, pod),
        emulated=emulated is not None,
        node=nodes[0] if nodes else None,
        warm=False if pulling or not all(present) else True if present else None,
    )


def _engine_s(run: Observed, pod: Replica) -> float | None:
    """The first successful scrape of a replica that was not ready: Triton serves metrics once its models are loaded."""
    series = run.signals.get(SignalName.UP, {}).get(pod.name)
    if series is None or pod.started_s is None or pod.ready_s is None:
        return None
    times = series.t_s[(series.value > 0) & (series.t_s >= pod.started_s) & (series.t_s <= pod.ready_s)]
    return float(times[0]) if len(times) else None


def pod_start(pod: Replica, found: Startup) -> PodStart:
    """The durations of a start, with the reason for each that is missing."""
    missing = []
    pull_s = _between(found.pulling_s, found.image_s)
    if found.emulated:
        load_s, probe_s = _between(found.pulling_s, pod.started_s), _between(pod.started_s, pod.ready_s)
        missing.append("pull: the local stack emulates the pull and the load as one delay")
    else:
        load_s, probe_s = _between(pod.started_s, found.engine_s), _between(found.engine_s, pod.ready_s)
        if pull_s is None and not found.warm:
            missing.append("pull: no image pull was recorded")
        if found.warm:
            pull_s = 0.0
        if load_s is None:
            missing.append("load, probe: no scrape succeeded before it was ready, so they are not told apart")
    return PodStart(
        pod=pod.name,
        node=found.node,
        warm_node=None if found.emulated else found.warm,
        pull_s=pull_s,
        load_s=load_s,
        probe_s=probe_s,
        why_missing="; ".join(missing) or None,
    )


def _between(start_s: float | None, end_s: float | None) -> float | None:
    return None if start_s is None or end_s is None else max(end_s - start_s, 0.0)
