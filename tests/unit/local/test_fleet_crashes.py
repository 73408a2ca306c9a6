"""Replicas whose server ends by itself: crashes, and ports that were taken."""

import pytest

from loadgen.base.errors import StackError
from loadgen.local.fleet import MAX_LOST_PORTS
from support.servers.fleet import World


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
