"""Starts the control plane of a sandbox inside the sandbox's namespaces, keeps it running, and shuts it down.

    python -m loadgen.sandbox.plane.control_plane CONFIG

It is the only writer of `state.json`. SIGTERM shuts it down; the kernel kills the remaining processes with process 1.
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
from loadgen.sandbox.config import API_SERVER, ComponentState, SandboxConfig, SandboxState
from loadgen.sandbox.plane import command_lines
from loadgen.sandbox.plane.addons import deploy
from loadgen.sandbox.plane.component import Component
from loadgen.sandbox.plane.credentials import issue_credentials, kubeconfig
from loadgen.sandbox.plane.kubectl import kubectl
from loadgen.sandbox.plane.network import set_up_network
from loadgen.sandbox.plane.nodes import Nodes
from loadgen.sandbox.socket_proxy import SocketProxy

_WRITE_EVERY_S = 1.0
_ACCOUNT_WITHIN_S = 60.0
_ACCOUNT_POLL_S = 0.2
_LOG = logging.getLogger("loadgen.sandbox.plane.control_plane")


class ControlPlane:
    """All components, nodes and add-ons of a sandbox."""

    def __init__(self, config: SandboxConfig) -> None:
        self._config = config
        self._logs = config.folder / "logs"
        self._components: list[Component] = []
        self._state = SandboxState()
        self._nodes: Nodes | None = None
        self._proxy = SocketProxy(config.folder / "gate.sock")

    async def run(self) -> None:
        """Start everything, then restart components that exit until cancelled.

        Raises:
            StackError: a component does not start; the message includes the end of its log.
        """
        config = self._config
        self._logs.mkdir(parents=True, exist_ok=True)
        self._set_step("certificates and network")
        credentials = issue_credentials(config)
        for user, pair in (("admin", credentials.admin), *credentials.users.items()):
            (config.folder / f"{user}.conf").write_text(kubeconfig(credentials.ca.pair, pair))
        set_up_network(config)
        await self._proxy.open()
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as session,
            asyncio.TaskGroup() as group,
        ):

            async def start(
                name: str, command: list[str | Path], health: str, env: Mapping[str, str] | None = None
            ) -> None:
                component = Component(name, command, health=health, logs=self._logs, env=env)
                self._components.append(component)
                await component.start(session)
                group.create_task(component.watch(session, _LOG.warning))

            self._set_step("etcd")
            await start("etcd", command_lines.etcd(config), "http://127.0.0.1:2379/health")
            self._set_step("kube-apiserver")
            await start("kube-apiserver", command_lines.api_server(config, credentials), f"{API_SERVER}/readyz")
            self._set_step("controllers, scheduler, nodes")
            self._nodes = nodes = Nodes(config, credentials, logs=self._logs)
            await asyncio.gather(
                nodes.start(_LOG.info),
                start(
                    "kube-controller-manager",
                    command_lines.controller_manager(config, credentials),
                    "https://127.0.0.1:10257/healthz",
                ),
                start("kube-scheduler", command_lines.scheduler(config), "https://127.0.0.1:10259/healthz"),
            )
            if config.nodes:
                group.create_task(nodes.watch(_LOG.warning))
                env = {**os.environ, "PATH": f"{config.tools['nft'].parent}:{os.environ.get('PATH', '')}"}
                await start("kube-proxy", command_lines.proxy(config), "http://127.0.0.1:10256/healthz", env)
            if config.addons:
                await deploy(config, self._set_step)
            await _wait_for_default_service_account(config)
            self._state = self._state.model_copy(update={"phase": "ready", "step": ""})
            while True:
                self._write_state()
                await asyncio.sleep(_WRITE_EVERY_S)

    async def shut_down(self, error: str | None) -> None:
        """Stop everything and write the last state with the error, if any."""
        self._state = self._state.model_copy(update={"phase": "stopping", "error": error})
        with contextlib.suppress(OSError):  # a full disk must not prevent the shutdown
            self._write_state()
        self._proxy.close()
        if self._nodes is not None:
            await self._nodes.stop()
        for component in reversed(self._components):
            await component.stop()
        self._state = self._state.model_copy(update={"phase": "failed" if error else "stopped"})
        with contextlib.suppress(OSError):
            self._write_state()

    def _set_step(self, step: str) -> None:
        self._state = self._state.model_copy(update={"step": step})
        self._write_state()
        _LOG.info("%s", step)

    def _write_state(self) -> None:
        states = [
            ComponentState(name=each.name, pid=each.pid, restarts=each.restarts, exit_message=each.exit_message)
            for each in self._components
        ]
        if self._nodes is not None:
            states += self._nodes.states()
        self._state = self._state.model_copy(update={"components": tuple(states)})
        self._state.write(self._config.folder)


async def _wait_for_default_service_account(config: SandboxConfig) -> None:
    """Wait until the controllers have created the service account without which no pod is admitted."""
    deadline = asyncio.get_running_loop().time() + _ACCOUNT_WITHIN_S
    while not await kubectl(config, "get", "serviceaccounts", "--namespace=default", "--output=name"):
        if asyncio.get_running_loop().time() > deadline:
            raise StackError(
                "the controllers did not create the default service account: "
                f"read kube-controller-manager.log in {config.folder / 'logs'}"
            )
        await asyncio.sleep(_ACCOUNT_POLL_S)


async def serve(config: SandboxConfig) -> ExitCode:
    """Run the control plane until SIGTERM, SIGINT or an error."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    plane = ControlPlane(config)
    running, stopping = asyncio.create_task(plane.run()), asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    running.cancel()
    message = None
    try:
        await running
    except asyncio.CancelledError:
        pass
    except BaseExceptionGroup as group:
        message = _error_message(group.exceptions[0], config)
    except Exception as error:
        message = _error_message(error, config)
    stopping.cancel()
    if message:
        _LOG.error("%s", message)
    await plane.shut_down(message)
    return ExitCode.TOOL if message else ExitCode.PASS


def _error_message(error: BaseException, config: SandboxConfig) -> str:
    if isinstance(error, LoadgenError):
        return str(error)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"the disk that holds {config.folder} is full: free 1 GB there, and try again"
    _LOG.error("internal error", exc_info=error)
    return f"internal error of the sandbox ({error!r}): report it with the logs in {config.folder / 'logs'}"


def main(file: str) -> int:
    """Run the control plane of a configuration file; return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    return asyncio.run(serve(SandboxConfig.model_validate_json(Path(file).read_bytes())))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
