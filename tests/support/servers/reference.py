"""Starts and stops the reference server for a test."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


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
