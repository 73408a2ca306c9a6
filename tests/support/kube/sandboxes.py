"""Sandboxes for tests, and what they leave on the machine."""

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
    """What a sandbox of a test is made of: a control plane, and whatever the test asks for."""
    settings = {"addons": False, **settings}
    return SandboxConfig(name=sandbox.name, folder=sandbox.folder, tools=find(), nodes=tuple(nodes), **settings)


def fresh() -> Sandbox:
    """A sandbox with a name of its own; not up."""
    return Sandbox.named(f"test-{uuid.uuid4().hex[:8]}")


@contextmanager
def up(nodes: Sequence[Node] = (), **settings: Any) -> Iterator[Sandbox]:
    """A sandbox that is up, and gone afterwards; it dies with the test process, however that ends."""
    sandbox = fresh()
    try:
        sandbox.up(config_of(sandbox, nodes, **settings), say=lambda _: None, attached=True)
        yield sandbox
    finally:
        sandbox.down()


def inside(sandbox: Any, *argv: str, check: bool = True) -> str:
    """What a command inside prints."""
    done = subprocess.run(sandbox.command(argv), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout


def processes_of(folder: Path) -> list[str]:
    """Command lines of all processes on this machine that name a sandbox's folder."""
    found = []
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
            if str(folder) in line and process.status() != psutil.STATUS_ZOMBIE:
                found.append(line)
        except psutil.Error:
            continue
    return found
