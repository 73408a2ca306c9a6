"""Phases of the replicas, from their start to the end of a drain or of the stack."""

import pytest

from loadgen.local.replica import IDLE_S, ROUTE_REMOVAL_TIMEOUT_S
from support.servers.fleet import World


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
