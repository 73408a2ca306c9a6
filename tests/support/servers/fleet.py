"""A fleet of replicas with servers and a clock that the test controls."""

from typing import Any

from loadgen.dataset.events import Event
from loadgen.local.fleet import Fleet
from loadgen.local.lifecycle import pod_names


class FakeServer:
    """A server that runs until the test, or the fleet, ends it."""

    def __init__(self, number: int) -> None:
        self.http, self.grpc, self.metrics = (f"127.0.0.1:{number}{kind}" for kind in range(3))
        self.exit_code: int | None = None
        self.asked_to_end = False
        self.in_flight = 0
        self.port_taken = False
        self.shared_memory_full = False

    def poll(self) -> int | None:
        return self.exit_code

    def lost_port(self) -> bool:
        return self.port_taken

    def lacked_shared_memory(self) -> bool:
        return self.shared_memory_full

    def terminate(self) -> None:
        self.asked_to_end = True

    def unloading(self) -> bool:
        return self.asked_to_end and not self.in_flight

    def kill(self) -> None:
        self.exit_code = -9


class World:
    """A fleet, its servers in order of their start, and its events."""

    def __init__(self, *, startup_delay_s: float = 10.0, grace_s: float = 30.0) -> None:
        self.now_s = 100.0
        self.servers: list[FakeServer] = []
        self.events: list[tuple[str, str | None, float]] = []
        self.data: list[dict[str, Any]] = []
        self.fleet = Fleet(
            names=pod_names("run"),
            launch=self._launch,
            emit=self._emit,
            startup_delay_s=startup_delay_s,
            grace_s=grace_s,
        )

    def _launch(self, name: str) -> FakeServer:
        self.servers.append(FakeServer(5000 + len(self.servers)))
        return self.servers[-1]

    def _emit(self, event: Event) -> None:
        self.events.append((event.kind, event.pod, event.t_s))
        self.data.append(dict(event.data or {}))

    def step(
        self, after_s: float = 0.0, *, healthy: bool = False, routed: list[str] | None = None, queued: bool = False
    ) -> None:
        self.now_s += after_s
        ready = {name for name, _ in self.fleet.starting()} if healthy else set()
        routes = [route.http for route in self.fleet.routes()] if routed is None else routed
        empty_queues = [] if queued else [name for name, _ in self.fleet.draining()]
        self.fleet.step(now_s=self.now_s, healthy=ready, routed=routes, empty_queues=empty_queues)

    def scale(self, desired: int, *, warm: bool = False) -> None:
        self.fleet.scale(desired, now_s=self.now_s, warm=warm)

    def phases(self) -> list[str]:
        return [each.phase for each in self.fleet.states()]

    def kinds(self) -> list[str]:
        return [kind.removeprefix("replica_") for kind, _, _ in self.events]

    def ready(self, count: int) -> None:
        self.scale(count, warm=True)
        self.step()
        self.step(healthy=True)
        assert self.phases() == ["ready"] * count
        self.events.clear()
        self.data.clear()
