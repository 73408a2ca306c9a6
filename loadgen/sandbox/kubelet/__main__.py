"""Runs the kubelet of one node: `python -m loadgen.sandbox.kubelet CONFIG.json`; SIGTERM shuts it down."""

import asyncio
import contextlib
import fcntl
import logging
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from loadgen.base.errors import ExitCode, LoadgenError
from loadgen.base.processes import adopt_orphans
from loadgen.sandbox.kubelet.api_client import ApiClient
from loadgen.sandbox.kubelet.config import KubeletConfig, read_config
from loadgen.sandbox.kubelet.container import launcher
from loadgen.sandbox.kubelet.container.images import ImageStore, ImageTable
from loadgen.sandbox.kubelet.container.memory_limits import MemoryLimiter
from loadgen.sandbox.kubelet.context import NodeContext
from loadgen.sandbox.kubelet.events import Events
from loadgen.sandbox.kubelet.network import AddressPool
from loadgen.sandbox.kubelet.node import Node
from loadgen.sandbox.kubelet.pods import Pods
from loadgen.sandbox.kubelet.streams.server import Server

_FLUSH_S = 2.0


def main(arguments: list[str]) -> int:
    """Run the kubelet of a configuration file until SIGTERM; return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        if len(arguments) != 1:
            raise LoadgenError("name one configuration file: python -m loadgen.sandbox.kubelet CONFIG.json")
        config = read_config(Path(arguments[0]))
        memory = _prepare_folders(config)
        adopt_orphans()  # the launcher of a container exits, and the container becomes a child of this process
        asyncio.run(_run(config, memory))
    except LoadgenError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    return int(ExitCode.PASS)


def _prepare_folders(config: KubeletConfig) -> Path:
    """Lock and create the node's folders, remove those of earlier pods, and mount a tmpfs; return its folder."""
    config.data_dir.mkdir(parents=True, exist_ok=True)
    lock = os.open(config.data_dir / "lock", os.O_CREAT | os.O_RDWR, 0o600)  # stays open until this process exits
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise LoadgenError(f"another kubelet runs node {config.node} in {config.data_dir}; stop it first") from error
    shutil.rmtree(config.data_dir / "pods", ignore_errors=True)
    memory = config.data_dir.resolve() / "memory"
    for folder in (config.data_dir / "pods", config.data_dir / "root", memory, config.logs_dir, config.volumes_dir):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        launcher.make_mounts_private(str(memory))
    except launcher.LaunchError as error:
        raise LoadgenError(f"the kubelet needs root or its own user namespace ({error}); see the README") from error
    return memory


async def _run(config: KubeletConfig, memory: Path) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with ApiClient(config) as api:
        events = Events(api, config.node)
        node_context = NodeContext(
            config=config,
            api=api,
            events=events,
            image_table=ImageTable(config.images_file),
            images=ImageStore(config.image_pull_s),
            addresses=AddressPool(config.pod_cidr),
            memory_limiter=MemoryLimiter(),
            memory=memory,
            root=config.data_dir / "root",
        )
        node, pods = Node(config, api, events), Pods(node_context)
        server = Server(node_context, pods)
        await server.start()
        registering = asyncio.create_task(node.register())
        stopping = asyncio.create_task(stop.wait())
        background = (events.run(), node_context.memory_limiter.run())
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(each) for each in background]
        try:
            await asyncio.wait({registering, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if registering.done():
                registering.result()
                logging.info("node %s is registered, process %d", config.node, os.getpid())
                tasks += [asyncio.create_task(each) for each in (node.renew_lease(), node.keep_ready(), pods.run())]
                await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    if task.done():
                        task.result()
        finally:
            await pods.stop()
            await events.flush(_FLUSH_S)
            await server.stop()
            for task in [*tasks, registering, stopping]:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks, registering, stopping, return_exceptions=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
