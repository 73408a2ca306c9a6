"""Runs the tritonserver process of one replica, and reads its readiness and its queue over HTTP."""

import os
import re
import signal
from pathlib import Path

from loadgen.base.processes import Child, spawn
from loadgen.local.leftovers import close_shared_memory, remove_shared_memory
from loadgen.local.loopback import LOOPBACK, Unreachable, free_ports, get
from loadgen.programs.find import TritonProgram

# After this line of its log the server only unloads its models, which takes about a second for each instance. Blocking
# models may still be streaming then: end the server only if no client waits for an answer.
DRAINED_LOG_LINE = "All models are stopped, unloading models"
# "failed to start GRPC service: Unavailable - Socket '127.0.0.1:51737' already in use", also for HTTP and Metrics
_ENDS_WITHIN_S = 2.0
_PORT_TAKEN = re.compile(rb'"failed to start \w+ service: .* already in use')
# "Unable to initialize shared memory key '…' to requested size (1048576 bytes)", "Failed to increase the shared memory
# pool size for key '…' to 2097152 bytes"
_SHARED_MEMORY_FULL = re.compile(rb"Unable to initialize shared memory key|Failed to increase the shared memory pool")


class TritonServer:
    """A running tritonserver on ports of its own.

    If another program takes one of the ports before the server binds it, the server ends, and the fleet starts a new
    one on other ports; that is not a crash.

    Attributes:
        http: `host:port` of HTTP, health included.
        grpc: `host:port` of gRPC.
        metrics: `host:port` of /metrics.
    """

    def __init__(
        self, program: TritonProgram, name: str, *, repository: Path, shm_prefix: str, log: Path, grace_s: float
    ) -> None:
        """Start the server.

        Raises:
            StackError: The program cannot be started.
        """
        ports = free_ports(3)
        self.http, self.grpc, self.metrics = (f"{LOOPBACK}:{port}" for port in ports)
        self._shm_prefix = f"{shm_prefix}{name}_"
        self._log = log
        self._log_bytes_at_start = log.stat().st_size if log.exists() else 0
        self._log_bytes_at_terminate: int | None = None
        command, env = tritonserver_command(
            program,
            repository,
            http_port=ports[0],
            grpc_port=ports[1],
            metrics_port=ports[2],
            shm_prefix=self._shm_prefix,
            exit_timeout_s=max(1, round(grace_s)),
        )
        env["POD_NAME"] = name
        self._child: Child = spawn(command, log=log, parent_death_signal=signal.SIGKILL, env=env)
        self._ended = False

    def poll(self) -> int | None:
        """Return the exit code, or None while the server runs; its shared memory is then closed to other users.

        When the server has ended, its model processes are killed, and its shared memory is removed.
        """
        code = self._child.poll()
        if code is None:
            close_shared_memory(self._shm_prefix)
        elif not self._ended:
            self._ended = True
            self._child.kill()
            remove_shared_memory(self._shm_prefix)
        return code

    def lost_port(self) -> bool:
        """Return whether the server ended because another program had taken one of its ports."""
        return self._ended and _PORT_TAKEN.search(self._logged_since(self._log_bytes_at_start)) is not None

    def lacked_shared_memory(self) -> bool:
        """Return whether the server ended because shared memory was full."""
        return self._ended and _SHARED_MEMORY_FULL.search(self._logged_since(self._log_bytes_at_start)) is not None

    def terminate(self) -> None:
        """Send SIGTERM: the server refuses new requests, finishes those in flight and unloads its models."""
        self._log_bytes_at_terminate = self._log.stat().st_size
        self._child.terminate()

    def unloading(self) -> bool:
        """Return whether the server has begun to unload its models since `terminate`."""
        if self._log_bytes_at_terminate is None:
            return False
        return DRAINED_LOG_LINE.encode() in self._logged_since(self._log_bytes_at_terminate)

    def kill(self) -> None:
        """Send SIGKILL to the server and its model processes."""
        self._child.kill()
        self._child.wait(_ENDS_WITHIN_S)
        self.poll()

    def _logged_since(self, offset: int) -> bytes:
        with self._log.open("rb") as log:
            log.seek(offset)
            return log.read()


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

    Start the server in a process group of its own, and kill that group when the server has ended: a model process that
    is busy when its server is killed or crashes waits forever to hand over a response.

    Args:
        program: The server to start.
        repository: Its model repository.
        http_port: Port of HTTP, health included.
        grpc_port: Port of gRPC.
        metrics_port: Port of the metrics in Prometheus' text format.
        shm_prefix: Prefix of the names of its shared memory; must differ between replicas on one machine.
        exit_timeout_s: How long requests in flight may take after SIGTERM.
        log_verbose: Triton's verbose level; 0 logs errors, warnings and the progress of loading.

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


async def is_ready(address: str) -> bool:
    """Return whether the server at this HTTP address reports that it is ready."""
    try:
        status, _ = await get(address, "/v2/health/ready")
    except Unreachable:
        return False
    return status == 200


async def queue_is_empty(metrics: str, model: str) -> bool:
    """Return whether no request waits in Triton's queue of a model; False if the server does not report it."""
    try:
        _, body = await get(metrics, "/metrics")
    except Unreachable:
        return False
    return pending_requests(body.decode(errors="replace"), model) == 0


def pending_requests(metrics_page: str, model: str) -> int | None:
    """Return the number of requests in Triton's queue of a model; None if the page does not have it as numbers."""
    series = rf'^nv_inference_pending_request_count{{[^}}]*\bmodel="{re.escape(model)}"[^}}]*}} (\S+)'
    values = re.findall(series, metrics_page, re.MULTILINE)
    try:
        return sum(int(float(value)) for value in values) if values else None
    except (ValueError, OverflowError):
        return None
