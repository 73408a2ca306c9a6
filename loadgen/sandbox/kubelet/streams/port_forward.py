"""Serves port-forwards over a WebSocket, with the protocol of client libraries and the one of kubectl.

v4.channel.k8s.io               The query lists the ports. Each has two channels, 2·i for data and 2·i + 1 for errors;
                                the first message on both is the port as two bytes, little-endian.
SPDY/3.1+portforward.k8s.io     SPDY in binary messages. Every connection is a pair of streams, for errors and data.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from aiohttp import WSMsgType, web

from loadgen.sandbox.kubelet.context import PodContext
from loadgen.sandbox.kubelet.streams.pod_connection import PodConnection
from loadgen.sandbox.kubelet.streams.spdy import Decoder, Encoder, Frame, FrameKind, SpdyError

_CHANNELS = "v4.channel.k8s.io"
_TUNNEL = "SPDY/3.1+portforward.k8s.io"
_PROTOCOL_ERROR = 1002


async def serve_port_forward(request: web.Request, context: PodContext) -> web.StreamResponse:
    """Serve a request to forward ports of a pod.

    Raises:
        web.HTTPBadRequest: it is not a WebSocket with a supported protocol, or it names no valid port.
    """
    # without pings: the Python client would answer one in the middle of a message that it is sending
    socket = web.WebSocketResponse(protocols=(_CHANNELS, _TUNNEL))
    protocol = socket.can_prepare(request).protocol
    if protocol is None:
        raise web.HTTPBadRequest(
            text=f"port-forward requires a WebSocket with {_CHANNELS} or {_TUNNEL}: use kubectl 1.31 or later"
        )
    ports = parse_ports(request.query.getall("port", [])) if protocol == _CHANNELS else []
    await socket.prepare(request)
    try:
        if protocol == _CHANNELS:
            await _Channels(socket, context, ports).run()
        else:
            await _Tunnel(socket, context).run()
    finally:
        await socket.close()
    return socket


def parse_ports(values: Sequence[str]) -> list[int]:
    """Return the ports of a query in its order; each value holds one port or several separated by commas.

    Raises:
        web.HTTPBadRequest: there is no port, or an invalid one.
    """
    texts = [text for value in values for text in value.split(",")]
    if not texts:
        raise web.HTTPBadRequest(text='query parameter "port" is required')
    ports = [_parse_port(text) for text in texts]
    if None in ports:
        raise web.HTTPBadRequest(text=f'invalid port "{texts[ports.index(None)]}": use a number from 1 to 65535')
    return [port for port in ports if port is not None]


def _parse_port(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and 1 <= int(text) <= 65535 else None


class _Channels:
    """Serves v4.channel.k8s.io: one connection to each port of the query, until the last one is closed."""

    def __init__(self, socket: web.WebSocketResponse, context: PodContext, ports: list[int]) -> None:
        self._socket, self._ports = socket, ports
        self._connections = [PodConnection(context, port, partial(self._send, 2 * i)) for i, port in enumerate(ports)]

    async def run(self) -> None:
        for number, port in enumerate(self._ports):
            for channel in (2 * number, 2 * number + 1):
                await self._send(channel, port.to_bytes(2, "little"))
        tasks = [asyncio.create_task(each) for each in (self._run_connections(), self._receive())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _run_connections(self) -> None:
        async def run(number: int, connection: PodConnection) -> None:
            if message := await connection.run():
                await self._send(2 * number + 1, message.encode())

        await asyncio.gather(*(run(number, connection) for number, connection in enumerate(self._connections)))

    async def _receive(self) -> None:
        async for message in self._socket:
            if message.type is WSMsgType.BINARY and message.data:
                number, is_error_channel = divmod(message.data[0], 2)
                if number < len(self._connections) and not is_error_channel:
                    await self._connections[number].write(message.data[1:])

    async def _send(self, channel: int, data: bytes) -> None:
        if not self._socket.closed:
            await self._socket.send_bytes(bytes([channel]) + data)


@dataclass(slots=True, kw_only=True)
class _TunnelConnection:
    """A connection of a tunnel.

    Attributes:
        connection: The connection to the pod.
        error_stream: Stream of its errors.
        task: Task that runs it.
    """

    connection: PodConnection
    error_stream: int
    task: asyncio.Task[None]


class _Tunnel:
    """Serves SPDY: for a connection kubectl opens an error stream, then a data stream, both with its request id."""

    def __init__(self, socket: web.WebSocketResponse, context: PodContext) -> None:
        self._socket, self._context = socket, context
        self._decoder, self._encoder = Decoder(), Encoder()
        self._error_streams: dict[str, int] = {}
        self._connections: dict[int, _TunnelConnection] = {}

    async def run(self) -> None:
        try:
            async for message in self._socket:
                if message.type is WSMsgType.BINARY:
                    for frame in self._decoder.feed(message.data):
                        if frame.kind is FrameKind.GO_AWAY:
                            return
                        await self._handle(frame)
        except SpdyError as error:
            await self._socket.close(code=_PROTOCOL_ERROR, message=str(error).encode())
        finally:
            tasks = [each.task for each in self._connections.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _handle(self, frame: Frame) -> None:
        if frame.kind is FrameKind.OPEN:
            await self._open_stream(frame.number, frame.headers)
        elif frame.kind is FrameKind.PING:
            await self._send(self._encoder.pong(frame))
        elif frame.kind is FrameKind.RESET and (reset := self._connections.pop(frame.number, None)):
            reset.task.cancel()
            await self._send(self._encoder.data(reset.error_stream, last=True))  # kubectl waits for it
        elif frame.kind is FrameKind.DATA and (receiver := self._connections.get(frame.number)):
            if frame.data:
                await receiver.connection.write(frame.data)
            if frame.last:
                await receiver.connection.write_eof()

    async def _open_stream(self, stream: int, headers: Mapping[str, str]) -> None:
        kind, request = headers.get("streamtype"), headers.get("requestid", "")
        port = _parse_port(headers.get("port", ""))
        if port is None or not (kind == "error" or (kind == "data" and request in self._error_streams)):
            await self._send(self._encoder.refuse(stream))
            return
        await self._send(self._encoder.reply(stream))  # before any data, which the client would drop
        if kind == "error":
            self._error_streams[request] = stream
            return
        error_stream = self._error_streams.pop(request)
        connection = PodConnection(self._context, port, partial(self._send_data, stream))
        task = asyncio.create_task(self._run_connection(connection, stream, error_stream))
        self._connections[stream] = _TunnelConnection(connection=connection, error_stream=error_stream, task=task)

    async def _run_connection(self, connection: PodConnection, stream: int, error_stream: int) -> None:
        with suppress(ConnectionError):  # the client has disconnected
            message = await connection.run()
            await self._send(self._encoder.data(error_stream, message.encode(), last=True))
            await self._send(self._encoder.data(stream, last=True))
        self._connections.pop(stream, None)

    async def _send_data(self, stream: int, data: bytes) -> None:
        await self._send(self._encoder.data(stream, data))

    async def _send(self, frame: bytes) -> None:
        if not self._socket.closed:
            await self._socket.send_bytes(frame)
