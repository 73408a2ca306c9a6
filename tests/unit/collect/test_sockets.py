"""Connections to replicas, from the tables of the kernel."""

import socket
from pathlib import Path

import pytest

from loadgen.collect.scrape_targets import Replica
from loadgen.collect.sockets import open_connections
from loadgen.dataset.names import SignalName

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def replica(name: str, *ports: int, ready: bool = True) -> Replica:
    return Replica(name=name, metrics="http://127.0.0.1:1/metrics", ready=ready, ports=ports)


def line(local: int, remote: int, state: str) -> str:
    return f"   0: 0100007F:{local:04X} 0100007F:{remote:04X} {state} 00000000:00000000 00:00000000 00000000 0 0 1 1\n"


def test_established_connections_count_for_the_replica_with_their_local_port(tmp_path: Path) -> None:
    """Not those that listen or wait, and not the other end of a connection, which has the port as its remote one."""
    table = tmp_path / "tcp"
    table.write_text(
        HEAD
        + line(8001, 40000, "01")
        + line(8001, 40001, "01")
        + line(8000, 40002, "01")
        + line(8001, 0, "0A")
        + line(8001, 40003, "06")
        + line(40000, 8001, "01")
        + "damaged\n"
    )
    rows = open_connections([replica("a", 8000, 8001), replica("b", 9001)], 3.0, [table, tmp_path / "tcp6"])
    assert [(row.t_s, row.signal, row.pod, row.value) for row in rows] == [
        (3.0, SignalName.CONNECTIONS, "a", 3.0),
        (3.0, SignalName.CONNECTIONS, "b", 0.0),
    ]


@pytest.mark.parametrize("replicas", [[], [replica("a")], [replica("a", 8001, ready=False)]])
def test_replicas_elsewhere_are_not_observed(replicas: list[Replica]) -> None:
    """No sample is not zero connections."""
    assert open_connections(replicas, 0.0) == []


def test_without_the_tables_nothing_is_observed(tmp_path: Path) -> None:
    """As on another system than Linux."""
    assert open_connections([replica("a", 8001)], 0.0, [tmp_path / "tcp"]) == []


def test_a_real_connection_is_counted() -> None:
    """A listener with two clients that it has accepted."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        clients = [socket.create_connection(address) for _ in range(2)]
        accepted = [server.accept()[0] for _ in clients]
        (row,) = open_connections([replica("a", address[1])], 0.0)
        assert row.value == 2
        for each in (*clients, *accepted):
            each.close()
