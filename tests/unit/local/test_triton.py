"""Command line, ports, readiness and queue of the tritonserver of one replica."""

import asyncio
import http.server
import os
import shlex
import socket
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadgen.base.errors import StackError
from loadgen.local import loopback
from loadgen.local.leftovers import remove_shared_memory
from loadgen.local.loopback import free_ports, server_ports
from loadgen.local.triton import TritonServer, is_ready, pending_requests, tritonserver_command
from loadgen.programs.find import TritonProgram
from loadgen.programs.pypi import Interpreter
from support.programs import program

PROGRAM = TritonProgram(
    path=Path("/c/bin/tritonserver"),
    version="2.51.0",
    backend_dir=Path("/c/backends"),
    site_packages=Path("/c"),
    interpreter=Interpreter(
        executable=Path("/p/python3"), version=(3, 12), prefix=Path("/p"), library_dir=Path("/p/lib")
    ),
    env={"LD_LIBRARY_PATH": "/p/lib"},
)


def test_a_replica_listens_on_loopback_only_and_keeps_its_shared_memory_apart(monkeypatch):
    """Three addresses and a prefix on the command line; the environment is ours plus the program's."""
    monkeypatch.setenv("HOME", "/home/someone")
    argv, env = tritonserver_command(
        PROGRAM, Path("/models"), http_port=1, grpc_port=2, metrics_port=3, shm_prefix="r1_", exit_timeout_s=20
    )
    assert argv[0] == "/c/bin/tritonserver"
    assert [a for a in argv if "address" in a] == [
        "--http-address=127.0.0.1",
        "--grpc-address=127.0.0.1",
        "--metrics-address=127.0.0.1",
    ]
    assert {"--http-port=1", "--grpc-port=2", "--metrics-port=3", "--exit-timeout-secs=20"} <= set(argv)
    assert "--backend-config=python,shm-region-prefix-name=r1_" in argv
    assert env["LD_LIBRARY_PATH"] == "/p/lib"
    assert env["HOME"] == "/home/someone"


def test_free_ports_are_different_and_free():
    """Each of them can be bound."""
    ports = free_ports(12)
    assert len(set(ports)) == 12
    for port in ports:
        with socket.socket() as s:
            s.bind(("127.0.0.1", port))


def test_ports_of_servers_are_outside_the_ephemeral_range():
    """No client of this machine gets them from the kernel; reserved ports and node ports are left out, too."""
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert not [port for port in free_ports(50) if low <= port <= high]
    usual = server_ports("32768 60999", "10001,12000-12999\n")
    assert (usual[0], usual[1], usual[-1]) == (10000, 10002, 65535)
    assert not set(usual) & {*range(12000, 13000), *range(30000, 61000)}
    assert server_ports("1024 65535") == []


def test_two_servers_that_start_get_different_ports():
    """Also before the first of them has bound its own."""
    first, second = free_ports(20), free_ports(20)
    assert not set(first) & set(second)


def test_without_other_ports_those_of_the_ephemeral_range_are_used(monkeypatch):
    """As where the range begins at 1024."""
    monkeypatch.setattr(loopback, "_ports", iter(()))
    assert len(set(free_ports(3))) == 3


def test_too_few_ports_are_one_sentence(monkeypatch):
    """It has the numbers and the setting to change."""

    class Taken(socket.socket):
        def bind(self, address: Any) -> None:
            raise OSError(98, "Address already in use")

    monkeypatch.setattr(loopback, "_ports", iter(range(10_000, 10_005)))
    monkeypatch.setattr(socket, "socket", Taken)
    with pytest.raises(StackError, match=r"127\.0\.0\.1 has 0 free ports, and 3 are needed: .*ip_local_port_range"):
        free_ports(3)


TAKEN = "failed to start {} service: Unavailable - Socket '127.0.0.1:35629' already in use "
REFUSED = "failed to load 'tensorrt_llm' version 1: Internal: out of memory"


@pytest.mark.parametrize(
    ("message", "lost"),
    [(TAKEN.format("HTTP"), True), (TAKEN.format("GRPC"), True), (TAKEN.format("Metrics"), True), (REFUSED, False)],
)
def test_a_server_that_did_not_get_its_port_says_so(tmp_path, message, lost):
    """Triton's own words, and only those of the latest start: the log has all starts of the replica."""
    log, line = tmp_path / "log", f'E1130 09:06:53.693490 5817 main.cc:257] "{message}"'
    log.write_text("" if lost else "\"failed to start HTTP service: Unavailable - Socket '1:1' already in use\"\n")
    script = program(tmp_path, "tritonserver", f"echo {shlex.quote(line)}; exit 1")
    server = TritonServer(
        replace(PROGRAM, path=script), "r", repository=tmp_path, shm_prefix="loadgen-test-", log=log, grace_s=1
    )
    assert not server.lost_port()
    while server.poll() is None:
        os.sched_yield()
    assert server.lost_port() is lost


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.mark.parametrize(("status", "ready"), [(200, True), (400, False), (503, False)])
def test_only_status_200_is_ready(status, ready):
    """Triton answers 400 while its models load."""
    with http.server.HTTPServer(("127.0.0.1", 0), Health) as server:
        server.status = status
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        assert asyncio.run(is_ready(f"127.0.0.1:{server.server_port}")) is ready
        server.shutdown()


def test_a_server_that_does_not_listen_yet_is_not_ready():
    """A refused connection is an answer, not an error."""
    assert not asyncio.run(is_ready(f"127.0.0.1:{free_ports(1)[0]}"))


def test_a_server_that_does_not_answer_is_not_ready():
    """The request has a time limit."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert not asyncio.run(is_ready(f"127.0.0.1:{silent.getsockname()[1]}"))


def test_only_shared_memory_of_the_replica_is_removed(tmp_path):
    """A prefix that begins with the same characters is another replica's."""
    for name in ("r1_a", "r1_b", "r10_a", "other"):
        (tmp_path / name).touch()
    assert remove_shared_memory("r1_", tmp_path) == ["r1_a", "r1_b"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other", "r10_a"]


PAGE = """\
# HELP nv_inference_pending_request_count Instantaneous number of pending requests awaiting execution per-model.
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{model="tensorrt_llm",version="1"} 7
nv_inference_pending_request_count{model="tensorrt_llm_bls",version="1"} 3
nv_inference_pending_request_count{model="idle",version="1"} 0
"""


@pytest.mark.parametrize(
    ("model", "count"), [("tensorrt_llm_bls", 3), ("idle", 0), ("absent", None), ("tensorrt_llm", 7)]
)
def test_requests_in_the_queue_of_a_model(model: str, count: int | None) -> None:
    """The gauge of that model alone; a model without one is unknown, not 0."""
    assert pending_requests(PAGE, model) == count
