"""Defines the context that the pods of a node share, and the one that the containers of a pod share."""

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

from loadgen.sandbox.kubelet.api_client import ApiClient
from loadgen.sandbox.kubelet.config import KubeletConfig
from loadgen.sandbox.kubelet.container import launcher
from loadgen.sandbox.kubelet.container.images import ImageStore, ImageTable
from loadgen.sandbox.kubelet.container.memory_limits import MemoryLimiter
from loadgen.sandbox.kubelet.container.process import Process, StartError, start_pause, start_process
from loadgen.sandbox.kubelet.dns import hosts_file, pod_hostname, read_resolv_conf, resolv_conf
from loadgen.sandbox.kubelet.downward_api import Placement
from loadgen.sandbox.kubelet.events import Events
from loadgen.sandbox.kubelet.network import AddressPool, VethPair, pod_ip_commands
from loadgen.sandbox.kubelet.objects import Json, is_host_network, pod_uid
from loadgen.sandbox.kubelet.status.states import PodState
from loadgen.sandbox.kubelet.volumes.mounts import mount_tmpfs
from loadgen.sandbox.kubelet.volumes.volumes import Volumes

SHM_BYTES = 64 * 2**20
_MAX_OUTPUT_BYTES = 64 * 1024


@dataclass(slots=True, kw_only=True)
class NodeContext:
    """Shared by all pods of a node.

    Attributes:
        config: Configuration of the node.
        api: Client of the API server.
        events: Recorder of events.
        image_table: The programs that stand for images.
        images: The images that the node has pulled.
        addresses: The addresses of the pods.
        memory_limiter: Enforces the memory limits of containers.
        memory: Folder on a tmpfs that only this kubelet and its containers see.
        root: Folder on which containers mount their root.
    """

    config: KubeletConfig
    api: ApiClient
    events: Events
    image_table: ImageTable
    images: ImageStore
    addresses: AddressPool
    memory_limiter: MemoryLimiter
    memory: Path
    root: Path


@dataclass(slots=True, kw_only=True)
class PodContext:
    """Shared by the containers of a pod: namespaces, network, volumes and files.

    Attributes:
        node: Shared by the pods of the node.
        pod: The pod from the API.
        state: State of the pod and its containers.
        status_changed: Called when the pod's status may have changed.
        volumes: Volumes of the pod.
    """

    node: NodeContext
    pod: Json
    state: PodState
    status_changed: Callable[[], None]
    volumes: Volumes = field(init=False)
    _pause: Process | None = None
    _address: IPv4Address | None = None

    def __post_init__(self) -> None:
        self.volumes = Volumes(self.node.config, self.node.api, self.disk, self.memory)

    @property
    def disk(self) -> Path:
        """Folder of the pod on disk."""
        folder: Path = self.node.config.data_dir / "pods" / pod_uid(self.pod)
        return folder

    @property
    def memory(self) -> Path:
        """Folder of the pod in memory."""
        return self.node.memory / pod_uid(self.pod)

    @property
    def logs(self) -> Path:
        """Folder of the pod's logs."""
        meta = self.pod["metadata"]
        folder: Path = self.node.config.logs_dir / f"{meta['namespace']}_{meta['name']}_{meta['uid']}"
        return folder

    @property
    def hostname(self) -> str:
        """Host name of the pod."""
        return pod_hostname(self.pod, self.node.config.node)

    @property
    def placement(self) -> Placement:
        """Addresses and resources that the downward API exposes."""
        config = self.node.config
        ip = str(config.ip) if is_host_network(self.pod) else self.state.pod_ip
        return Placement(node_ip=str(config.ip), pod_ip=ip, allocatable=config.capacity)

    @property
    def alive(self) -> bool:
        """Whether the pause process, which holds the pod's namespaces, runs."""
        return self._pause is not None and self._pause.code is None

    @property
    def pause_pid(self) -> int:
        """Process id of the pause process."""
        assert self._pause, "the pod has no namespaces yet"
        return self._pause.pid

    async def open(self) -> None:
        """Create the pod's namespaces, its network and the files that its containers share.

        Raises:
            StartError: it failed; everything that was created is removed again.
        """
        config, connect = self.node.config, None
        self.disk.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        spec: dict[str, Any] = {"hostname": self.hostname, "network": None}
        spec["sleep"] = [shutil.which("sleep") or "/usr/bin/sleep", "infinity"]
        if not is_host_network(self.pod):
            self._address = self.node.addresses.allocate()
            connect = VethPair(pod_uid(self.pod), self._address, config).connect
            spec["network"] = {"ip": str(config.ip_program), "batch": pod_ip_commands(self._address, config)}
        try:
            with (self.logs / "pause.log").open("ab") as log:
                self._pause = await start_pause(spec, self.disk / "pause.json", log.fileno(), connect)
        except StartError:
            self._release_address()
            raise
        self.state.pod_ip = str(self._address or config.ip)
        self.state.network_ready = True
        self._write_etc_files()
        if not (self.memory / "shm").exists():
            mount_tmpfs(self.memory / "shm", SHM_BYTES)

    async def close(self) -> None:
        """Remove the namespaces, the address, the volumes and the files; the logs stay."""
        if self._pause:
            self._pause.send(signal.SIGKILL)
            await self._pause.wait()
            if self._address:
                with contextlib.suppress(StartError):
                    await VethPair(pod_uid(self.pod), self._address, self.node.config).delete()
        self._pause = None
        self._release_address()
        self.state.network_ready = False
        for folder in [self.memory / "shm", *(self.memory / "volumes").glob("*")]:
            if os.path.ismount(folder):
                launcher.unmount(str(folder))
        shutil.rmtree(self.memory, ignore_errors=True)
        shutil.rmtree(self.disk, ignore_errors=True)

    def file_mounts(self, occupied: set[str]) -> list[Json]:
        """Return the mounts of every container of the pod, except at the `occupied` paths."""
        mounts = [
            {"source": str(self.disk / "etc-hosts"), "path": "/etc/hosts"},
            {"source": str(self.disk / "hostname"), "path": "/etc/hostname"},
            {"source": str(self.disk / "resolv.conf"), "path": "/etc/resolv.conf"},
            {"source": str(self.memory / "shm"), "path": "/dev/shm"},  # noqa: S108 (a mount point, not a file)
        ]
        return [mount for mount in mounts if mount["path"] not in occupied]

    async def exec(
        self, pid: int, argv: list[str], env: Mapping[str, str], workdir: str, timeout_s: float | None
    ) -> tuple[int, bytes]:
        """Run a command in a container; return its exit code and the beginning of its output.

        Raises:
            StartError: it could not be started.
            TimeoutError: it was killed because it did not end in time.
        """
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        stdio = (subprocess.DEVNULL, write_end, write_end)
        started_s = time.monotonic()
        try:
            process = await start_process("exec", exec_spec(pid, argv, env, workdir), self.new_exec_file(), stdio)
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

    def new_exec_file(self) -> Path:
        """Return a new path for the spec of an exec."""
        return self.disk / "exec" / f"{time.monotonic_ns()}.json"

    def _release_address(self) -> None:
        if self._address:
            self.node.addresses.release(self._address)
        self._address = None

    def _write_etc_files(self) -> None:
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
    """Return the spec that `launcher.execute` reads."""
    return {"pid": pid, "argv": argv, "env": dict(env), "workdir": workdir, "tty": tty}


async def _read_all(handle: int) -> bytes:
    """Read a pipe to its end and return the beginning."""
    loop, output = asyncio.get_running_loop(), b""
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
                return output
            output = (output + chunk)[:_MAX_OUTPUT_BYTES]
    finally:
        loop.remove_reader(handle)
