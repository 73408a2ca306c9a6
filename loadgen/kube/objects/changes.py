"""What a watched object says that it did not say before, as events of the run folder: pure functions of raw objects.

Times are those of the API, which stamps whole seconds; where it stamps none, the moment at which the change was seen.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from loadgen.base.quantity import parse_milli
from loadgen.dataset.names import EventKind

Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One event; `unix_s` is seconds since the epoch, the other fields are those of the table `events`."""

    unix_s: float
    kind: str
    pod: str | None = None
    reason: str | None = None
    message: str | None = None
    data: Mapping[str, Any] | None = None


@dataclass(slots=True)
class PodStory:
    """What was told of one pod: each kind of event once, but for crashes."""

    told: set[str] = field(default_factory=set)
    restarts: int = 0
    not_ready: bool = False


def pod_changes(story: PodStory, pod: Raw, now_s: float) -> Iterator[Change]:
    """What is new in a pod; `story` remembers what was told."""
    meta, status = pod["metadata"], pod.get("status", {})
    name = meta["name"]
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    containers = status.get("containerStatuses") or ()

    def once(kind: str, at: float | None, **fields: Any) -> Iterator[Change]:
        if at is not None and kind not in story.told:
            story.told.add(kind)
            yield Change(unix_s=at, kind=kind, pod=name, **fields)

    yield from once(EventKind.REPLICA_CREATED, unix_s(meta.get("creationTimestamp")))
    placed = conditions.get("PodScheduled", {})
    if placed.get("reason") == "Unschedulable":
        since = unix_s(placed.get("lastTransitionTime")) or now_s
        yield from once(EventKind.REPLICA_UNSCHEDULABLE, since, reason="Unschedulable", message=placed.get("message"))
    yield from once(EventKind.REPLICA_SCHEDULED, _since(conditions.get("PodScheduled"), now_s))
    for container in containers:
        yield from _crash(story, name, container, now_s)
    if containers and all("running" in each.get("state", {}) for each in containers):
        started = max(unix_s(each["state"]["running"].get("startedAt")) or now_s for each in containers)
        yield from once(EventKind.REPLICA_STARTED, started)
    ready = conditions.get("Ready", {}).get("status") == "True"
    if ready:
        if story.not_ready:
            story.told.discard(EventKind.REPLICA_READY)
            story.not_ready = False
        yield from once(EventKind.REPLICA_READY, _since(conditions["Ready"], now_s))
    elif EventKind.REPLICA_READY in story.told and not story.not_ready:
        story.not_ready = True
        if not meta.get("deletionTimestamp") and ended_s(pod, now_s) is None:
            yield _not_ready(name, conditions.get("Ready", {}), now_s)
    if meta.get("deletionTimestamp"):
        # the API stamps when the grace period ends
        end = unix_s(meta["deletionTimestamp"])
        grace = float(meta.get("deletionGracePeriodSeconds") or 0)
        yield from once(EventKind.REPLICA_DRAINING, now_s if end is None else min(end - grace, now_s))


def pod_gone(story: PodStory, pod: Raw, at_s: float) -> Iterator[Change]:
    """A pod is deleted, or came to its end by itself: it stops now, and had to begin to stop before."""
    name, status = pod["metadata"]["name"], pod.get("status", {})
    if EventKind.REPLICA_DRAINING not in story.told:
        story.told.add(EventKind.REPLICA_DRAINING)
        yield Change(unix_s=at_s, kind=EventKind.REPLICA_DRAINING, pod=name)
    reason, message = status.get("reason"), status.get("message")  # such as Evicted; a deletion has none
    yield Change(unix_s=at_s, kind=EventKind.REPLICA_STOPPED, pod=name, reason=reason, message=message)


def ended_s(pod: Raw, now_s: float) -> float | None:
    """When a pod came to its end although nobody deleted it: evicted, preempted, or shut down with its node.

    Its object may stay for ever. None while it has not, and where it is being deleted.
    """
    meta, status = pod["metadata"], pod.get("status", {})
    if status.get("phase") not in ("Failed", "Succeeded") or meta.get("deletionTimestamp"):
        return None
    states = [each.get("state", {}).get("terminated") or {} for each in status.get("containerStatuses") or ()]
    finished = [at for state in states if (at := unix_s(state.get("finishedAt"))) is not None]
    if finished:
        return max(finished)
    conditions = {each["type"]: unix_s(each.get("lastTransitionTime")) for each in status.get("conditions") or ()}
    # one that its node never took in has no condition at all
    known = (conditions.get("DisruptionTarget"), conditions.get("Ready"), unix_s(status.get("startTime")))
    return next((at for at in known if at is not None), now_s)


@dataclass(slots=True)
class NodeStory:
    """What is known of one node: whether it is ready, and whether it was told to be lost."""

    ready: bool = False
    lost: bool = False


def node_changes(story: NodeStory, node: Raw, pods: Callable[[float], Sequence[str]], now_s: float) -> Iterator[Change]:
    """A node with replicas that was ready is so no more, or is so again.

    One that was never ready loses nothing, and one without replicas is nothing to the workload.

    Args:
        story: Remembers what was told.
        node: The object.
        pods: Replicas that were on it at a time.
        now_s: When it was seen, seconds since the epoch.
    """
    condition = next(
        (each for each in node.get("status", {}).get("conditions") or () if each["type"] == "Ready"), {"status": None}
    )
    at = unix_s(condition.get("lastTransitionTime")) or now_s
    if condition["status"] == "True":
        if story.lost:
            yield _node(EventKind.NODE_BACK, node, pods(at), at, condition)
        story.ready, story.lost = True, False
    elif story.ready:
        story.ready = False
        if on_it := pods(at):
            story.lost = True
            yield _node(EventKind.NODE_LOST, node, on_it, at, condition)


def node_gone(story: NodeStory, node: Raw, pods: Sequence[str], now_s: float) -> Iterator[Change]:
    """A node was taken out of the cluster: a loss if replicas were on it, otherwise the cluster only got smaller."""
    if pods and story.ready:
        condition = {"reason": "NodeDeleted", "message": "the node was taken out of the cluster"}
        yield _node(EventKind.NODE_LOST, node, pods, now_s, condition)


def hpa_sync(hpa: Raw, now_s: float, metric: str | None = None) -> Change:
    """What the controller last wrote into the status of an HPA.

    Args:
        hpa: The object.
        now_s: When it was seen, seconds since the epoch.
        metric: Name of the metric whose value is told; None takes the first.
    """
    spec, status = hpa["spec"], hpa.get("status", {})
    conditions = [
        {key: each.get(key) for key in ("type", "status", "reason", "message")}
        for each in status.get("conditions") or ()
    ]
    active = next((each for each in conditions if each["type"] == "ScalingActive"), None)
    return Change(
        unix_s=now_s,
        kind=EventKind.HPA_SYNC,
        reason=active["reason"] if active else None,
        message=active["message"] if active and active["status"] != "True" else None,
        data={
            "current": status.get("currentReplicas"),
            "desired": status.get("desiredReplicas"),
            "metric_milli": _value_milli(status.get("currentMetrics"), metric, "current"),
            "target_milli": _value_milli(spec.get("metrics"), metric, "target"),
            "conditions": conditions,
            "proposals": [],
        },
    )


def pod_event(event: Raw, now_s: float) -> Change:
    """What the scheduler or a kubelet says of a pod, such as `Pulling` and `Pulled`."""
    at = unix_s(event.get("lastTimestamp")) or unix_s(event.get("eventTime")) or now_s
    return Change(
        unix_s=at,
        kind=EventKind.POD_EVENT,
        pod=event["involvedObject"]["name"],
        reason=event.get("reason"),
        message=event.get("message"),
        data={"type": event.get("type"), "count": event.get("count")},
    )


def milli(quantity: str | None) -> int | None:
    """A Kubernetes quantity in thousandths, rounded up; None for anything else."""
    try:
        return None if quantity is None else parse_milli(quantity)
    except ValueError:
        return None


def _crash(story: PodStory, name: str, container: Raw, now_s: float) -> Iterator[Change]:
    restarts = int(container.get("restartCount", 0))
    ended = container.get("lastState", {}).get("terminated")
    if restarts <= story.restarts or not ended:
        return
    story.restarts = restarts
    story.told.discard(EventKind.REPLICA_STARTED)
    if EventKind.REPLICA_READY in story.told:
        story.told.discard(EventKind.REPLICA_READY)
        story.not_ready = False
    yield Change(
        unix_s=unix_s(ended.get("finishedAt")) or now_s,
        kind=EventKind.REPLICA_CRASHED,
        pod=name,
        reason=ended.get("reason"),
        data={"exit_code": ended.get("exitCode"), "crashes": restarts, "backoff_s": None},
    )


def _not_ready(pod: str, condition: Raw, now_s: float) -> Change:
    return Change(
        unix_s=unix_s(condition.get("lastTransitionTime")) or now_s,
        kind=EventKind.REPLICA_NOT_READY,
        pod=pod,
        reason=condition.get("reason"),
        message=condition.get("message"),
    )


def _node(kind: str, node: Raw, pods: Sequence[str], at: float, condition: Raw) -> Change:
    return Change(
        unix_s=at,
        kind=kind,
        reason=condition.get("reason"),
        message=condition.get("message"),
        data={"node": node["metadata"]["name"], "pods": sorted(pods)},
    )


def _value_milli(metrics: Sequence[Raw] | None, name: str | None, side: str) -> int | None:
    for metric in metrics or ():
        # a metric that was not read is an entry with an empty type
        kind = str(metric.get("type", ""))
        source = metric.get(kind[:1].lower() + kind[1:], {})
        if name is None or source.get("metric", {}).get("name") == name:
            value = source.get(side, {})
            return milli(value.get("averageValue") or value.get("value"))
    return None


def _since(condition: Raw | None, now_s: float) -> float | None:
    if condition is None or condition.get("status") != "True":
        return None
    at = unix_s(condition.get("lastTransitionTime"))
    return now_s if at is None else at


def unix_s(stamp: str | None) -> float | None:
    """Seconds since the epoch of a time of the API, which may have fractions; None stays None."""
    return None if stamp is None else datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()
