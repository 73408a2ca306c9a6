"""The state of one replica, and the interface of its server process."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from loadgen.dataset.stack import ReplicaPhase, ReplicaState

# Within this time, a request that the gateway routed just before it removed a replica reaches the server, and a request
# that just left the server's queue passes its first model.
IDLE_S = 0.3
# A gateway that does not answer removes no route; the replica waits no longer than this.
ROUTE_REMOVAL_TIMEOUT_S = 5.0


class Server(Protocol):
    """A replica's server process; its addresses are `host:port`."""

    http: str
    grpc: str
    metrics: str

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs; an ended server leaves nothing on the machine."""

    def lost_port(self) -> bool:
        """Return whether it ended because another program had taken one of its ports."""

    def lacked_shared_memory(self) -> bool:
        """Return whether it ended because shared memory was full."""

    def terminate(self) -> None:
        """Send SIGTERM, so that it finishes the requests in flight and exits."""

    def unloading(self) -> bool:
        """Return whether a terminated server has begun to unload its models."""

    def kill(self) -> None:
        """Kill it at once."""


@dataclass(slots=True, kw_only=True)
class Replica:
    """One replica of the fleet; times are run time in seconds.

    Attributes:
        name: Name of the replica, like a pod's.
        warm: Whether it skips the emulated image pull and engine load.
        created_s: When it was created.
        phase: Its current phase.
        since_s: When it entered that phase.
        server: Its server process, if there is one.
        crashes: Crashes in a row.
        lost_ports: Starts in a row that ended because another program had taken a port.
        retry_s: When a crashed replica is started again.
        deadline_s: End of the grace period of a draining replica.
        idle_since_s: When a draining replica was first without a route and without a queue.
        terminated: Whether its server got SIGTERM.
        killed: Whether its server was killed at the end of the grace period.
    """

    name: str
    warm: bool
    created_s: float
    phase: ReplicaPhase
    since_s: float
    server: Server | None = None
    crashes: int = 0
    lost_ports: int = 0
    retry_s: float = 0.0
    deadline_s: float = 0.0
    idle_since_s: float | None = None
    terminated: bool = False
    killed: bool = False

    @property
    def terminate_by_s(self) -> float:
        """When a draining replica is terminated even with a queue: half of the grace period is left for execution."""
        return (self.since_s + self.deadline_s) / 2

    def update_idle(self, now_s: float, routed: Collection[str] | None, empty_queues: Collection[str]) -> bool:
        """Return whether a draining replica has been without a route and without a queue for `IDLE_S`.

        Args:
            now_s: Run time.
            routed: HTTP addresses that the gateway sends requests to; None if the gateway does not answer.
            empty_queues: Names of the replicas whose server has an empty queue.
        """
        waited = now_s >= self.since_s + ROUTE_REMOVAL_TIMEOUT_S
        removed = waited if routed is None else self.server is not None and self.server.http not in routed
        if not (removed and self.name in empty_queues):
            self.idle_since_s = None
        elif self.idle_since_s is None:
            self.idle_since_s = now_s
        return self.idle_since_s is not None and now_s >= self.idle_since_s + IDLE_S

    def state(self) -> ReplicaState:
        """Return the replica's entry in `state.json`."""
        return ReplicaState(
            name=self.name,
            phase=self.phase,
            http=self.server.http if self.server else None,
            grpc=self.server.grpc if self.server else None,
            metrics=self.server.metrics if self.server else None,
        )
