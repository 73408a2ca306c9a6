"""Tracks the pods of a workload by uid, since a new pod may reuse the name of an earlier one."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from loadgen.dataset.names import EventKind
from loadgen.dataset.stack import ReplicaPhase
from loadgen.kube.objects.events import RunEvent
from loadgen.kube.objects.pod_lifecycle import PodLifecycle, end_time_s
from loadgen.kube.objects.pod_states import PodStates
from loadgen.kube.objects.raw import Raw, parse_time
from loadgen.kube.observe.watch_event import DELETED, MODIFIED

_HISTORY = 1000
_NEVER = -float("inf")


@dataclass(slots=True)
class Pod:
    """One pod.

    Attributes:
        name: Its name.
        raw: The object as last observed.
        lifecycle: Its lifecycle events so far.
        states: Its last known conditions and container states.
        not_before_s: Earliest time of its events (Unix, s): until then another pod had its name.
    """

    name: str
    raw: Raw = field(default_factory=dict)
    lifecycle: PodLifecycle = field(default_factory=PodLifecycle)
    states: PodStates = field(default_factory=PodStates)
    not_before_s: float = _NEVER

    @property
    def node(self) -> str | None:
        """Name of the node that the pod was scheduled to."""
        node: str | None = self.raw.get("spec", {}).get("nodeName")
        return node

    @property
    def phase(self) -> ReplicaPhase:
        """Phase of the replica."""
        emitted = self.lifecycle.emitted
        if EventKind.REPLICA_DRAINING in emitted:
            return "draining"
        if EventKind.REPLICA_READY in emitted and not self.lifecycle.not_ready:
            return "ready"
        if EventKind.REPLICA_STARTED in emitted:
            return "started"
        return "scheduled" if EventKind.REPLICA_SCHEDULED in emitted else "created"


@dataclass(frozen=True, slots=True)
class _StoppedPod:
    name: str
    node: str | None
    at_s: float
    drained: bool


class PodTracker:
    """Tracks all pods of a workload; a LeaderWorkerSet gives a new pod the name of the one that it replaces.

    Args:
        run_start_s: When the run started (Unix, s). Pods that ended earlier are ignored.
    """

    def __init__(self, run_start_s: float) -> None:
        self._run_start_s = run_start_s
        self._pods: dict[str, Pod] = {}
        self._ended: set[str] = set()
        self._stop_times: dict[str, float] = {}
        self._stopped: deque[_StoppedPod] = deque(maxlen=_HISTORY)

    def pods(self) -> list[Pod]:
        """Return the pods that exist, in the order in which they were first observed."""
        return list(self._pods.values())

    def update(self, event_type: str, raw: Raw, now_s: float) -> Iterator[RunEvent]:
        """Apply an added, modified or deleted pod."""
        uid, name = raw["metadata"]["uid"], raw["metadata"]["name"]
        end_s = end_time_s(raw, now_s)
        if uid not in self._pods and end_s is not None and end_s < self._run_start_s:
            self._ended.add(uid)
        if uid in self._ended:
            return
        pod = self._pods.setdefault(uid, Pod(name, not_before_s=self._stop_times.get(name, _NEVER)))
        pod.raw = raw
        for event in (*pod.lifecycle.update(raw, now_s), *pod.states.update(raw, now_s)):
            yield replace(event, unix_s=max(event.unix_s, pod.not_before_s))
        if event_type == DELETED:
            yield from self._remove(uid, now_s)
        elif end_s is not None:
            self._ended.add(uid)
            yield from self._remove(uid, end_s)

    def relist(self, items: Sequence[Raw], now_s: float) -> Iterator[RunEvent]:
        """Apply a new list: a known pod that is missing was deleted, at the latest when another pod got its name."""
        uids = {each["metadata"]["uid"] for each in items}
        created_s = {each["metadata"]["name"]: parse_time(each["metadata"].get("creationTimestamp")) for each in items}
        for uid in [known for known in self._pods if known not in uids]:
            yield from self._remove(uid, min(created_s.get(self._pods[uid].name) or now_s, now_s))
        for each in items:
            yield from self.update(MODIFIED, each, now_s)

    def on_node(self, node: str, at_s: float, *, include_drained: bool = True) -> list[str]:
        """Return the names of the pods that were on a node at a time.

        Args:
            node: Name of the node.
            at_s: The time (Unix, s).
            include_drained: Whether to include pods that have stopped since then after draining.
        """
        current = [pod.name for pod in self._pods.values() if pod.node == node]
        stopped = [
            each.name
            for each in self._stopped
            if each.node == node and each.at_s >= at_s and (include_drained or not each.drained)
        ]
        return sorted({*current, *stopped})

    def _remove(self, uid: str, at_s: float) -> Iterator[RunEvent]:
        pod = self._pods.pop(uid)
        at_s = max(at_s, pod.not_before_s)
        self._stopped.append(_StoppedPod(pod.name, pod.node, at_s, EventKind.REPLICA_DRAINING in pod.lifecycle.emitted))
        self._stop_times[pod.name] = at_s
        yield from pod.lifecycle.stop(pod.raw, at_s)
