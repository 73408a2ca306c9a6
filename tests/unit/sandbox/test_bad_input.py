"""Errors of the machine when a sandbox starts: one message each and nothing left behind; with fake programs."""

import asyncio
import shutil
import socket
from pathlib import Path

import pytest

from loadgen.base.errors import StackError
from loadgen.sandbox import commands
from loadgen.sandbox.commands import Sandbox
from loadgen.sandbox.config import SandboxConfig, SandboxState
from loadgen.sandbox.plane import network
from loadgen.sandbox.socket_proxy import SocketProxy


def program(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch) -> Sandbox:
    """A sandbox in its own cache, which is not up."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return Sandbox.named("mine")


def config_of(sandbox: Sandbox, **tools: Path) -> SandboxConfig:
    return SandboxConfig(name=sandbox.name, folder=sandbox.folder, tools=tools, nodes=(), addons=False)


def up(sandbox: Sandbox) -> None:
    sandbox.up(config_of(sandbox), say=lambda _: None, attached=True)


def test_a_full_disk_fails_before_a_sandbox_starts(sandbox, monkeypatch):
    """The message says how much to free; no folder is left."""
    monkeypatch.setattr(commands, "unshare_command", lambda: [])
    usage = shutil.disk_usage("/")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(StackError, match="is full: free 1 GB there, or set XDG_CACHE_HOME"):
        up(sandbox)
    assert not sandbox.folder.exists()


def test_forbidden_namespaces_leave_no_folder(sandbox, monkeypatch, tmp_path):
    """Namespaces are checked before anything is written."""
    unshare = program(tmp_path / "bin", "unshare", "echo 'unshare: failed: Operation not permitted' >&2; exit 1")
    monkeypatch.setattr("shutil.which", lambda name, path=None: str(unshare))
    with pytest.raises(StackError, match="this system does not allow this user to create namespaces"):
        up(sandbox)
    assert not sandbox.folder.exists()


def test_a_sandbox_that_fails_leaves_the_logs_that_the_message_names(sandbox, monkeypatch, tmp_path):
    """Process 1 exits at once: the message has the end of its log, and only the logs are left."""
    unshare = program(tmp_path / "bin", "unshare", "echo the reason; exit 3")
    monkeypatch.setattr(commands, "unshare_command", lambda: [str(unshare)])
    log = sandbox.folder / "logs" / "plane.log"
    with pytest.raises(StackError, match=rf"exited with 3 while it started: the reason; see {log}$"):
        up(sandbox)
    assert log.read_text() == "the reason\n"
    assert {path.name for path in sandbox.folder.iterdir()} == {"logs", "holder.json"}


def test_an_interrupted_start_leaves_nothing(sandbox, monkeypatch, tmp_path):
    """Ctrl-C during the start: the process is stopped and the folder removed."""
    unshare = program(tmp_path / "bin", "unshare", "exec sleep 600")
    monkeypatch.setattr(commands, "unshare_command", lambda: [str(unshare)])
    monkeypatch.setattr(commands, "STOP_WITHIN_S", 0.5)

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Sandbox, "state", lambda _: SandboxState(step="etcd"))
    started = []
    real = commands.start_init
    monkeypatch.setattr(commands, "start_init", lambda *a, **k: started.append(real(*a, **k)) or started[-1])
    with pytest.raises(KeyboardInterrupt):
        sandbox.up(config_of(sandbox), say=interrupt, attached=True)
    assert started[0].poll() is not None
    assert not sandbox.folder.exists()


@pytest.mark.parametrize(
    "stderr", ["Error: Could not process rule: Operation not supported\nadd table ip x\n^^^^", "netlink: No such file"]
)
def test_a_kernel_without_nftables_is_one_message(sandbox, monkeypatch, tmp_path, stderr):
    """The message has the first line of `nft`'s error and a solution."""
    tools = {
        "ip": program(tmp_path / "bin", "ip", "cat > /dev/null"),
        "nft": program(tmp_path / "bin", "nft", f"printf '%s\\n' '{stderr}' >&2; exit 1"),
    }
    monkeypatch.setattr(network, "_SYSCTLS", {})
    with pytest.raises(StackError) as raised:
        network.set_up_network(config_of(sandbox, **tools))
    first_line = stderr.splitlines()[0]
    assert str(raised.value) == (
        f"the sandbox needs nftables in the kernel ({first_line}): "
        "load the module nf_tables (`modprobe nf_tables`) or use kernel 5.13 or later, and try again"
    )


def test_the_socket_proxy_works_in_a_folder_of_any_depth(tmp_path):
    """The path of the socket has 400 bytes, while the kernel allows 107 in an address."""
    folder = tmp_path.joinpath(*["deep" * 10] * 10)
    folder.mkdir(parents=True)

    async def connect() -> bytes:
        server = await asyncio.start_server(lambda _, writer: (writer.write(b"here"), writer.close()), "127.0.0.1", 0)
        proxy = SocketProxy(folder / "gate.sock")
        await proxy.open()
        port = server.sockets[0].getsockname()[1]
        try:
            with await asyncio.to_thread(Sandbox(folder).connect, f"127.0.0.1:{port}") as connection:
                return await asyncio.to_thread(read_all, connection)
        finally:
            proxy.close()
            server.close()

    assert asyncio.run(connect()) == b"here"


def read_all(connection: socket.socket) -> bytes:
    connection.settimeout(30)
    return b"".join(iter(lambda: connection.recv(100), b""))
