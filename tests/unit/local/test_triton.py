"""Command line, ports, readiness and queue of the tritonserver of one replica."""

import asyncio
import http.server
import socket
import threading
from pathlib import Path

import pytest

from loadgen.local.leftovers import remove_shared_memory
from loadgen.local.loopback import free_ports
from loadgen.local.triton import is_ready, pending_requests, tritonserver_command
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
