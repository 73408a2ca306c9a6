"""Moves the replicas of the local stack through the phases of a pod; `Fleet.step` runs about ten times a second.

    created ─▶ scheduled ─▶ pulling ─▶ started ─▶ ready ─▶ draining ─▶ gone
                           (emulated)     ▲ │       │
                                          │ ▼       ▼
                                         crashed: back-off

The server process is real, and so are its model loading, readiness, drain and crashes. Image pull and engine load are
emulated by one delay before the server starts. The first replicas of a stack skip that delay: they represent a
deployment that is already warm when the test begins. A server that restarts after a crash skips it as well, because its
image and engine are on the node.

A replica drains as with a careful preStop hook. First the gateway removes its route. Then the replica waits until its
queue is empty, because after SIGTERM Triton refuses the requests that a waiting BLS request sends to other models. Then
it gets SIGTERM, on which Triton finishes the requests in execution. At the end of the grace period it is killed.
"""

from collections.abc import Callable, Collection, Iterator

from loadgen.dataset.events import Emit, Event
from loadgen.dataset.names import EventKind
from loadgen.dataset.stack import ReplicaPhase, ReplicaState
from loadgen.local.gateway import Route
from loadgen.local.lifecycle import BACKOFF_RESET_S, backoff_s, replicas_to_delete
from loadgen.local.replica import Replica, Server
from loadgen.local.resources import shared_memory_error

MAX_LOST_PORTS = 5

_KIND_OF_PHASE: dict[ReplicaPhase, EventKind] = {
    "scheduled": EventKind.REPLICA_SCHEDULED,
    "pulling": EventKind.REPLICA_PULLING,
    "started": EventKind.REPLICA_STARTED,
    "ready": EventKind.REPLICA_READY,
    "draining": EventKind.REPLICA_DRAINING,
}


class Fleet:
    """All replicas, and their desired count.

    The caller gives all times, as run time in seconds; no method waits or reads a clock.

    Attributes:
        desired: Desired number of replicas.
    """

    def __init__(
        self,
        *,
        names: Iterator[str],
        launch: Callable[[str], Server],
        emit: Emit,
        startup_delay_s: float,
        grace_s: float,
    ) -> None:
        self.desired = 0
        self._names = names
        self._launch = launch
        self._emit = emit
        self._startup_delay_s = startup_delay_s
        self._grace_s = grace_s
        self._replicas: list[Replica] = []
        self._shutting_down = False

    @property
    def max_crashes(self) -> int:
        """Crashes in a row of the replica that has the most."""
        return max((each.crashes for each in self._replicas), default=0)

    def scale(self, desired: int, *, now_s: float, warm: bool = False) -> None:
        """Create or delete replicas until `desired` are left; `warm` ones skip the emulated delay."""
        self.desired = desired
        staying = [each for each in self._replicas if each.phase != "draining"]
        for _ in range(desired - len(staying)):
            replica = Replica(name=next(self._names), warm=warm, created_s=now_s, phase="created", since_s=now_s)
            self._replicas.append(replica)
            self._emit(Event(now_s, EventKind.REPLICA_CREATED, replica.name, "SuccessfulCreate"))
        to_delete = replicas_to_delete(staying, max(0, len(staying) - desired))
        for replica in staying:
            if replica.name in to_delete:
                self._delete(replica, now_s, self._grace_s)

    def shut_down(self, *, now_s: float, grace_s: float) -> None:
        """Delete all replicas within `grace_s`, including those that already drain."""
        self.desired = 0
        self._shutting_down = True
        for replica in list(self._replicas):
            if replica.phase == "draining":
                replica.deadline_s = min(replica.deadline_s, now_s + grace_s)
            else:
                self._delete(replica, now_s, grace_s)

    def step(
        self, *, now_s: float, healthy: Collection[str], routed: Collection[str] | None, empty_queues: Collection[str]
    ) -> None:
        """Move every replica to the next phase that it can enter now.

        Args:
            now_s: Run time.
            healthy: Names of the replicas whose server is ready.
            routed: HTTP addresses that the gateway sends requests to; None if the gateway does not answer.
            empty_queues: Names of the `draining` replicas whose server has an empty queue.

        Raises:
            StackError: a server ended because shared memory was full.
        """
        for replica in list(self._replicas):
            exit_code = replica.server.poll() if replica.server else None
            if replica.phase == "draining":
                self._drain(replica, now_s, exit_code, routed, empty_queues)
            elif exit_code is not None:
                if replica.server is not None and replica.server.lacked_shared_memory():
                    raise shared_memory_error()  # a fault of this machine, not of the server
                if not self._starts_on_other_ports(replica):
                    self._crash(replica, now_s, exit_code)
            else:
                self._advance(replica, now_s, healthy)

    def kill(self) -> None:
        """Kill every server; the last step of a shutdown."""
        for replica in self._replicas:
            if replica.server:
                replica.server.kill()

    def starting(self) -> list[tuple[str, str]]:
        """Return name and HTTP address of the replicas whose server runs but is not ready yet."""
        return [(each.name, each.server.http) for each in self._replicas if each.phase == "started" and each.server]

    def draining(self) -> list[tuple[str, str]]:
        """Return name and metrics address of the draining replicas whose server is not terminated yet."""
        return [
            (each.name, each.server.metrics)
            for each in self._replicas
            if each.phase == "draining" and not each.terminated and each.server
        ]

    def routes(self) -> list[Route]:
        """Return the routes to the ready replicas."""
        return [
            Route(http=each.server.http, grpc=each.server.grpc)
            for each in self._replicas
            if each.phase == "ready" and each.server
        ]

    def metrics(self) -> dict[str, str]:
        """Return the metrics address of every replica with a server process, by name."""
        return {each.name: each.server.metrics for each in self._replicas if each.server}

    def states(self) -> tuple[ReplicaState, ...]:
        """Return the state of all replicas, oldest first."""
        return tuple(each.state() for each in self._replicas)

    def _advance(self, replica: Replica, now_s: float, healthy: Collection[str]) -> None:
        if replica.phase == "created":
            self._enter(replica, "scheduled", now_s, "Scheduled")
        if replica.phase == "scheduled":
            if replica.warm or not self._startup_delay_s:
                self._start(replica, now_s)
            else:
                message = f"emulated image pull and engine load of {self._startup_delay_s:g} s"
                self._enter(replica, "pulling", now_s, "Pulling", message)
        elif replica.phase == "pulling":
            if now_s >= replica.since_s + self._startup_delay_s:
                self._start(replica, now_s)
        elif replica.phase == "crashed":
            if now_s >= replica.retry_s:
                self._start(replica, now_s)
        elif replica.phase == "started" and replica.name in healthy:
            self._enter(replica, "ready", now_s, "Ready")

    def _start(self, replica: Replica, now_s: float) -> None:
        replica.server = self._launch(replica.name)
        self._enter(replica, "started", now_s, "Started")

    def _starts_on_other_ports(self, replica: Replica) -> bool:
        """Start a server again that did not get its ports; False if it ended for another reason, or too often."""
        assert replica.server is not None
        if replica.phase != "started" or replica.lost_ports == MAX_LOST_PORTS or not replica.server.lost_port():
            return False
        replica.lost_ports += 1
        replica.server = self._launch(replica.name)
        return True

    def _crash(self, replica: Replica, now_s: float, exit_code: int) -> None:
        # As in kubelet, a server that ran long enough since its last start or readiness has its crash count reset.
        if now_s - replica.since_s >= BACKOFF_RESET_S:
            replica.crashes = 0
        replica.crashes += 1
        replica.lost_ports = 0
        replica.server = None
        wait_s = backoff_s(replica.crashes)
        replica.retry_s = now_s + wait_s
        replica.phase, replica.since_s = "crashed", now_s
        message = f"the server ended with exit code {exit_code}; it restarts in {wait_s:g} s"
        data = {"exit_code": exit_code, "crashes": replica.crashes, "backoff_s": wait_s}
        self._emit(Event(now_s, EventKind.REPLICA_CRASHED, replica.name, "BackOff", message, data))

    def _delete(self, replica: Replica, now_s: float, grace_s: float) -> None:
        was_ready = replica.phase == "ready"
        if replica.server is None:
            self._remove(replica, now_s, "the replica had no server process")
            return
        self._enter(replica, "draining", now_s, "Killing", f"grace period {grace_s:g} s")
        replica.deadline_s = now_s + grace_s
        if not was_ready:
            # The gateway never had a route to it.
            self._terminate(replica)

    def _drain(
        self,
        replica: Replica,
        now_s: float,
        exit_code: int | None,
        routed: Collection[str] | None,
        empty_queues: Collection[str],
    ) -> None:
        server = replica.server
        assert server is not None
        if exit_code is not None:
            self._remove(replica, now_s, None)
            return
        if now_s >= replica.deadline_s and not replica.killed:
            replica.killed = True
            server.kill()
            message = "the server did not end within its grace period; its requests in flight are cut off"
            self._emit(Event(now_s, EventKind.REPLICA_KILLED, replica.name, "ExceededGracePeriod", message))
        elif not replica.terminated:
            if replica.update_idle(now_s, routed, empty_queues) or now_s >= replica.terminate_by_s:
                self._terminate(replica)
        elif self._shutting_down and not replica.killed and server.unloading():
            # Only unloading its models is left, which takes seconds and serves no request.
            server.kill()

    def _terminate(self, replica: Replica) -> None:
        assert replica.server is not None
        replica.terminated = True
        replica.server.terminate()

    def _remove(self, replica: Replica, now_s: float, message: str | None) -> None:
        self._replicas.remove(replica)
        self._emit(Event(now_s, EventKind.REPLICA_STOPPED, replica.name, "Deleted", message))

    def _enter(
        self, replica: Replica, phase: ReplicaPhase, now_s: float, reason: str, message: str | None = None
    ) -> None:
        replica.phase, replica.since_s = phase, now_s
        self._emit(Event(now_s, _KIND_OF_PHASE[phase], replica.name, reason, message))
