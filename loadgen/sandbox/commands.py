"""What a person does with a sandbox: up, down, exec, and a way to an address inside. Nothing here runs inside."""

import contextlib
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from loadgen.base.errors import SettingsError, StackError
from loadgen.base.files import write_whole
from loadgen.base.log_tail import log_tail
from loadgen.base.processes import Child, alive
from loadgen.programs.cache import cache_dir, explain_disk_errors, require_space
from loadgen.sandbox.config import Node, SandboxConfig, SandboxState
from loadgen.sandbox.gate import address_of
from loadgen.sandbox.world import create, entry, first_process, way_in

INSIDE = "LOADGEN_SANDBOX"
"""Environment variable that names the sandbox to the processes inside it."""

READY_WITHIN_S = 180.0
STOP_WITHIN_S = 40.0
_POLL_S = 0.1
_NEEDS_BYTES = 1_000_000_000

DEFAULT_NODES = (
    Node(name="gpu-1", gpu_product="NVIDIA-H100-80GB-HBM3", gpus=4),
    Node(name="gpu-2", gpu_product="NVIDIA-H100-80GB-HBM3", gpus=4),
)

Say = Callable[[str], None]


class Sandbox:
    """A sandbox by its folder, whoever started it.

    Attributes:
        folder: Its folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._holder = folder / "holder.json"
        self._world: Child | None = None

    @classmethod
    def named(cls, name: str) -> "Sandbox":
        """The sandbox of that name of this user."""
        return cls(cache_dir() / "sandboxes" / name)

    @property
    def name(self) -> str:
        """Its name."""
        return self.folder.name

    def state(self) -> SandboxState | None:
        """What it last said of itself."""
        return SandboxState.read(self.folder)

    def holder(self) -> int | None:
        """Process id of the `unshare` that holds its world; None when it is not up."""
        try:
            held = json.loads(self._holder.read_bytes())
        except (OSError, ValueError):
            return None
        same = alive(held["pid"]) and _started(held["pid"]) == held["started"]
        return int(held["pid"]) if same else None

    def up(self, config: SandboxConfig, *, say: Say, attached: bool) -> Child:
        """Start it and wait until everything serves.

        Args:
            config: What it is made of; its folder is this one.
            say: Told what the start-up does.
            attached: Whether it ends with this process.

        Raises:
            SettingsError: a sandbox of this name is up.
            StackError: it does not come up; nothing of it is left but the logs that the sentence names.
        """
        if self.holder() is not None:
            raise SettingsError(
                f"a sandbox {self.name!r} is up already: use it, end it with `loadgen sandbox down`, "
                "or choose another --name"
            )
        way = way_in()
        try:
            with explain_disk_errors(self.folder.parent, _NEEDS_BYTES):
                self._make_folder(config)
                log = self.folder / "logs" / "plane.log"
                self._world = world = create(way, config.file, log=log, attached=attached)
                held = {"pid": world.pid, "started": _started(world.pid)}
                write_whole(self._holder, json.dumps(held).encode())
            self._wait(world, say)
        except StackError:
            self._end()
            self.leave_logs()
            raise
        except BaseException:
            self.down()
            raise
        return world

    def _make_folder(self, config: SandboxConfig) -> None:
        if self.folder.exists() and not self._kept():
            shutil.rmtree(self.folder)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        require_space(self.folder.parent, _NEEDS_BYTES)
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)
        SandboxState.file(self.folder).unlink(missing_ok=True)
        config.write()

    def down(self) -> None:
        """End it: in order within its time, else at once; what it holds on disk goes unless it is to be kept."""
        self._end()
        if not self._kept():
            shutil.rmtree(self.folder, ignore_errors=True)

    def leave_logs(self) -> None:
        """Remove what serves nobody once it has failed: all but the logs, which a sentence names."""
        if self._kept():
            return
        logs = self.folder / "logs"
        if not logs.is_dir() or not any(logs.iterdir()):
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        for path in self.folder.iterdir():
            if path.is_dir() and path != logs:
                shutil.rmtree(path, ignore_errors=True)
            elif path not in (logs, self._holder):  # by its holder a later run knows that nobody needs it
                path.unlink(missing_ok=True)

    def why_gone(self) -> str:
        """What a sandbox that ended by itself said last."""
        state, log = self.state(), self.folder / "logs" / "plane.log"
        return f"the sandbox is gone: {state.error if state and state.error else f'{log_tail(log)}; see {log}'}"

    def _end(self) -> None:
        holder = self.holder()
        if holder is not None:
            init = first_process(holder)
            if init is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(init, signal.SIGTERM)
            deadline = time.monotonic() + STOP_WITHIN_S
            while alive(holder) and time.monotonic() < deadline:
                if self._world is not None:
                    self._world.poll()  # buries it when it is our child
                time.sleep(_POLL_S)
            if alive(holder):
                os.kill(holder, signal.SIGKILL)
        if self._world is not None:
            self._world.stop(0.0)
            self._world = None

    def delete(self) -> None:
        """End it and remove what it holds on disk, also when it was to be kept."""
        self.down()
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs another one inside, with KUBECONFIG and kubectl and helm on PATH.

        Raises:
            StackError: it is not up.
        """
        holder = self.holder()
        init = first_process(holder) if holder is not None else None
        if init is None:
            raise StackError(f"no sandbox {self.name!r} is up: start it with `loadgen sandbox up`")
        tools = SandboxConfig.model_validate_json((self.folder / "config.json").read_bytes()).tools
        path = f"{tools['kubectl'].parent}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        env = shutil.which("env") or "/usr/bin/env"
        return [*entry(init), "--", env, f"KUBECONFIG={self.folder / 'admin.conf'}", f"PATH={path}", *argv]

    def exec(self, argv: Sequence[str]) -> NoReturn:
        """Become a command inside.

        Raises:
            StackError: it is not up.
        """
        command = self.command(argv)
        os.execv(command[0], command)  # noqa: S606 - this process becomes what the user asked for

    def connect(self, address: str) -> socket.socket:
        """A connection to `host:port` inside, from outside.

        Raises:
            StackError: nothing answers there.
        """
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(10.0)
        try:
            with address_of(self.folder / "gate.sock") as gate:
                connection.connect(gate)
            connection.sendall(f"{address}\n".encode())
            said = b""
            while not said.endswith(b"\n"):
                more = connection.recv(1)
                if not more:
                    break
                said += more
        except OSError as error:
            connection.close()
            raise StackError(f"the sandbox {self.name!r} does not answer ({error}): is it up?") from error
        if said != b"ok\n":
            connection.close()
            raise StackError(
                f"nothing answers at {address} inside the sandbox: {said.decode(errors='replace').strip()}"
            )
        connection.settimeout(None)
        return connection

    def _kept(self) -> bool:
        try:
            return SandboxConfig.model_validate_json((self.folder / "config.json").read_bytes()).durable
        except (OSError, ValueError):
            return False

    def _wait(self, world: Child, say: Say) -> None:
        said = ""
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            state = self.state()
            if state is not None:
                if state.doing and state.doing != said:
                    said = state.doing
                    say(f"sandbox: {said}")
                if state.error:
                    raise StackError(state.error)
                if state.phase == "ready":
                    return
            code = world.poll()
            if code is not None:
                raise StackError(
                    f"the sandbox ended with {code} while it started: {log_tail(world.log)}; see {world.log}"
                )
            if time.monotonic() > deadline:
                raise StackError(f"the sandbox was not ready within {READY_WITHIN_S:g} s: read {self.folder / 'logs'}")
            time.sleep(_POLL_S)


def _started(pid: int) -> str:
    """When a process started, as /proc says: with it a process id is never another process's."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
