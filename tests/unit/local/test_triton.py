"""Command line, ports and readiness of one replica."""

import http.server
import socket
import threading
from pathlib import Path

import pytest

from loadgen.local.triton import free_ports, is_ready, remove_shared_memory, tritonserver_command
from loadgen.programs.find import TritonProgram
from loadgen.programs.pypi import Interpreter

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
    ports = free_ports(12)
    assert len(set(ports)) == 12
    for port in ports:
        with socket.socket() as s:
            s.bind(("127.0.0.1", port))


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.mark.parametrize(("status", "ready"), [(200, True), (400, False), (503, False)])
def test_ready_is_what_the_server_says(status, ready):
    with http.server.HTTPServer(("127.0.0.1", 0), Health) as server:
        server.status = status
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        assert is_ready(server.server_port) is ready
        server.shutdown()


def test_a_server_that_is_still_loading_is_not_ready():
    assert not is_ready(free_ports(1)[0])


def test_a_server_that_does_not_answer_is_not_ready():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert not is_ready(silent.getsockname()[1], timeout_s=0.2)


def test_only_shared_memory_of_the_replica_is_removed(tmp_path):
    for name in ("r1_a", "r1_b", "r10_a", "other"):
        (tmp_path / name).touch()
    assert remove_shared_memory("r1_", tmp_path) == ["r1_a", "r1_b"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other", "r10_a"]
