"""Whether the nodes with replicas on them had resources to spare, and who used them."""

from dataclasses import dataclass
from typing import Literal

NodeVerdict = Literal["no pressure", "neighbour", "replicas", "pressure", "not known"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePressure:
    """A time of the load in which a node was short of a resource while replicas were on it.

    Attributes:
        resource: `MemoryPressure`, `DiskPressure` or `PIDPressure`, conditions of the node, or `CPU`: it was in use.
        start_s: When it began.
        end_s: When it ended, or when the load ended.
        message: What the node said of it; None where it said nothing.
    """

    resource: str
    start_s: float
    end_s: float
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeUnderLoad:
    """One node with replicas on it during the load; a value is None where it was not recorded.

    Attributes:
        name: Its name.
        verdict: As that of all nodes.
        replicas: The replicas that were on it, in the order of their names.
        pressure: Times in which it was short of a resource.
        cpu_peak_ratio: The most CPU in use / its CPUs.
        cpu_peak_s: When that was read.
        cpu_replicas_ratio: CPU that its replicas used at that time / its CPUs.
        memory_peak_ratio: The most memory in use (working set) / its memory.
        memory_peak_s: When that was read.
        memory_replicas_ratio: Memory that its replicas used at that time / its memory.
    """

    name: str
    verdict: NodeVerdict
    replicas: tuple[str, ...]
    pressure: tuple[NodePressure, ...] = ()
    cpu_peak_ratio: float | None = None
    cpu_peak_s: float | None = None
    cpu_replicas_ratio: float | None = None
    memory_peak_ratio: float | None = None
    memory_peak_s: float | None = None
    memory_replicas_ratio: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    """The nodes of a cluster with replicas on them.

    Attributes:
        verdict: `no pressure`; `neighbour`: a node was short of a resource of which others than the replicas used the
            larger part; `replicas`: the replicas did; `pressure`: who did is not known; or `not known`: not recorded.
        reason: Why, one sentence.
        nodes: Each node, those with pressure first.
    """

    verdict: NodeVerdict
    reason: str
    nodes: tuple[NodeUnderLoad, ...] = ()
