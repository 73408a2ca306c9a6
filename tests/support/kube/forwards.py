"""Port-forwards of a test: by the Python client and by kubectl, both through the sandbox's API server."""

import asyncio
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from kubernetes import client, config
from kubernetes.stream import portforward

from loadgen.base.processes import children_of
from loadgen.sandbox.commands import Sandbox
from loadgen.sandbox.config import API_SERVER
from loadgen.sandbox.forward import serve
from support.kube.cluster import Cluster

CALL_S = 30.0

Dial = Callable[[], Any]
"""Opens one connection to the port that is forwarded; a socket."""


@contextmanager
def api_of(sandbox: Sandbox) -> Iterator[client.CoreV1Api]:
    """The API of a sandbox as Python's client sees it, through a port of this machine."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(serve(sandbox, urlsplit(API_SERVER).netloc, 0), loop).result(10.0)
    own = config.new_client_from_config(str(sandbox.folder / "admin.conf"))
    own.configuration.tls_server_name = urlsplit(API_SERVER).hostname
    own.configuration.host = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield client.CoreV1Api(own)
    finally:
        own.close()
        asyncio.run_coroutine_threadsafe(_end(server), loop).result(10.0)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@contextmanager
def by_python(core: client.CoreV1Api, namespace: str, pod: str, *ports: int) -> Iterator[Any]:
    """A forward of Python's client: one connection to each port."""
    before = set(threading.enumerate())
    forward = portforward(
        core.connect_get_namespaced_pod_portforward, pod, namespace, ports=",".join(str(port) for port in ports)
    )
    (proxy,) = (each for each in set(threading.enumerate()) - before if "port forward proxy" in each.name)
    for port in ports:
        forward.socket(port).settimeout(CALL_S)
    try:
        yield forward
    finally:
        forward.close()
        proxy.join(CALL_S)
        forward.websocket.shutdown()  # it leaves open what the other side ended


class Kubectl:
    """A `kubectl port-forward` that runs inside, and listens at `address` there."""

    def __init__(self, cluster: Cluster, *argv: str) -> None:
        self._sandbox = cluster.sandbox
        self.process = subprocess.Popen(
            cluster.command("port-forward", *argv), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        found = re.match(r"Forwarding from (\S+) -> \d+", said)
        assert found, said + self.process.stdout.read()
        self.address = found[1]

    def dial(self) -> socket.socket:
        """One connection; its end of sending is passed on."""
        connection = self._sandbox.connect(self.address)
        connection.settimeout(CALL_S)
        return connection

    def end(self) -> tuple[int, str]:
        """Exit code and what it said, once it ends by itself."""
        said, _ = self.process.communicate(timeout=CALL_S)
        return self.process.returncode, said


@contextmanager
def by_kubectl(cluster: Cluster, *argv: str) -> Iterator[Kubectl]:
    """A forward of kubectl, ended afterwards."""
    one = Kubectl(cluster, *argv)
    try:
        yield one
    finally:
        with one.process:
            for child in children_of(one.process.pid):  # what nsenter waits for
                subprocess.run(["kill", str(child)], check=False)


def read_all(connection: Any) -> bytes:
    """What comes until the other side ends."""
    whole = b""
    while piece := connection.recv(1 << 16):
        whole += piece
    return whole


def there_and_back(connection: Any, sent: bytes) -> bytes:
    """What an echo gives back while it is still sent to."""
    sender = threading.Thread(target=connection.sendall, args=(sent,))
    sender.start()
    got = b""
    while len(got) < len(sent) and (piece := connection.recv(1 << 16)):
        got += piece
    sender.join(CALL_S)
    return got
