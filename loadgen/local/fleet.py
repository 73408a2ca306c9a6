"""The replicas: each goes through the phases of a pod, driven by `Fleet.step` about ten times a second.

    created ─▶ scheduled ─▶ pulling ─▶ started ─▶ ready ─▶ draining ─▶ gone
                           (emulated)     ▲ │       │
                                          │ ▼       ▼
                                         crashed: back-off

Real are the server process, its loading of the models, its own readiness, its drain and its crashes. Emulated are the
image pull and the engine load, as one delay before the server starts. The replicas that the stack starts with skip
that delay: they stand for a deployment that is already warm when the test begins. So does a server that starts again
after a crash, because its image and engine are on the node.

A replica drains in the order that a careful preStop hook gives: the gateway drops it; its queue runs empty, because
Triton refuses after SIGTERM what a waiting BLS request asks of other models; then SIGTERM, on which Triton finishes
what it executes. Whatever is left at the end of the grace period is killed.
"""

from collections.abc import Callable, Collection, Iterator

from loadgen.dataset.names import EventKind
from loadgen.dataset.stack import Emit, ReplicaPhase, ReplicaState
from loadgen.local.gateway import Route
from loadgen.local.lifecycle import BACKOFF_RESET_S, backoff_s, victims
from loadgen.local.pod import Replica, Server

_KIND_OF_PHASE: dict[ReplicaPhase, EventKind] = {
    "scheduled": EventKind.REPLICA_SCHEDULED,
    "pulling": EventKind.REPLICA_PULLING,
    "started": EventKind.REPLICA_STARTED,
    "ready": EventKind.REPLICA_READY,
    "draining": EventKind.REPLICA_DRAINING,
}


class Fleet:
    """All replicas, and the count that is asked for.

    Times are run time in seconds, given by the caller; nothing here waits or reads a clock.

    Attributes:
        desired: Replicas asked for.
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
        self._in_haste = False

    @property
    def most_crashes(self) -> int:
        """Crashes in a row of the replica that has most of them."""
        return max((each.crashes for each in self._replicas), default=0)

    def scale(self, desired: int, *, now_s: float, warm: bool = False) -> None:
        """Create replicas, or choose the ones that go, so that `desired` stay; `warm` ones skip the emulated delay."""
        self.desired = desired
        staying = [each for each in self._replicas if each.phase != "draining"]
        for _ in range(desired - len(staying)):
            replica = Replica(name=next(self._names), warm=warm, created_s=now_s, phase="created", since_s=now_s)
            self._replicas.append(replica)
            self._emit(EventKind.REPLICA_CREATED, t_s=now_s, pod=replica.name, reason="SuccessfulCreate")
        candidates = [each.candidate() for each in staying]
        going = victims(candidates, len(staying) - desired) if len(staying) > desired else []
        for replica in staying:
            if replica.name in going:
                self._delete(replica, now_s, self._grace_s)

    def shut_down(self, *, now_s: float, grace_s: float) -> None:
        """Make all replicas go, those that drain already included, within `grace_s`."""
        self.desired = 0
        self._in_haste = True
        for replica in list(self._replicas):
            if replica.phase == "draining":
                replica.deadline_s = min(replica.deadline_s, now_s + grace_s)
            else:
                self._delete(replica, now_s, grace_s)

    def step(
        self, *, now_s: float, healthy: Collection[str], routed: Collection[str] | None, queueless: Collection[str]
    ) -> None:
        """Take every replica as far as it can go at this moment.

        Args:
            now_s: Run time.
            healthy: Names of the replicas whose server says it is ready.
            routed: HTTP addresses that the gateway sends requests to; None when it cannot be asked.
            queueless: Names of the `leaving` replicas in whose server no request waits.
        """
        for replica in list(self._replicas):
            exit_code = replica.server.poll() if replica.server else None
            if replica.phase == "draining":
                self._drain(replica, now_s, exit_code, routed, queueless)
            elif exit_code is not None:
                self._crash(replica, now_s, exit_code)
            else:
                self._rise(replica, now_s, healthy)

    def kill(self) -> None:
        """End every server at once; the last resort on the way out."""
        for replica in self._replicas:
            if replica.server:
                replica.server.kill()

    def loading(self) -> list[tuple[str, str]]:
        """Name and HTTP address of the replicas whose readiness is to be asked for."""
        return [(each.name, each.server.http) for each in self._replicas if each.phase == "started" and each.server]

    def leaving(self) -> list[tuple[str, str]]:
        """Name and metrics address of the replicas that drain and are not yet told to end."""
        return [
            (each.name, each.server.metrics)
            for each in self._replicas
            if each.phase == "draining" and not each.terminated and each.server
        ]

    def routes(self) -> list[Route]:
        """Where requests are to go: the ready replicas."""
        return [
            Route(http=each.server.http, grpc=each.server.grpc)
            for each in self._replicas
            if each.phase == "ready" and each.server
        ]

    def metrics(self) -> dict[str, str]:
        """Metrics address of every replica with a server process, by name."""
        return {each.name: each.server.metrics for each in self._replicas if each.server}

    def states(self) -> tuple[ReplicaState, ...]:
        """All replicas, oldest first."""
        return tuple(each.state() for each in self._replicas)

    def _rise(self, replica: Replica, now_s: float, healthy: Collection[str]) -> None:
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

    def _crash(self, replica: Replica, now_s: float, exit_code: int) -> None:
        # how long it ran, from its last start or from when it was ready: a good while clears its record
        if now_s - replica.since_s >= BACKOFF_RESET_S:
            replica.crashes = 0
        replica.crashes += 1
        replica.server = None
        wait_s = backoff_s(replica.crashes)
        replica.retry_s = now_s + wait_s
        replica.phase, replica.since_s = "crashed", now_s
        message = f"the server ended with {exit_code}; it is started again in {wait_s:g} s"
        self._emit(
            EventKind.REPLICA_CRASHED,
            t_s=now_s,
            pod=replica.name,
            reason="BackOff",
            message=message,
            data={"exit_code": exit_code, "crashes": replica.crashes, "backoff_s": wait_s},
        )

    def _delete(self, replica: Replica, now_s: float, grace_s: float) -> None:
        was_ready = replica.phase == "ready"
        if replica.server is None:
            self._remove(replica, now_s, "it had no server process")
            return
        self._enter(replica, "draining", now_s, "Killing", f"grace period {grace_s:g} s")
        replica.deadline_s = now_s + grace_s
        if not was_ready:
            # the gateway never had it
            self._terminate(replica)

    def _drain(
        self,
        replica: Replica,
        now_s: float,
        exit_code: int | None,
        routed: Collection[str] | None,
        queueless: Collection[str],
    ) -> None:
        server = replica.server
        assert server is not None
        if exit_code is not None:
            self._remove(replica, now_s, None)
            return
        if now_s >= replica.deadline_s and not replica.killed:
            replica.killed = True
            server.kill()
            message = "it did not end within its grace period; its requests in flight are cut"
            self._emit(
                EventKind.REPLICA_KILLED, t_s=now_s, pod=replica.name, reason="ExceededGracePeriod", message=message
            )
        elif not replica.terminated:
            if replica.calm(now_s, routed, queueless) or now_s >= replica.end_by_s:
                self._terminate(replica)
        elif self._in_haste and not replica.killed and server.unloading():
            # what is left is the unloading of its models, seconds of work that nobody waits for
            server.kill()

    def _terminate(self, replica: Replica) -> None:
        assert replica.server is not None
        replica.terminated = True
        replica.server.terminate()

    def _remove(self, replica: Replica, now_s: float, message: str | None) -> None:
        self._replicas.remove(replica)
        self._emit(EventKind.REPLICA_STOPPED, t_s=now_s, pod=replica.name, reason="Deleted", message=message)

    def _enter(
        self, replica: Replica, phase: ReplicaPhase, now_s: float, reason: str, message: str | None = None
    ) -> None:
        replica.phase, replica.since_s = phase, now_s
        self._emit(_KIND_OF_PHASE[phase], t_s=now_s, pod=replica.name, reason=reason, message=message)
