"""A port-forward to one pod of a workload, on a port of this machine's loopback.

    python -m loadgen.kube.client.forward FORWARD_JSON      (standard input: a lifeline, if it is a pipe)

It goes on when its pod goes: what comes then is led to another ready one. Every connection is a WebSocket through the
API server, so it is for trying things out: all requests go to one pod.
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
from loadgen.kube.objects.pod_startup import startup_stage

_POLL_S = 0.2
_CHUNK = 1 << 16
_log = logging.getLogger("loadgen.kube.client.forward")


class ForwardConfig(BaseModel):
    """What is forwarded.

    Attributes:
        context: Context of the kubeconfig.
        namespace: Namespace of the pods.
        selector: Label selector of the pods, one of which is chosen.
        port: Port of the pod.
        port_file: Where to write the port on this machine.
    """

    context: str | None
    namespace: str
    selector: str
    port: int
    port_file: Path


class Forward:
    """Chooses the pod, and opens connections to it."""

    def __init__(self, config: ForwardConfig, api: Api) -> None:
        self._config, self._api = config, api
        self._pod: str | None = None
        self._choosing = threading.Lock()

    def open(self) -> socket.socket:
        """A connection to the port of the pod; to another pod when that one is not ready any more.

        Raises:
            StackError: no pod is ready, or the API server does not lead there.
        """
        pod = self._ready_pod()
        try:
            # a client of its own: the library changes the one that it is given while it connects
            core = client.CoreV1Api(client.ApiClient(self._api.configuration))
            way = portforward(
                core.connect_get_namespaced_pod_portforward, pod, self._config.namespace, ports=str(self._config.port)
            )
        except (client.ApiException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            self._api.renew()
            raise StackError(f"no port-forward to {pod}: {str(error).splitlines()[0]}") from error
        found: socket.socket = way.socket(self._config.port)
        return found

    def _ready_pod(self) -> str:
        with self._choosing:
            path = path_of("api", "v1", "namespaces", self._config.namespace, "pods")
            pods = self._api.items(path, labelSelector=self._config.selector)
            ready: list[str] = [
                each["metadata"]["name"]
                for each in pods
                if startup_stage(each) == "ready" and "deletionTimestamp" not in each["metadata"]
            ]
            if not ready:
                raise StackError(f"no pod of {self._config.selector} is ready")
            if self._pod is None or self._pod not in ready:
                self._pod = ready[0]
                _log.info("all requests go to %s", self._pod)
            return self._pod


def splice(one: socket.socket, other: socket.socket) -> None:
    """Pass on what either side says until one of them ends."""
    peers = {one: other, other: one}
    # the library's socket is one in all but its type; select() knows no more than 1024 files
    with contextlib.closing(one), contextlib.closing(other), selectors.DefaultSelector() as ready:
        for side in peers:
            ready.register(side, selectors.EVENT_READ, side)
        while True:
            for key, _ in ready.select():
                said = key.data.recv(_CHUNK)
                if not said:
                    return
                peers[key.data].sendall(said)


def serve(listener: socket.socket, forward: Forward) -> None:
    """Forward every connection, until the listener is closed; a time without files or memory is only a time."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError as error:
            if listener.fileno() < 0 or error.errno in (errno.EBADF, errno.EINVAL):
                return
            _log.warning("no connection can be accepted: %s", error)
            time.sleep(_POLL_S)
            continue
        threading.Thread(target=_one, args=(connection, forward), daemon=True).start()


def _one(connection: socket.socket, forward: Forward) -> None:
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
    forward = Forward(config, Api(config.context))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener, forward), daemon=True).start()
        write_whole(config.port_file, json.dumps(listener.getsockname()[1]).encode())
        while stop.wait(time.monotonic() + _POLL_S) is None:
            pass
    return int(ExitCode.PASS)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
