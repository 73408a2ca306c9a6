"""What the fleet remembers of one replica, and the server process that it asks about it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from loadgen.dataset.stack import ReplicaPhase, ReplicaState
from loadgen.local.lifecycle import Candidate

# A request that the gateway had routed just before it dropped a replica reaches the server, and one that just left
# the server's queue gets past its first model, within this time.
SETTLE_S = 0.3
# A gateway that does not answer drops nothing; the replica does not wait for it longer than this.
DROP_WITHIN_S = 5.0


class Server(Protocol):
    """A replica's server process; its addresses are `host:port`."""

    http: str
    grpc: str
    metrics: str

    def poll(self) -> int | None:
        """Exit code, or None while it runs; nothing of an ended server is left on the machine."""

    def terminate(self) -> None:
        """Ask it to finish what it executes and end."""

    def unloading(self) -> bool:
        """Whether a terminated server has come to unload its models."""

    def kill(self) -> None:
        """End it at once."""


@dataclass(slots=True, kw_only=True)
class Replica:
    """One replica of the fleet; times are run time in seconds.

    Attributes:
        name: As a pod's.
        warm: Whether it skips the emulated image pull and engine load.
        created_s: When it was created.
        phase: Where it stands.
        since_s: Since when it stands there.
        server: Its server process, if there is one.
        crashes: Crashes in a row.
        retry_s: When a crashed one is started again.
        deadline_s: End of the grace period of a draining one.
        calm_s: Since when a draining one is out of the gateway and without a queue.
        terminated: Whether its server was told to end.
        killed: Whether its grace period ended before it did.
    """

    name: str
    warm: bool
    created_s: float
    phase: ReplicaPhase
    since_s: float
    server: Server | None = None
    crashes: int = 0
    retry_s: float = 0.0
    deadline_s: float = 0.0
    calm_s: float | None = None
    terminated: bool = False
    killed: bool = False

    @property
    def end_by_s(self) -> float:
        """When a draining one is told to end with its queue: what it executes needs half of the grace period."""
        return (self.since_s + self.deadline_s) / 2

    def calm(self, now_s: float, routed: Collection[str] | None, queueless: Collection[str]) -> bool:
        """Whether a draining one has been out of the gateway and without a queue for a moment now.

        Args:
            now_s: Run time.
            routed: HTTP addresses that the gateway sends requests to; None when it cannot be asked.
            queueless: Names of the replicas in whose server no request waits.
        """
        waited = now_s >= self.since_s + DROP_WITHIN_S
        dropped = waited if routed is None else self.server is not None and self.server.http not in routed
        if not (dropped and self.name in queueless):
            self.calm_s = None
        elif self.calm_s is None:
            self.calm_s = now_s
        return self.calm_s is not None and now_s >= self.calm_s + SETTLE_S

    def candidate(self) -> Candidate:
        """What the choice of a victim looks at."""
        return Candidate(
            name=self.name,
            phase=self.phase,
            phase_since_s=self.since_s,
            crashes=self.crashes,
            created_s=self.created_s,
        )

    def state(self) -> ReplicaState:
        """What `state.json` says about it."""
        return ReplicaState(
            name=self.name,
            phase=self.phase,
            http=self.server.http if self.server else None,
            grpc=self.server.grpc if self.server else None,
            metrics=self.server.metrics if self.server else None,
        )
