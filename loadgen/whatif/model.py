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
        loads_s: From then until it is ready, by the number of replicas that load when it begins to, itself included,
            from one on; the last one is that of more.
        stop_s: From the end of routing to a pod until it is gone, at least: its termination.
        slowdown_ratio: By how much each further request in the batch slows down all of it: with b of them, a service
            takes 1 + slowdown_ratio · (b − 1) times as long as alone.
        routing: How the gateway chooses a ready replica.
        timeout_s: A request that waits for longer is given up; None if requests wait for ever.
    """

    slots: int
    create_s: float = 0.0
    pending_s: float = 0.0
    loads_s: tuple[float, ...] = (0.0,)
    stop_s: float = 0.0
    slowdown_ratio: float = 0.0
    routing: Routing = "round_robin"
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        if self.slots < 1:
            raise ValueError(f"a replica needs at least one slot, not {self.slots}")
        if not self.loads_s:
            raise ValueError("a replica needs a time to load")
        if not self.slowdown_ratio >= 0:
            raise ValueError(f"requests in a batch do not speed one another up: {self.slowdown_ratio}")

    @property
    def start_up_s(self) -> float:
        """From the creation of a pod until it is ready, where as many load at the same time as in `loads_s`."""
        return self.pending_s + self.loads_s[-1]

    @property
    def pace(self) -> tuple[float, ...]:
        """How many times as long as alone a service takes, by the number of requests in the batch, from 0 on."""
        return (1.0, *(1.0 + self.slowdown_ratio * others for others in range(self.slots)))


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricPath:
    """How the metrics get from the counters of a replica to the HPA.

    Attributes:
        scrape_s: Scrape interval of Prometheus, and interval of its recording rules.
        scrape_offset_s: Time of any one scrape.
        rule_after_s: From a scrape to the evaluation of the rules that has its sample, less than an interval.
        window_s: Window of the recording rule.
        sync_s: Sync period of the HPA.
        sync_offset_s: Time of any one sync.
    """

    scrape_s: float
    scrape_offset_s: float = 0.0
    rule_after_s: float = 0.0
    window_s: float
    sync_s: float
    sync_offset_s: float = 0.0

    def __post_init__(self) -> None:
        for name in ("scrape_s", "window_s", "sync_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be more than 0, not {getattr(self, name)}")
