"""Forwards a port on the loopback interface to one ready pod of a workload.

    python -m loadgen.kube.proxy.forward FORWARD_JSON      (standard input: a lifeline, if it is a pipe)

When that pod is not ready any more, new connections go to another ready pod. Every connection is a WebSocket through
the API server, and all requests go to one pod, so a port-forward is meant for trying things out.
"""

import contextlib
import errno
import json
import logging
import selectors
import socket
import sys
import threading
import time
from pathlib import Path

import urllib3
from kubernetes import client
from kubernetes.stream import portforward
from pydantic import BaseModel

from loadgen.base.errors import ExitCode, StackError
from loadgen.base.files import write_whole
from loadgen.base.stop import Stop
from loadgen.kube.client.api import Api, path_of
from loadgen.kube.objects.pod_startup import READY, startup_stage

_POLL_S = 0.2
_CHUNK = 1 << 16
_log = logging.getLogger("loadgen.kube.proxy.forward")


class ForwardConfig(BaseModel):
    """The pod port to forward.

    Attributes:
        context: Context of the kubeconfig.
        namespace: Namespace of the pods.
        selector: Label selector of the pods; the forward chooses a ready one.
        port: Port of the pod.
        port_file: Where to write the local port.
    """

    context: str | None
    namespace: str
    selector: str
    port: int
    port_file: Path


class PortForward:
    """Selects a ready pod and opens connections to it."""

    def __init__(self, config: ForwardConfig, api: Api) -> None:
        self._config, self._api = config, api
        self._pod: str | None = None
        self._selecting = threading.Lock()

    def open(self) -> socket.socket:
        """Open a connection to the port of the selected pod, or of another pod when it is not ready any more.

        Raises:
            StackError: no pod is ready, or the API server refuses the port-forward.
        """
        pod = self._ready_pod()
        try:
            # a separate client, since the library modifies the client while it connects
            core = client.CoreV1Api(client.ApiClient(self._api.configuration))
            connection = portforward(
                core.connect_get_namespaced_pod_portforward, pod, self._config.namespace, ports=str(self._config.port)
            )
        except (client.ApiException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            self._api.renew()
            raise StackError(f"port-forward to {pod} failed: {str(error).splitlines()[0]}") from error
        pod_socket: socket.socket = connection.socket(self._config.port)
        return pod_socket

    def _ready_pod(self) -> str:
        with self._selecting:
            path = path_of("api", "v1", "namespaces", self._config.namespace, "pods")
            pods = self._api.items(path, labelSelector=self._config.selector)
            ready: list[str] = [
                each["metadata"]["name"]
                for each in pods
                if startup_stage(each) == READY and "deletionTimestamp" not in each["metadata"]
            ]
            if not ready:
                raise StackError(f"no ready pod matches {self._config.selector}")
            if self._pod is None or self._pod not in ready:
                self._pod = ready[0]
                _log.info("forwarding to pod %s", self._pod)
            return self._pod


def splice(one: socket.socket, other: socket.socket) -> None:
    """Copy data in both directions until one side closes its connection."""
    peers = {one: other, other: one}
    # select() supports file descriptors below 1024 only
    with contextlib.closing(one), contextlib.closing(other), selectors.DefaultSelector() as ready:
        for end in peers:
            ready.register(end, selectors.EVENT_READ, end)
        while True:
            for key, _ in ready.select():
                data = key.data.recv(_CHUNK)
                if not data:
                    return
                peers[key.data].sendall(data)


def serve(listener: socket.socket, forward: PortForward) -> None:
    """Forward every connection until the listener is closed; running out of file descriptors or memory is temporary."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError as error:
            if listener.fileno() < 0 or error.errno in (errno.EBADF, errno.EINVAL):
                return
            _log.warning("cannot accept a connection: %s", error)
            time.sleep(_POLL_S)
            continue
        threading.Thread(target=_forward_connection, args=(connection, forward), daemon=True).start()


def _forward_connection(connection: socket.socket, forward: PortForward) -> None:
    with connection:
        try:
            pod = forward.open()
        except StackError as error:
            _log.warning("%s", error)
            return
        with contextlib.suppress(OSError):
            splice(connection, pod)


def main(file: str) -> int:
    """Forward until SIGTERM, SIGINT or the end of the lifeline."""
    stop = Stop()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    config = ForwardConfig.model_validate_json(Path(file).read_bytes())
    forward = PortForward(config, Api(config.context))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener, forward), daemon=True).start()
        write_whole(config.port_file, json.dumps(listener.getsockname()[1]).encode())
        while stop.wait(time.monotonic() + _POLL_S) is None:
            pass
    return int(ExitCode.PASS)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
