"""Tracks the nodes of a cluster: the conditions of those with replicas on them, and which of them are lost."""

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import replace

from loadgen.dataset.names import EventKind
from loadgen.dataset.stack import NodeState
from loadgen.kube.objects.events import RunEvent
from loadgen.kube.objects.node_conditions import NodeConditions, node_state, reduced
from loadgen.kube.objects.node_readiness import NodeReadiness
from loadgen.kube.objects.raw import Raw
from loadgen.kube.observe.pods import PodTracker
from loadgen.kube.observe.watch_event import DELETED, MODIFIED

_LEASE_TIMEOUT_S = 30.0


class NodeTracker:
    """Tracks the readiness and the conditions of all nodes.

    Args:
        pods: The replicas.
        request_lease: Requests the lease of a node without waiting; `lease_renewed` gets the answer.
    """

    def __init__(self, pods: PodTracker, request_lease: Callable[[str], None]) -> None:
        self._pods, self._request_lease = pods, request_lease
        self._nodes: dict[str, NodeReadiness] = {}
        self._raw: dict[str, Raw] = {}
        self._conditions: dict[str, NodeConditions] = {}
        self._pending: list[tuple[str, RunEvent, float]] = []

    def update(
        self, event_type: str, raw: Raw, now_s: float, disconnected_since_s: float | None = None
    ) -> Iterator[RunEvent]:
        """Apply an added, modified or deleted node; the loss of a node is reported only once its lease is known.

        Args:
            event_type: Type of the watch event.
            raw: The node.
            now_s: Time of observation (Unix, s).
            disconnected_since_s: When the watch was interrupted, if this is observed after an interruption.
        """
        name = raw["metadata"]["name"]
        node = self._nodes.setdefault(name, NodeReadiness())
        if event_type == DELETED:
            # pods that were drained before are not lost with the node
            since_s = now_s if disconnected_since_s is None else disconnected_since_s
            replicas = self._pods.on_node(name, since_s, include_drained=False)
            events = node.remove(raw, replicas, now_s)
            del self._nodes[name]
            self._raw.pop(name, None)
            self._conditions.pop(name, None)
        else:
            self._raw[name] = reduced(raw)
            events = node.update(raw, lambda at_s: self._pods.on_node(name, at_s), now_s)
        for event in events:
            if event.kind == EventKind.NODE_LOST:
                self._pending.append((name, event, now_s))
                self._request_lease(name)
            else:
                yield event

    def relist(self, items: Sequence[Raw], now_s: float, disconnected_since_s: float | None) -> Iterator[RunEvent]:
        """Apply a new list: a known node that is missing was removed while the watch was interrupted."""
        names = {each["metadata"]["name"] for each in items}
        for name in [known for known in self._nodes if known not in names]:
            yield from self.update(DELETED, {"metadata": {"name": name}}, now_s, disconnected_since_s)
        for each in items:
            yield from self.update(MODIFIED, each, now_s)

    def lease_renewed(self, name: str, renewed_s: float | None) -> Iterator[RunEvent]:
        """Report the loss of a node with the time for which it was silent before.

        The API declares a node lost long after it has failed, so its replicas may have failed since the last renewal.

        Args:
            name: Name of the node.
            renewed_s: When it last renewed its lease (Unix, s, by the API's clock); None where that is not known.
        """
        for pending in [each for each in self._pending if each[0] == name]:
            self._pending.remove(pending)
            event = pending[1]
            silent = {} if renewed_s is None else {"silent_s": max(event.unix_s - renewed_s, 0.0)}
            yield replace(event, data={**(event.data or {}), **silent})

    def flush(self, now_s: float, *, final: bool = False) -> Iterator[RunEvent]:
        """Report lost nodes whose lease could not be read in time; all of them where `final`."""
        for name in [name for name, _, at_s in self._pending if final or now_s > at_s + _LEASE_TIMEOUT_S]:
            yield from self.lease_renewed(name, None)

    def conditions(self, names: Set[str], now_s: float) -> Iterator[RunEvent]:
        """Report the conditions of nodes that have not been reported as they are.

        Args:
            names: The nodes with replicas on them.
            now_s: Time of observation (Unix, s).
        """
        for name in sorted(names & self._raw.keys()):
            known = self._conditions.setdefault(name, NodeConditions())
            yield from known.update(self._raw[name], self._pods.on_node(name, now_s), now_s)

    def states(self, names: Set[str]) -> tuple[NodeState, ...]:
        """What the known ones of these nodes have."""
        return tuple(node_state(self._raw[name]) for name in sorted(names & self._raw.keys()))
