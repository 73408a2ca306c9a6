"""Sandboxes for tests, and the processes that they leave on the machine."""

import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from loadgen.sandbox.build.build import find
from loadgen.sandbox.commands import Sandbox
from loadgen.sandbox.config import Node, SandboxConfig


def config_of(sandbox: Sandbox, nodes: Sequence[Node] = (), **settings: Any) -> SandboxConfig:
    """Return the configuration of a test's sandbox: without add-ons by default."""
    settings = {"addons": False, **settings}
    return SandboxConfig(name=sandbox.name, folder=sandbox.folder, tools=find(), nodes=tuple(nodes), **settings)


def fresh() -> Sandbox:
    """Return a sandbox with a new name, which is not up."""
    return Sandbox.named(f"test-{uuid.uuid4().hex[:8]}")


@contextmanager
def up(nodes: Sequence[Node] = (), **settings: Any) -> Iterator[Sandbox]:
    """Start a sandbox and stop it afterwards; it ends with the test process, however the process ends."""
    sandbox = fresh()
    try:
        sandbox.up(config_of(sandbox, nodes, **settings), say=lambda _: None, attached=True)
        yield sandbox
    finally:
        sandbox.down()


def inside(sandbox: Any, *argv: str, check: bool = True) -> str:
    """Run a command inside and return its output."""
    done = subprocess.run(sandbox.command(argv), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of all processes on this machine that contain a sandbox's folder."""
    lines = []
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
            if str(folder) in line and process.status() != psutil.STATUS_ZOMBIE:
                lines.append(line)
        except psutil.Error:
            continue
    return lines
