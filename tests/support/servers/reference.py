"""Starts and stops the reference server for a test, and connects clients to it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from loadgen.protocols.detect import Model
from loadgen.protocols.reference import MODEL
from loadgen.protocols.triton_grpc import GrpcClient
from loadgen.protocols.triton_http import HttpClient

BLS = Model(name=MODEL, family="trtllm", batched=True, decoupled=True, streams=True, counts_tokens=False)
"""The model of the reference server."""


@contextmanager
def reference_server(*flags: str) -> Iterator[dict[str, int]]:
    """Yield the ports of a running reference server by protocol."""
    command = [sys.executable, "-m", "loadgen.protocols.reference", *flags]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield json.loads(process.stdout.readline())
    finally:
        process.communicate(timeout=20)


def client_of(protocol: str, port: int, model: Model, *, stream: bool) -> GrpcClient | HttpClient:
    """Return a client of a server on loopback."""
    cls = GrpcClient if protocol == "grpc" else HttpClient
    return cls(f"127.0.0.1:{port}", model, stream=stream)
