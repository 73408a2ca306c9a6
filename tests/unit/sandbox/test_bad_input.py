"""What a machine refuses a sandbox: one sentence each, and nothing left behind; with stand-ins for its programs."""

import asyncio
import shutil
import socket
from pathlib import Path

import pytest

from loadgen.base.errors import StackError
from loadgen.sandbox import commands
from loadgen.sandbox.commands import Sandbox
from loadgen.sandbox.config import SandboxConfig, SandboxState
from loadgen.sandbox.gate import Gate
from loadgen.sandbox.plane import network


def program(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch) -> Sandbox:
    """Not up; in a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return Sandbox.named("mine")


def config_of(sandbox: Sandbox, **tools: Path) -> SandboxConfig:
    return SandboxConfig(name=sandbox.name, folder=sandbox.folder, tools=tools, nodes=(), addons=False)


def up(sandbox: Sandbox) -> None:
    sandbox.up(config_of(sandbox), say=lambda _: None, attached=True)


def test_a_full_disk_is_said_before_a_sandbox_starts(sandbox, monkeypatch):
    """How much it needs; no folder is left."""
    monkeypatch.setattr(commands, "way_in", lambda: [])
    usage = shutil.disk_usage("/")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(StackError, match="is full: free 1 GB there, or set XDG_CACHE_HOME"):
        up(sandbox)
    assert not sandbox.folder.exists()


def test_forbidden_namespaces_leave_no_folder(sandbox, monkeypatch, tmp_path):
    """They are tried before anything is written."""
    unshare = program(tmp_path / "bin", "unshare", "echo 'unshare: failed: Operation not permitted' >&2; exit 1")
    monkeypatch.setattr("shutil.which", lambda name, path=None: str(unshare))
    with pytest.raises(StackError, match="this system lets this user make no namespaces"):
        up(sandbox)
    assert not sandbox.folder.exists()


def test_a_sandbox_that_fails_leaves_the_logs_that_its_sentence_names(sandbox, monkeypatch, tmp_path):
    """Process 1 ends at once: its last words are told, and nothing else of it stays."""
    world = program(tmp_path / "bin", "world", "echo why it ended; exit 3")
    monkeypatch.setattr(commands, "way_in", lambda: [str(world)])
    log = sandbox.folder / "logs" / "plane.log"
    with pytest.raises(StackError, match=rf"ended with 3 while it started: why it ended; see {log}$"):
        up(sandbox)
    assert log.read_text() == "why it ended\n"
    assert {path.name for path in sandbox.folder.iterdir()} == {"logs", "holder.json"}


def test_an_interrupted_start_leaves_nothing(sandbox, monkeypatch, tmp_path):
    """Ctrl-C while it starts: the process is ended, the folder gone."""
    world = program(tmp_path / "bin", "world", "exec sleep 600")
    monkeypatch.setattr(commands, "way_in", lambda: [str(world)])
    monkeypatch.setattr(commands, "STOP_WITHIN_S", 0.5)

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Sandbox, "state", lambda _: SandboxState(doing="etcd"))
    started = []
    real = commands.create
    monkeypatch.setattr(commands, "create", lambda *a, **k: started.append(real(*a, **k)) or started[-1])
    with pytest.raises(KeyboardInterrupt):
        sandbox.up(config_of(sandbox), say=interrupt, attached=True)
    assert started[0].poll() is not None
    assert not sandbox.folder.exists()


@pytest.mark.parametrize(
    "said", ["Error: Could not process rule: Operation not supported\nadd table ip x\n^^^^", "netlink: No such file"]
)
def test_an_old_kernel_without_nftables_is_one_sentence(sandbox, monkeypatch, tmp_path, said):
    """What `nft` says, in one line, and what mends it."""
    tools = {
        "ip": program(tmp_path / "bin", "ip", "cat > /dev/null"),
        "nft": program(tmp_path / "bin", "nft", f"printf '%s\\n' '{said}' >&2; exit 1"),
    }
    monkeypatch.setattr(network, "_SYSCTLS", {})
    with pytest.raises(StackError) as told:
        network.lay_network(config_of(sandbox, **tools))
    first = said.splitlines()[0]
    assert str(told.value) == (
        f"the sandbox needs nftables in the kernel, and it says: {first}: "
        "load the module nf_tables (`modprobe nf_tables`) or use a kernel from 5.13 on, and try again"
    )


def test_the_gate_is_reached_in_a_folder_of_any_depth(tmp_path):
    """A path of 400 bytes, where a Unix socket's own may have 107."""
    folder = tmp_path.joinpath(*["deep" * 10] * 10)
    folder.mkdir(parents=True)

    async def reach() -> bytes:
        server = await asyncio.start_server(lambda _, writer: (writer.write(b"here"), writer.close()), "127.0.0.1", 0)
        gate = Gate(folder / "gate.sock")
        await gate.open()
        port = server.sockets[0].getsockname()[1]
        try:
            with await asyncio.to_thread(Sandbox(folder).connect, f"127.0.0.1:{port}") as connection:
                return await asyncio.to_thread(everything, connection)
        finally:
            gate.close()
            server.close()

    assert asyncio.run(reach()) == b"here"


def everything(connection: socket.socket) -> bytes:
    connection.settimeout(30)
    return b"".join(iter(lambda: connection.recv(100), b""))
