"""Defines what a simulation takes as given: the load, the replicas and the path of the metric to the HPA."""

from dataclasses import dataclass
from typing import Literal

from loadgen.analyze.cost.load import Load
from loadgen.analyze.observed import Floats

__all__ = ["Floats", "Load", "MetricPath", "Replicas", "Routing"]

Routing = Literal["round_robin", "least_requests"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicas:
    """The replicas.

    Attributes:
        slots: Requests that one replica computes at the same time; others wait in its queue, first come, first served.
        create_s: From a change of the desired replicas to the creation of the pods, or to the end of routing to them.
        pending_s: From the creation of a pod until its containers run: scheduling and image pull.
        load_s: From then until it is ready.
        routing: How the gateway chooses a ready replica.
        timeout_s: A request that waits for longer is given up; None if requests wait for ever.
    """

    slots: int
    create_s: float = 0.0
    pending_s: float = 0.0
    load_s: float = 0.0
    routing: Routing = "round_robin"
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        if self.slots < 1:
            raise ValueError(f"a replica needs at least one slot, not {self.slots}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricPath:
    """How the queue-to-compute ratio gets from the counters of a replica to the HPA.

    Attributes:
        scrape_s: Scrape interval of Prometheus; the recording rule is evaluated right after each scrape.
        scrape_offset_s: Time of any one scrape.
        window_s: Window of the recording rule.
        sync_s: Sync period of the HPA.
        sync_offset_s: Time of any one sync.
    """

    scrape_s: float
    scrape_offset_s: float = 0.0
    window_s: float
    sync_s: float
    sync_offset_s: float = 0.0

    def __post_init__(self) -> None:
        for name in ("scrape_s", "window_s", "sync_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be more than 0, not {getattr(self, name)}")
