"""The plane: brings a sandbox's control plane up inside its world, keeps it, and ends it.

    python -m loadgen.sandbox.plane.plane CONFIG

It alone writes `state.json`. It ends in order on SIGTERM; whatever it leaves is ended by the kernel with process 1.
"""

import asyncio
import contextlib
import errno
import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from loadgen.base.errors import ExitCode, LoadgenError, StackError
from loadgen.sandbox.config import API_SERVER, PartState, SandboxConfig, SandboxState
from loadgen.sandbox.gate import Gate
from loadgen.sandbox.plane import control_plane as commands
from loadgen.sandbox.plane.addons import deploy
from loadgen.sandbox.plane.inside import kubectl
from loadgen.sandbox.plane.network import lay_network
from loadgen.sandbox.plane.nodes import Nodes
from loadgen.sandbox.plane.parts import Part

_WRITE_EVERY_S = 1.0
_ACCOUNT_WITHIN_S = 60.0
_ACCOUNT_POLL_S = 0.2
_log = logging.getLogger("loadgen.sandbox.plane.plane")


class Plane:
    """All parts of one sandbox, from nothing to ready to gone."""

    def __init__(self, config: SandboxConfig) -> None:
        self._config = config
        self._logs = config.folder / "logs"
        self._parts: list[Part] = []
        self._state = SandboxState()
        self._nodes: Nodes | None = None
        self._gate = Gate(config.folder / "gate.sock")

    async def run(self) -> None:
        """Bring everything up, then look after it until cancelled.

        Raises:
            StackError: a part does not start; the sentence names it and holds the end of its log.
        """
        config = self._config
        self._logs.mkdir(parents=True, exist_ok=True)
        self._say("certificates and network")
        own = commands.credentials(config)
        for user, pair in (("admin", own.admin), *own.users.items()):
            (config.folder / f"{user}.conf").write_text(commands.kubeconfig(own.ca.pair, pair))
        lay_network(config)
        await self._gate.open()
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as session,
            asyncio.TaskGroup() as group,
        ):

            async def start(part: Part) -> None:
                self._parts.append(part)
                await part.start(session)
                group.create_task(part.watch(session, _log.warning))

            self._say("etcd")
            await start(self._part("etcd", commands.etcd(config), "http://127.0.0.1:2379/health"))
            self._say("kube-apiserver")
            await start(self._part("kube-apiserver", commands.api_server(config, own), f"{API_SERVER}/readyz"))
            self._say("controllers, scheduler, nodes")
            self._nodes = nodes = Nodes(config, own, logs=self._logs)
            await asyncio.gather(
                nodes.start(_log.info),
                start(
                    self._part(
                        "kube-controller-manager",
                        commands.controller_manager(config, own),
                        "https://127.0.0.1:10257/healthz",
                    )
                ),
                start(self._part("kube-scheduler", commands.scheduler(config), "https://127.0.0.1:10259/healthz")),
            )
            if config.nodes:
                group.create_task(nodes.watch(_log.warning))
                env = {**os.environ, "PATH": f"{config.tools['nft'].parent}:{os.environ.get('PATH', '')}"}
                await start(self._part("kube-proxy", commands.proxy(config), "http://127.0.0.1:10256/healthz", env))
            if config.addons:
                await deploy(config, self._say)
            await _until_pods_are_let_in(config)
            self._state = self._state.model_copy(update={"phase": "ready", "doing": ""})
            while True:
                self._write()
                await asyncio.sleep(_WRITE_EVERY_S)

    async def shut_down(self, error: str | None) -> None:
        """End all parts; the last state tells why."""
        self._state = self._state.model_copy(update={"phase": "stopping", "error": error})
        with contextlib.suppress(OSError):  # a full disk does not keep the rest from ending
            self._write()
        self._gate.close()
        if self._nodes is not None:
            await self._nodes.stop()
        for part in reversed(self._parts):
            await part.stop()
        self._state = self._state.model_copy(update={"phase": "failed" if error else "stopped"})
        with contextlib.suppress(OSError):
            self._write()

    def _part(self, name: str, command: list[str | Path], health: str, env: Mapping[str, str] | None = None) -> Part:
        return Part(name, command, health=health, logs=self._logs, env=env)

    def _say(self, doing: str) -> None:
        self._state = self._state.model_copy(update={"doing": doing})
        self._write()
        _log.info("%s", doing)

    def _write(self) -> None:
        parts = [
            PartState(name=part.name, pid=part.pid, restarts=part.restarts, death=part.death) for part in self._parts
        ]
        if self._nodes is not None:
            parts += self._nodes.states()
        self._state = self._state.model_copy(update={"parts": tuple(parts)})
        self._state.write(self._config.folder)


async def _until_pods_are_let_in(config: SandboxConfig) -> None:
    """Wait for the account that pods run as: a moment after the controllers began, and no pod is let in without it."""
    deadline = asyncio.get_running_loop().time() + _ACCOUNT_WITHIN_S
    while not await kubectl(config, "get", "serviceaccounts", "--namespace=default", "--output=name"):
        if asyncio.get_running_loop().time() > deadline:
            raise StackError(
                f"the controllers made no service account: read kube-controller-manager.log of {config.folder / 'logs'}"
            )
        await asyncio.sleep(_ACCOUNT_POLL_S)


async def serve(config: SandboxConfig) -> ExitCode:
    """Run the plane until a signal or a fault that it cannot mend."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    plane = Plane(config)
    running, asked = asyncio.create_task(plane.run()), asyncio.create_task(stop.wait())
    await asyncio.wait({running, asked}, return_when=asyncio.FIRST_COMPLETED)
    running.cancel()
    error = None
    try:
        await running
    except asyncio.CancelledError:
        pass
    except BaseExceptionGroup as several:
        error = _sentence(several.exceptions[0], config)
    except Exception as fault:
        error = _sentence(fault, config)
    asked.cancel()
    if error:
        _log.error("%s", error)
    await plane.shut_down(error)
    return ExitCode.TOOL if error else ExitCode.PASS


def _sentence(error: BaseException, config: SandboxConfig) -> str:
    if isinstance(error, LoadgenError):
        return str(error)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"the disk that holds {config.folder} is full: free 1 GB there, and try again"
    _log.error("a fault of the sandbox itself", exc_info=error)
    return f"the sandbox has a fault of its own ({error!r}): report it with {config.folder / 'logs'}"


def main(file: str) -> int:
    """Entry point."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    return asyncio.run(serve(SandboxConfig.model_validate_json(Path(file).read_bytes())))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
