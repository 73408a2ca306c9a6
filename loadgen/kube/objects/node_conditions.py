"""Derives events from the conditions of a node, such as MemoryPressure, and reads what the node has."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from loadgen.base.quantity import parse_quantity
from loadgen.dataset.names import EventKind
from loadgen.dataset.stack import NodeState
from loadgen.kube.objects.events import RunEvent
from loadgen.kube.objects.raw import Raw, parse_time


@dataclass(slots=True)
class NodeConditions:
    """The conditions of one node that were last recorded: status and time (Unix, s) by the type of the condition."""

    recorded: dict[str, tuple[str, float]] = field(default_factory=dict)

    def update(self, node: Raw, replicas: Sequence[str], now_s: float) -> Iterator[RunEvent]:
        """Yield an event for each condition whose status was not recorded before.

        A condition that is recorded for the first time has the time of observation, since it may hold for weeks. A
        change has the time that the node gives it, by its own clock, unless that is before the last one or after now.

        Args:
            node: The node.
            replicas: Replicas that are on it.
            now_s: Time of observation, in seconds since the epoch.
        """
        for condition in node.get("status", {}).get("conditions") or ():
            kind, status = condition["type"], condition["status"]
            before, before_s = self.recorded.get(kind, (None, now_s))
            if before == status:
                continue
            changed_s = parse_time(condition.get("lastTransitionTime")) or now_s
            at_s = min(max(changed_s, before_s), now_s)
            self.recorded[kind] = (status, at_s)
            yield RunEvent(
                unix_s=at_s,
                kind=EventKind.NODE_CONDITION,
                reason=condition.get("reason"),
                message=condition.get("message"),
                data={
                    "node": node["metadata"]["name"],
                    "condition": kind,
                    "status": status,
                    "pods": sorted(replicas),
                },
            )


def reduced(node: Raw) -> Raw:
    """Return the parts of a node that are read here: the whole object is large, and a cluster has many nodes."""
    status = {key: node.get("status", {}).get(key) for key in ("conditions", "capacity")}
    return {
        "metadata": {"name": node["metadata"]["name"]},
        "status": {key: value for key, value in status.items() if value is not None},
    }


def node_state(node: Raw) -> NodeState:
    """Return the CPUs and the memory of a node."""
    capacity = node.get("status", {}).get("capacity", {})
    return NodeState(
        name=node["metadata"]["name"],
        cpu_cores=_amount(capacity.get("cpu")),
        memory_bytes=_amount(capacity.get("memory")),
    )


def _amount(quantity: str | int | float | None) -> float | None:
    """The value of a quantity; None where it is missing, cannot be read or is not positive."""
    try:
        value = 0.0 if quantity is None else float(parse_quantity(quantity))
    except ValueError:
        return None
    return value if value > 0 else None
