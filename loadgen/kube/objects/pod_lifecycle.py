"""Derives the lifecycle events of a replica, from its creation to its end, from successive states of its pod."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from loadgen.dataset.names import EventKind
from loadgen.kube.objects.events import RunEvent
from loadgen.kube.objects.raw import Raw, parse_time


@dataclass(slots=True)
class PodLifecycle:
    """Tracks one pod, and emits each lifecycle event once (after a restart: once more).

    Attributes:
        emitted: Kinds of the events emitted so far that still hold.
        restarts: Highest restart count of a container.
        not_ready: Whether the pod was ready before and is not any more.
    """

    emitted: set[str] = field(default_factory=set)
    restarts: int = 0
    not_ready: bool = False

    def update(self, pod: Raw, now_s: float) -> Iterator[RunEvent]:
        """Yield the events that a new state of the pod adds.

        Args:
            pod: The pod.
            now_s: Time of observation, in seconds since the epoch.
        """
        meta, status = pod["metadata"], pod.get("status", {})
        name = meta["name"]
        conditions = {each["type"]: each for each in status.get("conditions") or ()}
        containers = status.get("containerStatuses") or ()

        def once(kind: str, at_s: float | None, **fields: Any) -> Iterator[RunEvent]:
            if at_s is not None and kind not in self.emitted:
                self.emitted.add(kind)
                yield RunEvent(unix_s=at_s, kind=kind, pod=name, **fields)

        yield from once(EventKind.REPLICA_CREATED, parse_time(meta.get("creationTimestamp")))
        scheduled = conditions.get("PodScheduled", {})
        if (reason := scheduled.get("reason")) in ("Unschedulable", "SchedulerError"):
            since_s = parse_time(scheduled.get("lastTransitionTime")) or now_s
            yield from once(EventKind.REPLICA_UNSCHEDULABLE, since_s, reason=reason, message=scheduled.get("message"))
        node = pod.get("spec", {}).get("nodeName")
        data = {"node": node} if node else None
        yield from once(EventKind.REPLICA_SCHEDULED, _true_since_s(conditions.get("PodScheduled"), now_s), data=data)
        for container in containers:
            yield from self._crash(name, container, now_s)
        if containers and all("running" in each.get("state", {}) for each in containers):
            started_s = max(parse_time(each["state"]["running"].get("startedAt")) or now_s for each in containers)
            yield from once(EventKind.REPLICA_STARTED, started_s)
        if conditions.get("Ready", {}).get("status") == "True":
            if self.not_ready:
                self.emitted.discard(EventKind.REPLICA_READY)
                self.not_ready = False
            yield from once(EventKind.REPLICA_READY, _true_since_s(conditions["Ready"], now_s))
        elif EventKind.REPLICA_READY in self.emitted and not self.not_ready:
            self.not_ready = True
            if not meta.get("deletionTimestamp") and end_time_s(pod, now_s) is None:
                yield _not_ready(name, conditions.get("Ready", {}), now_s)
        if meta.get("deletionTimestamp"):
            # deletionTimestamp is the end of the grace period
            end_s = parse_time(meta["deletionTimestamp"])
            grace_s = float(meta.get("deletionGracePeriodSeconds") or 0)
            yield from once(EventKind.REPLICA_DRAINING, now_s if end_s is None else min(end_s - grace_s, now_s))

    def stop(self, pod: Raw, at_s: float) -> Iterator[RunEvent]:
        """Yield the events of a pod that was deleted or has ended: it drained, at the latest now, and stopped."""
        name, status = pod["metadata"]["name"], pod.get("status", {})
        if EventKind.REPLICA_DRAINING not in self.emitted:
            self.emitted.add(EventKind.REPLICA_DRAINING)
            yield RunEvent(unix_s=at_s, kind=EventKind.REPLICA_DRAINING, pod=name)
        reason, message = status.get("reason"), status.get("message")  # such as Evicted; a deletion has none
        yield RunEvent(unix_s=at_s, kind=EventKind.REPLICA_STOPPED, pod=name, reason=reason, message=message)

    def _crash(self, pod: str, container: Raw, now_s: float) -> Iterator[RunEvent]:
        restarts = int(container.get("restartCount", 0))
        terminated = container.get("lastState", {}).get("terminated")
        if restarts <= self.restarts or not terminated:
            return
        self.restarts = restarts
        self.emitted.discard(EventKind.REPLICA_STARTED)
        if EventKind.REPLICA_READY in self.emitted:
            self.emitted.discard(EventKind.REPLICA_READY)
            self.not_ready = False
        yield RunEvent(
            unix_s=parse_time(terminated.get("finishedAt")) or now_s,
            kind=EventKind.REPLICA_CRASHED,
            pod=pod,
            reason=terminated.get("reason"),
            data={"exit_code": terminated.get("exitCode"), "crashes": restarts, "backoff_s": None},
        )


def end_time_s(pod: Raw, now_s: float) -> float | None:
    """Return when a pod ended without being deleted: evicted, preempted, or shut down with its node.

    The object of such a pod may remain indefinitely. Returns None while the pod has not ended, and for a pod that is
    being deleted.
    """
    meta, status = pod["metadata"], pod.get("status", {})
    if status.get("phase") not in ("Failed", "Succeeded") or meta.get("deletionTimestamp"):
        return None
    states = [each.get("state", {}).get("terminated") or {} for each in status.get("containerStatuses") or ()]
    finished_s = [at_s for state in states if (at_s := parse_time(state.get("finishedAt"))) is not None]
    if finished_s:
        return max(finished_s)
    conditions = {each["type"]: parse_time(each.get("lastTransitionTime")) for each in status.get("conditions") or ()}
    # a pod that its node rejected has no conditions
    times = (conditions.get("DisruptionTarget"), conditions.get("Ready"), parse_time(status.get("startTime")))
    return next((at_s for at_s in times if at_s is not None), now_s)


def _not_ready(pod: str, condition: Raw, now_s: float) -> RunEvent:
    return RunEvent(
        unix_s=parse_time(condition.get("lastTransitionTime")) or now_s,
        kind=EventKind.REPLICA_NOT_READY,
        pod=pod,
        reason=condition.get("reason"),
        message=condition.get("message"),
    )


def _true_since_s(condition: Raw | None, now_s: float) -> float | None:
    if condition is None or condition.get("status") != "True":
        return None
    at_s = parse_time(condition.get("lastTransitionTime"))
    return now_s if at_s is None else at_s
