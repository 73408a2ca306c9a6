"""Serves the kubelet's own API over HTTPS: health, pods, container logs, exec and port-forward."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable

from aiohttp import web

from loadgen.base.errors import LoadgenError
from loadgen.sandbox.kubelet.context import NodeContext
from loadgen.sandbox.kubelet.objects import all_containers
from loadgen.sandbox.kubelet.pod_worker import PodWorker
from loadgen.sandbox.kubelet.pods import Pods
from loadgen.sandbox.kubelet.streams.exec import serve_exec
from loadgen.sandbox.kubelet.streams.logs import LogQuery, read_log
from loadgen.sandbox.kubelet.streams.port_forward import serve_port_forward

_CLOSE_S = 1.0
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """The kubelet's API on the node's address, for clients with a certificate of the cluster's authority.

    Args:
        node: Shared by the pods of the node.
        pods: Pods of the node.
    """

    def __init__(self, node: NodeContext, pods: Pods) -> None:
        self._node = node
        self._pods = pods
        app = web.Application(middlewares=[self._authorize])
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/pods", self._list),
                web.get("/containerLogs/{namespace}/{pod}/{container}", self._logs),
                web.get("/exec/{namespace}/{pod}/{container}", self._exec),
                web.post("/exec/{namespace}/{pod}/{container}", self._exec),
                web.route("*", "/attach/{namespace}/{pod}/{container}", self._attach),
                web.get("/portForward/{namespace}/{pod}", self._port_forward),
                web.post("/portForward/{namespace}/{pod}", self._port_forward),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSE_S)

    async def start(self) -> None:
        """Start to listen.

        Raises:
            LoadgenError: the certificates cannot be read, or the address is in use.
        """
        config = self._node.config
        try:
            await self._listen()
        except OSError as error:
            address = f"{config.ip}:{config.port}"
            reason = error.strerror or str(error)
            raise LoadgenError(
                f"the kubelet cannot serve its API on {address} ({reason}); is another kubelet running?"
            ) from error

    async def _listen(self) -> None:
        config = self._node.config
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(config.ca_file))
        tls.verify_mode = ssl.CERT_REQUIRED
        tls.load_cert_chain(config.serving_cert_file, config.serving_key_file)
        await self._runner.setup()
        await web.TCPSite(self._runner, str(config.ip), config.port, ssl_context=tls).start()

    async def stop(self) -> None:
        """Stop to listen and close all connections."""
        await self._runner.cleanup()

    @web.middleware
    async def _authorize(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        allowed = self._node.config.api_clients
        if allowed:
            certificate = request.get_extra_info("peercert") or {}
            names = {value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"}
            if not names & set(allowed):
                client = ", ".join(sorted(names)) or "a client without a common name"
                raise web.HTTPForbidden(text=f"{client} may not use the kubelet's API")
        return await handler(request)

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _list(self, _: web.Request) -> web.Response:
        pods = [worker.context.pod for worker in self._pods.workers.values()]
        return web.json_response({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods})

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        worker, name = self._container(request)
        state = worker.context.state.containers[name]
        query = LogQuery.from_query(request.query)
        # while the container waits for its restart, the latest log is also the previous one
        attempt = state.restarts - (1 if query.previous and state.waiting is None else 0)
        label = f"container {json.dumps(name)} in pod {json.dumps(request.match_info['pod'])}"
        if query.previous and state.last_terminated is None:
            raise web.HTTPBadRequest(text=f"previous terminated {label} not found")
        if not state.container_id:
            reason = state.waiting[0] if state.waiting else "ContainerCreating"
            raise web.HTTPBadRequest(text=f"{label} is waiting to start: {reason}")
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        file = worker.context.logs / name / f"{attempt}.log"

        def running() -> bool:
            return state.restarts == attempt and state.terminated is None and state.waiting is None

        try:
            async for chunk in read_log(file, query, running):
                await response.write(chunk)
        except (ConnectionResetError, asyncio.CancelledError):
            return response
        await response.write_eof()
        return response

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        worker, name = self._container(request)
        supervisor = worker.supervisors.get(name)
        if supervisor is None or supervisor.running is None:
            raise web.HTTPBadRequest(text=f"container {json.dumps(name)} is not running")
        return await serve_exec(request, supervisor.running)

    async def _attach(self, _: web.Request) -> web.Response:
        raise web.HTTPNotImplemented(
            text="the process kubelet does not support attach: use `kubectl logs --follow` or `kubectl exec`"
        )

    async def _port_forward(self, request: web.Request) -> web.StreamResponse:
        context = self._worker(request).context
        if not context.alive:
            raise web.HTTPBadRequest(text=f"pod {json.dumps(request.match_info['pod'])} is not running")
        return await serve_port_forward(request, context)

    def _worker(self, request: web.Request) -> PodWorker:
        names = request.match_info
        worker = self._pods.find(names["namespace"], names["pod"])
        if worker is None:
            raise web.HTTPNotFound(text=f"pod {json.dumps(names['pod'])} does not exist")
        return worker

    def _container(self, request: web.Request) -> tuple[PodWorker, str]:
        worker, names = self._worker(request), request.match_info
        if all(each["name"] != names["container"] for _, each in all_containers(worker.context.pod)):
            message = f"container {json.dumps(names['container'])} not found in pod {json.dumps(names['pod'])}"
            raise web.HTTPNotFound(text=message)
        return worker, names["container"]
