"""The pods of a workload as they come and go: each a life of its own, although names may be used again."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from loadgen.dataset.names import EventKind
from loadgen.dataset.stack import ReplicaPhase
from loadgen.kube.objects.changes import Change, PodStory, ended_s, pod_changes, pod_gone, unix_s
from loadgen.kube.objects.pod_states import StatesStory, state_changes

_REMEMBERED = 1000
_NEVER = -float("inf")

Raw = Mapping[str, Any]


@dataclass(slots=True)
class Pod:
    """One pod.

    Attributes:
        name: Its name.
        raw: The object as it was seen last.
        story: What was told of its life.
        states: What was told of its conditions and containers.
        since_s: Not before this did it begin: until then another had its name.
    """

    name: str
    raw: Raw = field(default_factory=dict)
    story: PodStory = field(default_factory=PodStory)
    states: StatesStory = field(default_factory=StatesStory)
    since_s: float = _NEVER

    @property
    def node(self) -> str | None:
        """Where it was placed."""
        node: str | None = self.raw.get("spec", {}).get("nodeName")
        return node

    @property
    def phase(self) -> ReplicaPhase:
        """How far it is."""
        told = self.story.told
        if EventKind.REPLICA_DRAINING in told:
            return "draining"
        if EventKind.REPLICA_READY in told and not self.story.not_ready:
            return "ready"
        if EventKind.REPLICA_STARTED in told:
            return "started"
        return "scheduled" if EventKind.REPLICA_SCHEDULED in told else "created"


@dataclass(frozen=True, slots=True)
class _Left:
    name: str
    node: str | None
    at_s: float
    in_order: bool


class Pods:
    """All pods that exist, by their uid: a LeaderWorkerSet gives a new pod the name of the one before it.

    Args:
        begun_s: When the run began (Unix, s): what came to its end before is none of its pods.
    """

    def __init__(self, begun_s: float) -> None:
        self._begun_s = begun_s
        self._known: dict[str, Pod] = {}
        self._over: set[str] = set()
        self._stopped: dict[str, float] = {}
        self._left: deque[_Left] = deque(maxlen=_REMEMBERED)

    def there(self) -> list[Pod]:
        """Those that exist, in the order in which they were seen first."""
        return list(self._known.values())

    def take(self, kind: str, raw: Raw, now_s: float) -> Iterator[Change]:
        """One object that a watch showed."""
        uid, name = raw["metadata"]["uid"], raw["metadata"]["name"]
        end_s = ended_s(raw, now_s)
        if uid not in self._known and end_s is not None and end_s < self._begun_s:
            self._over.add(uid)
        if uid in self._over:
            return
        pod = self._known.setdefault(uid, Pod(name, since_s=self._stopped.get(name, _NEVER)))
        pod.raw = raw
        for change in (*pod_changes(pod.story, raw, now_s), *state_changes(pod.states, raw, now_s)):
            yield replace(change, unix_s=max(change.unix_s, pod.since_s))
        if kind == "DELETED":
            yield from self._gone(uid, now_s)
        elif end_s is not None:
            self._over.add(uid)
            yield from self._gone(uid, end_s)

    def listed(self, items: Sequence[Raw], now_s: float) -> Iterator[Change]:
        """All that there are: what is not among them was deleted while nobody looked, before another got its name."""
        uids = {each["metadata"]["uid"] for each in items}
        born = {each["metadata"]["name"]: unix_s(each["metadata"].get("creationTimestamp")) for each in items}
        for uid in [known for known in self._known if known not in uids]:
            yield from self._gone(uid, min(born.get(self._known[uid].name) or now_s, now_s))
        for each in items:
            yield from self.take("MODIFIED", each, now_s)

    def on(self, node: str, at_s: float, *, given_up: bool = True) -> list[str]:
        """Names of the pods that were on a node at a time; those that had begun to stop only if `given_up`."""
        there = [pod.name for pod in self._known.values() if pod.node == node]
        left = [
            each.name
            for each in self._left
            if each.node == node and each.at_s >= at_s and (given_up or not each.in_order)
        ]
        return sorted({*there, *left})

    def _gone(self, uid: str, at_s: float) -> Iterator[Change]:
        pod = self._known.pop(uid)
        at_s = max(at_s, pod.since_s)
        self._left.append(_Left(pod.name, pod.node, at_s, EventKind.REPLICA_DRAINING in pod.story.told))
        self._stopped[pod.name] = at_s
        yield from pod_gone(pod.story, pod.raw, at_s)
