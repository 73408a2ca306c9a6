"""Port-forwards by the Python client and by kubectl, through the API server of a sandbox."""

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

CALL_S = 120.0

Dial = Callable[[], Any]
"""Opens a connection to the forwarded port and returns its socket."""


@contextmanager
def api_of(sandbox: Sandbox) -> Iterator[client.CoreV1Api]:
    """Yield the Python client of a sandbox's API, through a forwarded port."""
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
    """Yield a port-forward of the Python client, with one connection to each port."""
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
        forward.websocket.shutdown()  # `close` leaves a connection open that the server has closed


class Kubectl:
    """A `kubectl port-forward` that runs inside the sandbox and listens on `address` there."""

    def __init__(self, cluster: Cluster, *argv: str) -> None:
        self._sandbox = cluster.sandbox
        self.process = subprocess.Popen(
            cluster.command("port-forward", *argv), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        match = re.match(r"Forwarding from (\S+) -> \d+", line)
        assert match, line + self.process.stdout.read()
        self.address = match[1]

    def dial(self) -> socket.socket:
        """Open a connection."""
        connection = self._sandbox.connect(self.address)
        connection.settimeout(CALL_S)
        return connection

    def wait(self) -> tuple[int, str]:
        """Wait until kubectl exits, and return its exit code and output."""
        output, _ = self.process.communicate(timeout=CALL_S)
        return self.process.returncode, output


@contextmanager
def by_kubectl(cluster: Cluster, *argv: str) -> Iterator[Kubectl]:
    """Yield a port-forward of kubectl, which is stopped afterwards."""
    forward = Kubectl(cluster, *argv)
    try:
        yield forward
    finally:
        with forward.process:
            for child in children_of(forward.process.pid):  # the kubectl that nsenter waits for
                subprocess.run(["kill", str(child)], check=False)


def read_all(connection: Any) -> bytes:
    """Read a connection until the other side closes it."""
    data = b""
    while chunk := connection.recv(1 << 16):
        data += chunk
    return data


def there_and_back(connection: Any, sent: bytes) -> bytes:
    """Send data to an echo server and return the same amount of received data."""
    sender = threading.Thread(target=connection.sendall, args=(sent,))
    sender.start()
    received = b""
    while len(received) < len(sent) and (chunk := connection.recv(1 << 16)):
        received += chunk
    sender.join(CALL_S)
    return received
