"""Derives the events of a lost node and of its return from successive states of the node."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from loadgen.dataset.names import EventKind
from loadgen.kube.objects.events import RunEvent
from loadgen.kube.objects.raw import Raw, parse_time


@dataclass(slots=True)
class NodeReadiness:
    """Tracks whether one node is ready.

    Attributes:
        ready: Whether the node was ready when it was last observed.
        lost: Whether `node_lost` was emitted and the node has not come back since.
    """

    ready: bool = False
    lost: bool = False

    def update(self, node: Raw, replicas_at: Callable[[float], Sequence[str]], now_s: float) -> Iterator[RunEvent]:
        """Yield an event when a node with replicas stops being ready, or is ready again.

        A node that was never ready cannot be lost, and the loss of a node without replicas does not affect the
        workload.

        Args:
            node: The node.
            replicas_at: Returns the replicas that were on the node at a time (seconds since the epoch).
            now_s: Time of observation, in seconds since the epoch.
        """
        condition = next(
            (each for each in node.get("status", {}).get("conditions") or () if each["type"] == "Ready"),
            {"status": None},
        )
        at_s = parse_time(condition.get("lastTransitionTime")) or now_s
        if condition["status"] == "True":
            if self.lost:
                yield _event(EventKind.NODE_BACK, node, replicas_at(at_s), at_s, condition)
            self.ready, self.lost = True, False
        elif self.ready:
            self.ready = False
            if replicas := replicas_at(at_s):
                self.lost = True
                yield _event(EventKind.NODE_LOST, node, replicas, at_s, condition)

    def remove(self, node: Raw, replicas: Sequence[str], now_s: float) -> Iterator[RunEvent]:
        """Yield `node_lost` when a node with replicas was removed; without replicas the cluster only scaled down."""
        if replicas and self.ready:
            condition = {"reason": "NodeDeleted", "message": "the node was removed from the cluster"}
            yield _event(EventKind.NODE_LOST, node, replicas, now_s, condition)


def _event(kind: str, node: Raw, replicas: Sequence[str], at_s: float, condition: Raw) -> RunEvent:
    return RunEvent(
        unix_s=at_s,
        kind=kind,
        reason=condition.get("reason"),
        message=condition.get("message"),
        data={"node": node["metadata"]["name"], "pods": sorted(replicas)},
    )
