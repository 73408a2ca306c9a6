"""Run one node: `python -m loadgen.sandbox.kubelet CONFIG.json`; SIGTERM ends it in order."""

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
from loadgen.sandbox.kubelet.api import Api
from loadgen.sandbox.kubelet.config import KubeletConfig, read_config
from loadgen.sandbox.kubelet.container import launcher as container
from loadgen.sandbox.kubelet.container.images import ImageStore, ImageTable
from loadgen.sandbox.kubelet.container.memory import MemoryWatch
from loadgen.sandbox.kubelet.context import NodeRoom
from loadgen.sandbox.kubelet.events import Events
from loadgen.sandbox.kubelet.network import Addresses
from loadgen.sandbox.kubelet.node import Node
from loadgen.sandbox.kubelet.pods import Pods
from loadgen.sandbox.kubelet.streams.server import Server

_FLUSH_S = 2.0


def main(arguments: list[str]) -> int:
    """Run the node of a configuration file until SIGTERM; the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        if len(arguments) != 1:
            raise LoadgenError("name one configuration file: python -m loadgen.sandbox.kubelet CONFIG.json")
        config = read_config(Path(arguments[0]))
        memory = _own_folders(config)
        adopt_orphans()  # a container's first process is started by a launcher that ends, and becomes our child
        asyncio.run(_run(config, memory))
    except LoadgenError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    return int(ExitCode.PASS)


def _own_folders(config: KubeletConfig) -> Path:
    """The node's folders, empty of what pods of a former process left, and a tmpfs of our own."""
    config.data_dir.mkdir(parents=True, exist_ok=True)
    lock = os.open(config.data_dir / "lock", os.O_CREAT | os.O_RDWR, 0o600)  # held open as long as this process lives
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise LoadgenError(f"another kubelet runs node {config.node} in {config.data_dir}; end it first") from error
    shutil.rmtree(config.data_dir / "pods", ignore_errors=True)
    memory = config.data_dir.resolve() / "memory"
    for folder in (config.data_dir / "pods", config.data_dir / "root", memory, config.logs_dir, config.volumes_dir):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        container.own_mounts(str(memory))
    except container.Fault as fault:
        raise LoadgenError(
            f"the kubelet needs a user namespace of its own or root ({fault}); see the README"
        ) from fault
    return memory


async def _run(config: KubeletConfig, memory: Path) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Api(config) as api:
        events = Events(api, config.node)
        room = NodeRoom(
            config=config,
            api=api,
            events=events,
            table=ImageTable(config.images_file),
            images=ImageStore(config.image_pull_s),
            addresses=Addresses(config.pod_cidr),
            memory_watch=MemoryWatch(),
            memory=memory,
            root=config.data_dir / "root",
        )
        node, pods = Node(config, api, events), Pods(room)
        server = Server(room, pods)
        await server.start()
        registering = asyncio.create_task(node.register())
        stopping = asyncio.create_task(stop.wait())
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(each) for each in (events.run(), room.memory_watch.run())]
        try:
            await asyncio.wait({registering, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if registering.done():
                registering.result()
                logging.info("node %s is registered, process %d", config.node, os.getpid())
                tasks += [asyncio.create_task(each) for each in (node.renew_lease(), node.stay_ready(), pods.run())]
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
