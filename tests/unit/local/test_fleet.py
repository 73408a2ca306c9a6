"""Phases of the replicas, with a server and a clock that the test controls."""

from typing import Any

import pytest

from loadgen.base.errors import StackError
from loadgen.dataset.events import Event
from loadgen.local.fleet import MAX_LOST_PORTS, Fleet
from loadgen.local.lifecycle import pod_names
from loadgen.local.replica import IDLE_S, ROUTE_REMOVAL_TIMEOUT_S


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


def test_phases_of_a_new_replica() -> None:
    """A new replica waits for the emulated pull, then for its server, and gets requests once the server is ready."""
    world = World(startup_delay_s=10.0)
    world.scale(1)
    world.step()
    assert world.phases() == ["pulling"]
    world.step(9.9)
    assert (world.phases(), world.servers) == (["pulling"], [])
    world.step(0.1)
    assert world.phases() == ["started"]
    world.step(1.0)
    assert (world.phases(), world.fleet.routes()) == (["started"], [])
    world.step(0.5, healthy=True)
    assert world.phases() == ["ready"]
    assert [route.http for route in world.fleet.routes()] == [world.servers[0].http]
    assert [(kind, t_s) for kind, _, t_s in world.events] == [
        ("replica_created", 100.0),
        ("replica_scheduled", 100.0),
        ("replica_pulling", 100.0),
        ("replica_started", 110.0),
        ("replica_ready", 111.5),
    ]
    assert len({pod for _, pod, _ in world.events}) == 1


def test_warm_start() -> None:
    """The first replicas of a stack skip the emulated pull."""
    world = World(startup_delay_s=10.0)
    world.scale(2, warm=True)
    world.step()
    assert world.phases() == ["started", "started"]
    assert "pulling" not in world.kinds()


def test_scraped_from_the_start_of_the_server_to_its_end() -> None:
    """Prometheus scrapes a replica as long as it has a server, ready, draining or not."""
    world = World(startup_delay_s=1.0)
    world.scale(1)
    world.step()
    assert world.fleet.metrics() == {}
    world.step(1.0)
    name = world.fleet.states()[0].name
    assert world.fleet.metrics() == {name: world.servers[0].metrics}
    world.step(healthy=True)
    world.servers[0].in_flight = 1
    world.scale(0)
    world.step(1.0)
    world.step(1.0)
    assert world.fleet.metrics() == {name: world.servers[0].metrics}
    world.servers[0].exit_code = 0
    world.step()
    assert world.fleet.metrics() == {}


def test_terminated_after_the_gateway_removed_its_route() -> None:
    """A ready replica is terminated only without a route, and not killed while a stream runs."""
    world = World(grace_s=30.0)
    world.ready(1)
    server = world.servers[0]
    server.in_flight = 1
    world.scale(0)
    assert world.fleet.routes() == []
    world.step(0.1, routed=[server.http])
    world.step(1.0, routed=[server.http])
    assert not server.asked_to_end
    world.step(0.1, routed=[])
    assert not server.asked_to_end
    world.step(IDLE_S, routed=[])
    assert server.asked_to_end
    world.step(20.0)
    assert (world.phases(), server.exit_code) == (["draining"], None)
    server.exit_code = 0
    world.step(0.1)
    assert world.phases() == []
    assert world.kinds() == ["draining", "stopped"]


def test_gateway_that_does_not_answer_delays_a_drain_but_does_not_stop_it() -> None:
    """Without an answer from the gateway the replica is terminated after 5 s."""
    world = World()
    world.ready(1)
    server = world.servers[0]
    world.scale(0)

    def step(after_s: float) -> None:
        world.now_s += after_s
        empty_queues = [name for name, _ in world.fleet.draining()]
        world.fleet.step(now_s=world.now_s, healthy=(), routed=None, empty_queues=empty_queues)

    step(ROUTE_REMOVAL_TIMEOUT_S - 0.1)
    step(0.2)
    assert not server.asked_to_end
    step(IDLE_S)
    assert server.asked_to_end


def test_the_queue_is_empty_before_the_server_is_terminated() -> None:
    """Triton would refuse waiting requests, so the replica is terminated once its queue stays empty for a moment."""
    world = World(grace_s=30.0)
    world.ready(1)
    server = world.servers[0]
    world.scale(0)
    world.step(5.0, queued=True)
    world.step(0.1)
    world.step(0.1, queued=True)
    world.step(IDLE_S)
    assert not server.asked_to_end
    world.step(IDLE_S)
    assert server.asked_to_end


def test_a_queue_that_stays_full_leaves_time_for_execution() -> None:
    """After half of the grace period the server is terminated, even with a queue."""
    world = World(grace_s=30.0)
    world.ready(1)
    world.scale(0)
    world.step(14.9, queued=True)
    assert not world.servers[0].asked_to_end
    world.step(0.2, queued=True)
    assert world.servers[0].asked_to_end


def test_killed_at_the_end_of_its_grace_period() -> None:
    """A replica that still has a stream then is killed, which is an event."""
    world = World(grace_s=5.0)
    world.ready(1)
    world.servers[0].in_flight = 1
    world.scale(0)
    world.step(0.1)
    world.step(4.8)
    assert world.servers[0].exit_code is None
    world.step(0.2)
    assert world.servers[0].exit_code == -9
    world.step(0.1)
    assert world.kinds() == ["draining", "killed", "stopped"]


def test_a_replica_without_a_server_is_removed_at_once() -> None:
    """Scaling down while a replica pulls needs no drain."""
    world = World()
    world.ready(1)
    world.scale(2)
    world.step()
    assert world.phases() == ["ready", "pulling"]
    world.scale(1)
    assert world.phases() == ["ready"]
    assert world.kinds() == ["created", "scheduled", "pulling", "stopped"]


def test_a_replica_that_was_never_ready_does_not_wait_for_the_gateway() -> None:
    """A server that still loads is terminated at once."""
    world = World(startup_delay_s=0.0)
    world.scale(1)
    world.step()
    world.scale(0)
    assert world.servers[0].asked_to_end


def test_scaling_up_while_one_drains_makes_a_new_one() -> None:
    """A draining replica does not count and does not become ready again."""
    world = World(startup_delay_s=0.0)
    world.ready(1)
    world.servers[0].in_flight = 1
    world.scale(0)
    world.scale(1)
    world.step()
    assert world.phases() == ["draining", "started"]


def test_crash_is_restarted_with_doubling_backoff() -> None:
    """A crashed server restarts after 1 s, 2 s, 4 s, without the emulated pull; each crash is an event."""
    world = World(startup_delay_s=10.0)
    world.ready(1)
    for crashes, wait_s in ((1, 1.0), (2, 2.0), (3, 4.0)):
        world.servers[-1].exit_code = -9
        world.step(0.1)
        assert (world.phases(), world.fleet.routes()) == (["crashed"], [])
        assert world.fleet.states()[0].http is None
        assert world.data[-1] == {"exit_code": -9, "crashes": crashes, "backoff_s": wait_s}
        world.step(wait_s - 0.1)
        assert world.phases() == ["crashed"]
        world.step(0.1)
        assert world.phases() == ["started"]
        world.step(0.1, healthy=True)
    assert len(world.servers) == 4
    assert len({each.http for each in world.servers}) == 4
    assert world.fleet.max_crashes == 3
    assert world.kinds() == ["crashed", "started", "ready"] * 3


def test_a_minute_without_a_crash_resets_the_backoff() -> None:
    """The next back-off is 1 s again."""
    world = World()
    world.ready(1)
    for _ in range(2):
        world.servers[-1].exit_code = 1
        world.step(0.1)
        world.step(30.0)
        world.step(healthy=True)
    world.servers[-1].exit_code = 1
    world.step(60.0)
    assert world.data[-1]["backoff_s"] == 1.0


def test_a_crash_while_draining_removes_the_replica() -> None:
    """A draining server that ends does not restart."""
    world = World()
    world.ready(1)
    world.scale(0)
    world.servers[0].exit_code = -11
    world.step(0.1)
    assert world.phases() == []
    assert world.kinds() == ["draining", "stopped"]


def test_shutdown_ends_all_replicas_within_its_grace_period() -> None:
    """The short grace period also applies to a replica that already drains with the long one."""
    world = World(grace_s=300.0)
    world.ready(2)
    for server in world.servers:
        server.in_flight = 1
    world.scale(1)
    world.scale(3)
    world.step(0.1)
    world.fleet.shut_down(now_s=world.now_s, grace_s=5.0)
    world.step(0.1, routed=[])
    world.step(5.0, routed=[])
    world.step(0.1, routed=[])
    assert world.phases() == []
    assert all(server.exit_code is not None for server in world.servers)


def test_shutdown_does_not_wait_for_the_unloading_of_models() -> None:
    """A server without requests in flight is killed at once, without a `replica_killed` event."""
    world = World()
    world.ready(2)
    world.fleet.shut_down(now_s=world.now_s, grace_s=5.0)
    for _ in range(4):
        world.step(IDLE_S, routed=[])
    assert world.phases() == []
    assert world.kinds() == ["draining", "draining", "stopped", "stopped"]


@pytest.mark.parametrize("count", [1, 4])
def test_names_look_like_those_of_pods(count: int) -> None:
    """All replicas of a run share the template's hash and differ in the suffix."""
    world = World()
    world.scale(count)
    names = [each.name.split("-") for each in world.fleet.states()]
    assert {(len(parts), parts[0], len(parts[1]), len(parts[2])) for parts in names} == {(3, "triton", 10, 5)}
    assert len({parts[1] for parts in names}) == 1
    assert len({parts[2] for parts in names}) == count


# --- ports ------------------------------------------------------------------------------------------------------------


def test_a_server_that_did_not_get_its_port_starts_again_on_others_and_did_not_crash():
    """The replica becomes ready without an event of its own."""
    world = World()
    world.scale(1, warm=True)
    world.step()
    world.servers[0].port_taken, world.servers[0].exit_code = True, 1
    world.step()
    assert world.phases() == ["started"]
    assert world.fleet.starting()[0][1] == world.servers[1].http != world.servers[0].http
    world.step(healthy=True)
    assert world.kinds() == ["created", "scheduled", "started", "ready"]
    assert world.fleet.max_crashes == 0


def test_a_server_that_never_gets_its_ports_has_crashed():
    """After several attempts something else is wrong."""
    world = World()
    world.scale(1, warm=True)
    for _ in range(MAX_LOST_PORTS + 2):
        world.step()
        if world.fleet.starting():
            world.servers[-1].port_taken, world.servers[-1].exit_code = True, 1
    assert len(world.servers) == MAX_LOST_PORTS + 1
    assert world.kinds()[-1] == "crashed"


def test_a_ready_server_that_ends_has_crashed():
    """It had its ports."""
    world = World()
    world.ready(1)
    world.servers[0].port_taken, world.servers[0].exit_code = True, 1
    world.step()
    assert world.kinds()[-1] == "crashed"


def test_full_shared_memory_is_no_crash_of_the_server() -> None:
    """A server that ends because shared memory is full ends the run with that cause, and is not a replica's crash."""
    world = World()
    world.ready(1)
    world.servers[0].exit_code, world.servers[0].shared_memory_full = 1, True
    with pytest.raises(StackError, match="/dev/shm became full during the run"):
        world.step()
    assert "crashed" not in world.kinds()
