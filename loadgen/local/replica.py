"""The server process of one replica: a real tritonserver on ports of its own."""

import re
import signal
from pathlib import Path

from loadgen.base.processes import Child, spawn
from loadgen.local.http import Unreachable, get
from loadgen.local.triton import DRAINED_LOG_LINE, LOOPBACK, free_ports, remove_shared_memory, tritonserver_command
from loadgen.programs.find import TritonProgram


class TritonServer:
    """A started tritonserver.

    A port that another program takes in the moment before the server binds it ends the server; the fleet then starts
    a new one, on other ports.

    Attributes:
        http: `host:port` of HTTP, health included.
        grpc: `host:port` of gRPC.
        metrics: `host:port` of /metrics.
    """

    def __init__(
        self, program: TritonProgram, name: str, *, repository: Path, shm_prefix: str, log: Path, grace_s: float
    ) -> None:
        """Start it.

        Raises:
            StackError: the program cannot be started.
        """
        ports = free_ports(3)
        self.http, self.grpc, self.metrics = (f"{LOOPBACK}:{port}" for port in ports)
        self._shm_prefix = f"{shm_prefix}{name}_"
        self._log = log
        self._seen_bytes: int | None = None
        command, env = tritonserver_command(
            program,
            repository,
            http_port=ports[0],
            grpc_port=ports[1],
            metrics_port=ports[2],
            shm_prefix=self._shm_prefix,
            exit_timeout_s=max(1, round(grace_s)),
        )
        self._child: Child = spawn(command, log=log, parent_death_signal=signal.SIGKILL, env=env)
        self._ended = False

    def poll(self) -> int | None:
        """Exit code, or None while it runs; when it has ended, its model processes and shared memory go as well."""
        code = self._child.poll()
        if code is not None and not self._ended:
            self._ended = True
            self._child.kill()
            remove_shared_memory(self._shm_prefix)
        return code

    def terminate(self) -> None:
        """SIGTERM: it takes no more requests, finishes those in flight, unloads its models."""
        self._seen_bytes = self._log.stat().st_size
        self._child.terminate()

    def unloading(self) -> bool:
        """Whether its log says, since `terminate`, that it has come to unload its models."""
        if self._seen_bytes is None:
            return False
        with self._log.open("rb") as log:
            log.seek(self._seen_bytes)
            return DRAINED_LOG_LINE.encode() in log.read()

    def kill(self) -> None:
        """SIGKILL, for it and its model processes."""
        self._child.kill()


async def queue_is_empty(metrics: str, model: str) -> bool:
    """Whether no request waits in Triton's own queue of a model; False when the server does not say."""
    try:
        _, body = await get(metrics, "/metrics")
    except Unreachable:
        return False
    return waiting(body.decode(errors="replace"), model) == 0


def waiting(page: str, model: str) -> int | None:
    """Requests in Triton's own queue of a model by its metrics page; None when the page does not have it."""
    series = rf'^nv_inference_pending_request_count{{[^}}]*\bmodel="{re.escape(model)}"[^}}]*}} (\S+)'
    values = re.findall(series, page, re.MULTILINE)
    return sum(int(float(value)) for value in values) if values else None
