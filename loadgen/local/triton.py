"""Command line, environment and ports of one Triton replica on the loopback interface."""

from __future__ import annotations

import http.client
import os
import socket
from contextlib import ExitStack
from pathlib import Path

from loadgen.programs.find import TritonProgram

LOOPBACK = "127.0.0.1"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps it; only names of our own prefix are touched

# The server's log line from which on it only unloads its models, about a second for each instance. Blocking models may
# still be streaming then, so it says that a server can be ended only where nobody waits for an answer any more.
DRAINED_LOG_LINE = "All models are stopped, unloading models"


def tritonserver_command(
    program: TritonProgram,
    repository: Path,
    *,
    http_port: int,
    grpc_port: int,
    metrics_port: int,
    shm_prefix: str,
    exit_timeout_s: int = 30,
    log_verbose: int = 0,
) -> tuple[list[str], dict[str, str]]:
    """Return the arguments and the environment that start one replica.

    Start it in a process group of its own, and end that group when the server has ended: a model process that is
    busy when its server is killed or crashes waits for ever to hand over a response.

    Args:
        program: The server to start.
        repository: Its model repository.
        http_port: Port of HTTP, health included.
        grpc_port: Port of gRPC.
        metrics_port: Port of the metrics in Prometheus' text format.
        shm_prefix: Start of the names of its shared memory; must differ between replicas on one machine.
        exit_timeout_s: How long requests in flight may take after SIGTERM.
        log_verbose: Triton's verbose level; 0 logs errors, warnings and the course of loading.

    Returns:
        The argument list, program first, and the whole environment of the process.
    """
    argv = [
        str(program.path),
        f"--model-repository={repository}",
        f"--backend-directory={program.backend_dir}",
        f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
        # Complete configurations need no trial start of every model, which would double the loading time.
        "--disable-auto-complete-config",
        f"--http-address={LOOPBACK}",
        f"--http-port={http_port}",
        f"--grpc-address={LOOPBACK}",
        f"--grpc-port={grpc_port}",
        f"--metrics-address={LOOPBACK}",
        f"--metrics-port={metrics_port}",
        "--allow-gpu-metrics=false",
        "--metrics-interval-ms=1000",
        f"--exit-timeout-secs={exit_timeout_s}",
        f"--log-verbose={log_verbose}",
    ]
    return argv, {**os.environ, **program.env}


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback interface that nobody listens on, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for s in sockets:
            s.bind((LOOPBACK, 0))
        return [int(s.getsockname()[1]) for s in sockets]


def is_ready(http_port: int, *, timeout_s: float = 1.0) -> bool:
    """Return whether the server says it can serve; while models load nobody listens at all."""
    connection = http.client.HTTPConnection(LOOPBACK, http_port, timeout=timeout_s)
    try:
        connection.request("GET", "/v2/health/ready")
        with connection.getresponse() as answer:
            return answer.status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def remove_shared_memory(shm_prefix: str, folder: Path = SHARED_MEMORY) -> list[str]:
    """Remove what a killed replica may have left in shared memory, and return the names.

    Args:
        shm_prefix: The prefix that the replica was started with.
        folder: Where the system keeps shared memory.
    """
    left = sorted(folder.glob(f"{shm_prefix}*"))
    for path in left:
        path.unlink(missing_ok=True)
    return [path.name for path in left]
