"""Starts a Triton server with the emulated engine for a test."""

import http.client
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import psutil

from loadgen.local.engine.config import EngineProfile
from loadgen.local.engine.repository import RepositoryOptions, render_repository
from loadgen.local.environments import remove_environment_folders
from loadgen.local.leftovers import SHARED_MEMORY, remove_shared_memory
from loadgen.local.loopback import free_ports
from loadgen.local.triton import tritonserver_command
from loadgen.programs.find import find_tritonserver
from support.servers.triton import Stream, post, wait_until_ready

FRONTS = ("tensorrt_llm_bls", "ensemble")
"""The models that clients send requests to."""
POD = "triton-7d9f-x1x2"
"""Name of the replica."""


class Replica:
    """A Triton server with the emulated engine, in a process group of its own."""

    def __init__(
        self, folder: Path, profile: EngineProfile, options: RepositoryOptions, prefix: Sequence[str] = ()
    ) -> None:
        """Start it, with a command before its own that runs it."""
        render_repository(folder / "models", profile, options=options)
        self.profile = profile
        self.log = folder / "triton.log"
        self.http, self.grpc, self.metrics = free_ports(3)
        self.prefix = f"loadgen-test-{self.grpc}_"
        argv, env = tritonserver_command(
            find_tritonserver(),
            folder / "models",
            http_port=self.http,
            grpc_port=self.grpc,
            metrics_port=self.metrics,
            shm_prefix=self.prefix,
        )
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*prefix, *argv],
                env=env | {"POD_NAME": POD},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until_ready(f"127.0.0.1:{self.http}", f"127.0.0.1:{self.metrics}", self.process.poll, self.log)

    def processes(self) -> list[psutil.Process]:
        """Return the server and its child processes."""
        server = psutil.Process(self.process.pid)
        return [server, *server.children(recursive=True)]

    def shared_memory(self) -> list[str]:
        return [path.name for path in SHARED_MEMORY.glob(f"{self.prefix}*")]

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        remove_shared_memory(self.prefix)
        remove_environment_folders(self.log.parent)

    def samples(self) -> dict[str, float]:
        """Return the values of the metrics page by name with labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, value in (x.rsplit(" ", 1) for x in lines if not x.startswith("#"))}

    def counter(self, name: str, model: str, *, reason: str | None = None) -> float:
        labels = f'model="{model}",' + (f'reason="{reason}",' if reason else "") + 'version="1"'
        return self.samples()[f"{name}{{{labels}}}"]

    def stream(
        self,
        model: str,
        inputs: dict[str, object] | None = None,
        *,
        request_id: str = "",
        outputs: list[str] | None = None,
        **fields: object,
    ) -> Stream:
        """Send one request to a model, with inputs as a dictionary or as keywords."""
        return Stream(f"127.0.0.1:{self.grpc}", model, inputs or fields, request_id=request_id, outputs=outputs)

    def post(self, path: str, **fields: object) -> tuple[int, str]:
        return post(f"127.0.0.1:{self.http}", path, **fields)

    def post_and_hang_up(self, path: str, *, after_s: float, **fields: object) -> None:
        """Send a request and close the connection after a while, without reading the response."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=30)
        connection.request("POST", f"/v2/models/{path}", json.dumps(fields), {"Content-Type": "application/json"})
        time.sleep(after_s)
        connection.close()
