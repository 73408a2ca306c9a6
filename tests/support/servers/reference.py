"""Starts and stops the reference server for a test, and connects clients to it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from loadgen.protocols.answer import Client
from loadgen.protocols.detect import Model
from loadgen.protocols.endpoint import ClientName, Endpoint
from loadgen.protocols.reference import MODEL

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


def client_of(protocol: str, port: int, model: Model, *, stream: bool, client: ClientName = "built-in") -> Client:
    """Return a client of a server on loopback."""
    endpoint = Endpoint(address=f"127.0.0.1:{port}", protocol="grpc" if protocol == "grpc" else "http", client=client)
    return endpoint.connect(model, stream=stream)
