"""Compiles, starts and stops the null server (`tests/support/servers/null/`), whose token times are exactly known.

with null_server(first_ms=20, itl_ms=25) as server:
    server.http, server.grpc  # ports on loopback
    server.counters()         # what it received and sent
"""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadgen.programs.cache import cache_dir, make_cache

MODEL = "tensorrt_llm_bls"
"""Its decoupled model, for streams and single answers."""
PLAIN_MODEL = "ensemble"
"""Its model with one answer to a request: `ModelInfer` and `infer`."""
TOKEN_BYTES = 17
"""Length of a token: sixteen digits of the server's CLOCK_MONOTONIC in nanoseconds, and a space."""

_SOURCES = Path(__file__).parent / "null"
_WARNINGS = ("-Wall", "-Wextra", "-Werror")
_SANITIZERS = ("-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
_COMPILE_TIMEOUT_S, _STOP_TIMEOUT_S, _HTTP_TIMEOUT_S = 100.0, 10.0, 30.0
_RECORD_BYTES = 48


class NoCompilerError(RuntimeError):
    """This machine has no C compiler; the message is the reason for a skipped test."""


def compile_server(*, sanitize: bool = False) -> Path:
    """Return the compiled server, from the cache unless its sources or the compiler have changed.

    Args:
        sanitize: Whether it looks for leaks and undefined behaviour, which makes it slow.

    Raises:
        NoCompilerError: there is no C compiler, or it has no sanitizers.
        RuntimeError: the sources do not compile; the message has the compiler's output.
    """
    compiler = os.environ.get("CC") or shutil.which("cc")
    if compiler is None or shutil.which(compiler) is None:
        raise NoCompilerError("the null server needs a C compiler: install one as `cc`, or set CC")
    sources = sorted(_SOURCES.glob("*.[ch]"))
    version = subprocess.run([compiler, "--version"], capture_output=True, check=True).stdout
    flags = ["-O2", "-std=c11", "-D_GNU_SOURCE", *_WARNINGS, *(_SANITIZERS if sanitize else ())]
    content = b"\0".join(
        [version, " ".join(flags).encode(), *(path.name.encode() + path.read_bytes() for path in sources)]
    )
    program = cache_dir() / f"null-server-{hashlib.sha256(content).hexdigest()[:16]}"
    if program.exists():
        return program
    make_cache(program.parent)
    with tempfile.TemporaryDirectory(dir=program.parent) as folder:
        built = Path(folder) / "null-server"
        command = [compiler, *flags, *(str(path) for path in sources if path.suffix == ".c"), "-o", str(built)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_COMPILE_TIMEOUT_S, check=False)
        if done.returncode and sanitize:
            compile_server()  # raises if the sources are what is wrong
            raise NoCompilerError(f"{compiler} has no sanitizers: install libasan and libubsan")
        if done.returncode:
            raise RuntimeError(f"the null server does not compile:\n{done.stderr}")
        built.replace(program)  # other test processes may build it at the same time
    return program


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A request that the server read.

    Attributes:
        first_byte_ns: CLOCK_MONOTONIC when its first byte had been read.
        whole_ns: The same for its last byte; the times of its tokens count from here.
        request_id: The first 32 bytes of its id, or else of its header x-request-id; empty without one.
    """

    first_byte_ns: int
    whole_ns: int
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NullServer:
    """A running null server.

    Attributes:
        http: Its HTTP port on loopback.
        grpc: Its gRPC port on loopback.
        pid: Its process.
    """

    http: int
    grpc: int
    pid: int

    def counters(self) -> dict[str, int]:
        """Return what it counted since its start or `reset`; the names are in `counters.c`."""
        counted: dict[str, int] = json.loads(self._get("/null/counters"))
        return counted

    def arrivals(self) -> list[Arrival]:
        """Return the last 100,000 requests in the order in which they were complete."""
        data = self._get("/null/arrivals")
        records = (data[at : at + _RECORD_BYTES] for at in range(0, len(data), _RECORD_BYTES))
        return [
            Arrival(
                first_byte_ns=int.from_bytes(record[:8], "little"),
                whole_ns=int.from_bytes(record[8:16], "little"),
                request_id=record[16:].rstrip(b"\0").decode(),
            )
            for record in records
        ]

    def reset(self) -> None:
        """Set all counters to zero."""
        self._get("/null/reset")

    def wait_for(self, name: str, value: int, timeout_s: float = 20.0) -> dict[str, int]:
        """Wait until a counter has a value, and return all counters.

        Raises:
            TimeoutError: it has another value after the timeout.
        """
        deadline = time.monotonic() + timeout_s
        while (counted := self.counters())[name] != value:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} is {counted[name]} after {timeout_s:g} s, not {value}")
            time.sleep(0.01)
        return counted

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=_HTTP_TIMEOUT_S) as answer:
            data: bytes = answer.read()
            return data


@contextmanager
def null_server(*, prefix: Sequence[str] = (), sanitize: bool = False, **options: Any) -> Iterator[NullServer]:
    """Run a null server on free ports.

    Args:
        prefix: A command that runs the server, such as `("taskset", "-c", "0")`.
        sanitize: Whether it looks for leaks and undefined behaviour; a finding fails at its end.
        options: Its flags: `first_ms`, `itl_ms`, `unary_ms`, `tokens`, `gateway`, `pod`, `max_streams`, `window`,
            `goaway_every`, `close_every`, `http_port`, `grpc_port`; True sets a flag without value.

    Raises:
        NoCompilerError: there is no C compiler.
        RuntimeError: it did not start, or it ended with an error.
    """
    flags = [f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}") for name, value in options.items()]
    command = [*prefix, str(compile_server(sanitize=sanitize)), *flags]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    line = process.stdout.readline()
    try:
        if not line:
            raise RuntimeError(f"the null server did not start: {process.communicate(timeout=_STOP_TIMEOUT_S)[1]}")
        yield NullServer(**json.loads(line))
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=_STOP_TIMEOUT_S)
    if process.returncode:
        raise RuntimeError(f"the null server ended with {process.returncode}: {errors}")


def times_ns(text: str) -> list[int]:
    """Return the server's clock in each token of a text."""
    return [int(text[at : at + TOKEN_BYTES]) for at in range(0, len(text), TOKEN_BYTES)]


def decode_blocks(lines: Sequence[str]) -> list[list[tuple[bytes, bytes]] | None]:
    """Return the fields of header blocks by the server's HPACK decoder; None for a malformed block.

    Args:
        lines: Blocks in hexadecimal, with one dynamic table; `limit N` sets the largest size of the table, and
            `new` begins with an empty one.

    Raises:
        NoCompilerError: there is no C compiler.
    """
    command = [str(compile_server(sanitize=True)), "--decode"]
    done = subprocess.run(command, input="\n".join([*lines, ""]), capture_output=True, text=True, check=True)
    decoded: list[list[tuple[bytes, bytes]] | None] = []
    for line in done.stdout.splitlines():
        pairs = [field.split(":") for field in line.split() if field != "malformed"]
        fields = [(bytes.fromhex(name), bytes.fromhex(value)) for name, value in pairs]
        decoded.append(None if line.endswith("malformed") else fields)
    return decoded
