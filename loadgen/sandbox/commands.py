"""Starts and stops a sandbox, runs commands in it and connects to addresses inside it, all from outside."""

import contextlib
import os
import shutil
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from loadgen.base.console import Say
from loadgen.base.errors import SettingsError, StackError
from loadgen.base.log_tail import log_tail
from loadgen.base.processes import Child, alive
from loadgen.programs.cache import cache_dir, explain_disk_errors, require_space
from loadgen.sandbox.config import Node, SandboxConfig, SandboxHolder, SandboxState
from loadgen.sandbox.namespaces import init_pid, nsenter_command, start_init, unshare_command
from loadgen.sandbox.socket_proxy import socket_address

INSIDE = "LOADGEN_SANDBOX"
"""Environment variable with the name of the sandbox, set for processes inside it."""

READY_WITHIN_S = 180.0
STOP_WITHIN_S = 40.0
_POLL_S = 0.1
_NEEDS_BYTES = 1_000_000_000

DEFAULT_NODES = (
    Node(name="gpu-1", gpu_product="NVIDIA-H100-80GB-HBM3", gpus=4),
    Node(name="gpu-2", gpu_product="NVIDIA-H100-80GB-HBM3", gpus=4),
)


class Sandbox:
    """A sandbox, started by this process or another one.

    Attributes:
        folder: Folder of the sandbox.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._unshare: Child | None = None

    @classmethod
    def named(cls, name: str) -> "Sandbox":
        """Return this user's sandbox with a name, whether it is up or not."""
        return cls(_folders() / name)

    @classmethod
    def all(cls) -> "list[Sandbox]":
        """Return this user's sandboxes, up or not."""
        return [cls(folder) for folder in _folders().glob("*")]

    @property
    def name(self) -> str:
        """Name of the sandbox."""
        return self.folder.name

    def state(self) -> SandboxState | None:
        """Return the last written state; None if there is none."""
        return SandboxState.read(self.folder)

    def holder(self) -> int | None:
        """Return the process id of its `unshare` process, which holds the namespaces; None when it is not up."""
        saved = SandboxHolder.read(self.folder)
        if saved is None or not alive(saved.pid) or _start_time(saved.pid) != saved.started:
            return None
        return saved.pid

    def up(self, config: SandboxConfig, *, say: Say, attached: bool) -> Child:
        """Start the sandbox and wait until it is ready.

        Args:
            config: Configuration of the sandbox, with the folder of this one.
            say: Called with each step of the start-up.
            attached: Whether the sandbox ends with this process.

        Returns:
            The `unshare` process that holds the namespaces.

        Raises:
            SettingsError: a sandbox with this name is already up.
            StackError: it did not become ready; only its logs are left, which the message names.
        """
        if self.holder() is not None:
            raise SettingsError(
                f"a sandbox {self.name!r} is already up: use it, stop it with `loadgen sandbox down`, "
                "or choose another --name"
            )
        command = unshare_command()
        try:
            with explain_disk_errors(self.folder.parent, _NEEDS_BYTES):
                self._make_folder(config)
                log = self.folder / "logs" / "plane.log"
                self._unshare = unshare = start_init(command, config.file, log=log, attached=attached)
                started = _start_time(unshare.pid)
                SandboxHolder(pid=unshare.pid, started=started, of_run=config.of_run).write(self.folder)
            self._wait_until_ready(unshare, say)
        except StackError:
            self._stop()
            self.remove_all_but_logs()
            raise
        except BaseException:
            self.down()
            raise
        return unshare

    def _make_folder(self, config: SandboxConfig) -> None:
        if self.folder.exists() and not self._is_durable():
            shutil.rmtree(self.folder)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        require_space(self.folder.parent, _NEEDS_BYTES)
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)
        SandboxState.file(self.folder).unlink(missing_ok=True)
        config.write()

    def down(self) -> None:
        """Stop the sandbox, gracefully if possible, and remove its folder unless it is durable."""
        self._stop()
        if not self._is_durable():
            shutil.rmtree(self.folder, ignore_errors=True)

    def remove_all_but_logs(self) -> None:
        """Remove the folder of a failed sandbox except for its logs, unless it is durable."""
        if self._is_durable():
            return
        logs = self.folder / "logs"
        if not logs.is_dir() or not any(logs.iterdir()):
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        for path in self.folder.iterdir():
            if path.is_dir() and path != logs:
                shutil.rmtree(path, ignore_errors=True)
            elif path not in (logs, SandboxHolder.file(self.folder)):  # with it a later run finds and removes the rest
                path.unlink(missing_ok=True)

    def exit_reason(self) -> str:
        """Return why a sandbox that was not stopped has exited."""
        state, log = self.state(), self.folder / "logs" / "plane.log"
        return f"the sandbox has exited: {state.error if state and state.error else f'{log_tail(log)}; see {log}'}"

    def _stop(self) -> None:
        holder = self.holder()
        if holder is not None:
            init = init_pid(holder)
            if init is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(init, signal.SIGTERM)
            deadline = time.monotonic() + STOP_WITHIN_S
            while alive(holder) and time.monotonic() < deadline:
                if self._unshare is not None:
                    self._unshare.poll()  # reaps it when it is a child of this process
                time.sleep(_POLL_S)
            if alive(holder):
                os.kill(holder, signal.SIGKILL)
        if self._unshare is not None:
            self._unshare.stop(0.0)
            self._unshare = None

    def delete(self) -> None:
        """Stop the sandbox and remove its folder, even if it is durable."""
        self.down()
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs another one inside, with KUBECONFIG set and kubectl and helm on PATH.

        Raises:
            StackError: the sandbox is not up.
        """
        holder = self.holder()
        init = init_pid(holder) if holder is not None else None
        if init is None:
            raise StackError(f"the sandbox {self.name!r} is not up: start it with `loadgen sandbox up`")
        tools = SandboxConfig.read(self.folder).tools
        path = f"{tools['kubectl'].parent}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        env = shutil.which("env") or "/usr/bin/env"
        return [*nsenter_command(init), "--", env, f"KUBECONFIG={self.folder / 'admin.conf'}", f"PATH={path}", *argv]

    def exec(self, argv: Sequence[str]) -> NoReturn:
        """Replace this process by a command inside the sandbox.

        Raises:
            StackError: the sandbox is not up.
        """
        command = self.command(argv)
        os.execv(command[0], command)  # noqa: S606 - the user's own command

    def connect(self, address: str) -> socket.socket:
        """Connect from outside to `host:port` inside the sandbox.

        Raises:
            StackError: the sandbox is not up, or the address does not accept connections.
        """
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(10.0)
        try:
            with socket_address(self.folder / "gate.sock") as proxy:
                connection.connect(proxy)
            connection.sendall(f"{address}\n".encode())
            answer = b""
            while not answer.endswith(b"\n"):
                byte = connection.recv(1)
                if not byte:
                    break
                answer += byte
        except OSError as error:
            connection.close()
            raise StackError(f"the sandbox {self.name!r} does not answer ({error}): is it up?") from error
        if answer != b"ok\n":
            connection.close()
            reason = answer.decode(errors="replace").strip()
            raise StackError(f"cannot connect to {address} inside the sandbox: {reason}")
        connection.settimeout(None)
        return connection

    def _is_durable(self) -> bool:
        try:
            return SandboxConfig.read(self.folder).durable
        except (OSError, ValueError):
            return False

    def _wait_until_ready(self, unshare: Child, say: Say) -> None:
        step = ""
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            state = self.state()
            if state is not None:
                if state.step and state.step != step:
                    step = state.step
                    say(f"sandbox: {step}")
                if state.error:
                    raise StackError(state.error)
                if state.phase == "ready":
                    return
            code = unshare.poll()
            if code is not None:
                raise StackError(
                    f"the sandbox exited with {code} while it started: {log_tail(unshare.log)}; see {unshare.log}"
                )
            if time.monotonic() > deadline:
                raise StackError(f"the sandbox was not ready within {READY_WITHIN_S:g} s: read {self.folder / 'logs'}")
            time.sleep(_POLL_S)


def _folders() -> Path:
    return cache_dir() / "sandboxes"


def _start_time(pid: int) -> str:
    """Return the start time of a process, which tells it from later processes with the same id."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
