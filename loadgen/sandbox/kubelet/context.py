"""What a node's kubelet shares among its pods, and what a pod shares among its containers."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from loadgen.sandbox.kubelet.api import Api
from loadgen.sandbox.kubelet.config import KubeletConfig
from loadgen.sandbox.kubelet.container import launcher as launcher
from loadgen.sandbox.kubelet.container.images import ImageStore, ImageTable
from loadgen.sandbox.kubelet.container.memory import MemoryWatch
from loadgen.sandbox.kubelet.container.process import Process, StartError, Wire, hold_namespaces, start_inside
from loadgen.sandbox.kubelet.downward_api import Place
from loadgen.sandbox.kubelet.events import Events
from loadgen.sandbox.kubelet.meta import Json, is_host_network, uid_of
from loadgen.sandbox.kubelet.network import Addresses, PodWire, pod_batch
from loadgen.sandbox.kubelet.status.states import PodState
from loadgen.sandbox.kubelet.volumes.projection import host_name, hosts_file, read_resolv_conf, resolv_conf
from loadgen.sandbox.kubelet.volumes.volumes import Volumes, memory_folder

SHM_BYTES = 64 * 2**20
_OUTPUT_BYTES = 64 * 1024


@dataclass(slots=True, kw_only=True)
class NodeRoom:
    """What all pods of the node share.

    Attributes:
        config: The node.
        api: The API server.
        events: Where events go.
        table: What stands for which image.
        images: What of them the node has.
        addresses: The pods' addresses.
        memory_watch: Watches limits.
        memory: Folder on a tmpfs that only this kubelet and its containers see.
        root: Folder that containers mount their root on.
    """

    config: KubeletConfig
    api: Api
    events: Events
    table: ImageTable
    images: ImageStore
    addresses: Addresses
    memory_watch: MemoryWatch
    memory: Path
    root: Path


@dataclass(slots=True, kw_only=True)
class PodRoom:
    """What the containers of a pod share: namespaces, network, volumes, files.

    Attributes:
        node: What its node shares.
        pod: The pod as the API has it.
        state: What is known of its containers.
        changed: Called whenever its status may have changed.
        volumes: Its volumes.
    """

    node: NodeRoom
    pod: Json
    state: PodState
    changed: Callable[[], None]
    volumes: Volumes = field(init=False)
    _pause: Process | None = None
    _address: IPv4Address | None = None

    def __post_init__(self) -> None:
        self.volumes = Volumes(self.node.config, self.node.api, self.disk, self.memory)

    @property
    def disk(self) -> Path:
        """The pod's folder on disk."""
        folder: Path = self.node.config.data_dir / "pods" / uid_of(self.pod)
        return folder

    @property
    def memory(self) -> Path:
        """The pod's folder in memory."""
        return self.node.memory / uid_of(self.pod)

    @property
    def logs(self) -> Path:
        """Folder of the pod's logs."""
        meta = self.pod["metadata"]
        folder: Path = self.node.config.logs_dir / f"{meta['namespace']}_{meta['name']}_{meta['uid']}"
        return folder

    @property
    def hostname(self) -> str:
        """The pod's host name."""
        return host_name(self.pod, self.node.config.node)

    @property
    def place(self) -> Place:
        """Where the pod runs."""
        config = self.node.config
        ip = str(config.ip) if is_host_network(self.pod) else self.state.pod_ip
        return Place(node_ip=str(config.ip), pod_ip=ip, allocatable=config.capacity)

    @property
    def alive(self) -> bool:
        """Whether the process that holds the pod's namespaces lives."""
        return self._pause is not None and self._pause.code is None

    @property
    def pause_pid(self) -> int:
        """Process that holds the pod's namespaces."""
        assert self._pause, "the pod has no namespaces yet"
        return self._pause.pid

    async def open(self) -> None:
        """Make the pod's namespaces and network, and the files that all its containers see.

        Raises:
            StartError: it failed; nothing of it is left.
        """
        config, wire = self.node.config, Wire()
        self.disk.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        spec: dict[str, Any] = {"hostname": self.hostname, "network": None}
        spec["sleep"] = [shutil.which("sleep") or "/usr/bin/sleep", "infinity"]
        if not is_host_network(self.pod):
            self._address = self.node.addresses.take()
            wire = PodWire(uid_of(self.pod), self._address, config)
            spec["network"] = {"ip": str(config.ip_program), "batch": pod_batch(self._address, config)}
        try:
            with (self.logs / "pause.log").open("ab") as log:
                self._pause = await hold_namespaces(spec, self.disk / "pause.json", wire, log.fileno())
        except StartError:
            self._give_back_address()
            raise
        self.state.pod_ip = str(self._address or config.ip)
        self.state.wired = True
        self._write_files()
        if not (self.memory / "shm").exists():
            memory_folder(self.memory / "shm", SHM_BYTES)

    async def close(self) -> None:
        """Let go of the namespaces, the address, the volumes and the files; the logs stay."""
        if self._pause:
            self._pause.send(signal.SIGKILL)
            await self._pause.wait()
            if self._address:
                with contextlib.suppress(StartError):
                    await PodWire(uid_of(self.pod), self._address, self.node.config).cut()
        self._pause = None
        self._give_back_address()
        self.state.wired = False
        for folder in [self.memory / "shm", *(self.memory / "volumes").glob("*")]:
            if os.path.ismount(folder):
                launcher.unmount(str(folder))
        shutil.rmtree(self.memory, ignore_errors=True)
        shutil.rmtree(self.disk, ignore_errors=True)

    def file_mounts(self, taken: set[str]) -> list[Json]:
        """Mounts that every container of the pod has, unless its own are at these paths."""
        mounts = [
            {"source": str(self.disk / "etc-hosts"), "path": "/etc/hosts"},
            {"source": str(self.disk / "hostname"), "path": "/etc/hostname"},
            {"source": str(self.disk / "resolv.conf"), "path": "/etc/resolv.conf"},
            {"source": str(self.memory / "shm"), "path": "/dev/shm"},  # noqa: S108 (a mount's place, not a file)
        ]
        return [mount for mount in mounts if mount["path"] not in taken]

    async def exec(
        self, pid: int, argv: list[str], env: Mapping[str, str], workdir: str, timeout_s: float | None
    ) -> tuple[int, bytes]:
        """Run a command in a container; exit code, and the beginning of what it wrote.

        Raises:
            StartError: it could not be started.
            TimeoutError: it did not end in time, and was killed.
        """
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        stdio = (subprocess.DEVNULL, write_end, write_end)
        started_s = time.monotonic()
        try:
            process = await start_inside("exec", exec_spec(pid, argv, env, workdir), self.exec_file(), stdio)
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        try:
            left_s = None if timeout_s is None else max(0.0, timeout_s - (time.monotonic() - started_s))
            async with asyncio.timeout(left_s):
                output = await _read_all(read_end)
                return await process.wait(), output
        finally:
            process.send(signal.SIGKILL)
            os.close(read_end)

    def exec_file(self) -> Path:
        """A file for what one exec is told."""
        return self.disk / "exec" / f"{time.monotonic_ns()}.json"

    def _give_back_address(self) -> None:
        if self._address:
            self.node.addresses.give_back(self._address)
        self._address = None

    def _write_files(self) -> None:
        config = self.node.config
        node_hosts = Path("/etc/hosts").read_text() if is_host_network(self.pod) else None
        (self.disk / "etc-hosts").write_text(hosts_file(self.pod, self.state.pod_ip, self.hostname, node_hosts))
        (self.disk / "hostname").write_text(f"{self.hostname}\n")
        try:
            node_dns = read_resolv_conf(Path("/etc/resolv.conf").read_text())
        except OSError:
            node_dns = {}
        text = resolv_conf(self.pod, cluster_dns=str(config.cluster_dns), domain=config.cluster_domain, node=node_dns)
        (self.disk / "resolv.conf").write_text(text)


def exec_spec(pid: int, argv: list[str], env: Mapping[str, str], workdir: str, *, tty: bool = False) -> Json:
    """What `container.execute` reads."""
    return {"pid": pid, "argv": argv, "env": dict(env), "workdir": workdir, "tty": tty}


async def _read_all(handle: int) -> bytes:
    """Everything from a pipe until its end, of which only the beginning is kept."""
    loop, kept = asyncio.get_running_loop(), b""
    ready = asyncio.Event()
    loop.add_reader(handle, ready.set)
    try:
        while True:
            await ready.wait()
            ready.clear()
            try:
                chunk = os.read(handle, 65536)
            except BlockingIOError:
                continue
            if not chunk:
                return kept
            kept = (kept + chunk)[:_OUTPUT_BYTES]
    finally:
        loop.remove_reader(handle)
