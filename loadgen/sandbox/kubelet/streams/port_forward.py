"""`portForward` over a WebSocket, as client libraries and as kubectl speak it.

v4.channel.k8s.io               the query names ports; each has two channels, 2·i for data and 2·i + 1 for errors,
                                and the first message on either is the port, as two bytes, the lower one first
SPDY/3.1+portforward.k8s.io     SPDY in binary messages; every connection is a pair of streams, for errors and data
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from aiohttp import WSMsgType, web

from loadgen.sandbox.kubelet.context import PodRoom
from loadgen.sandbox.kubelet.streams.pod_port import PodPort
from loadgen.sandbox.kubelet.streams.spdy import Decoder, Encoder, Frame, Kind, SpdyFault

_CHANNELS = "v4.channel.k8s.io"
_TUNNEL = "SPDY/3.1+portforward.k8s.io"
_PROTOCOL_ERROR = 1002


async def serve_port_forward(request: web.Request, room: PodRoom) -> web.StreamResponse:
    """Answer a request to forward ports of a pod.

    Raises:
        web.HTTPBadRequest: it is no WebSocket of a protocol known here, or names no port.
    """
    # without pings of our own: the Python client answers one in the midst of a message that it is sending
    socket = web.WebSocketResponse(protocols=(_CHANNELS, _TUNNEL))
    protocol = socket.can_prepare(request).protocol
    if protocol is None:
        raise web.HTTPBadRequest(
            text=f"port-forward needs a WebSocket of {_CHANNELS} or {_TUNNEL}: use a kubectl of at least 1.31"
        )
    ports = ports_of(request.query.getall("port", [])) if protocol == _CHANNELS else []
    await socket.prepare(request)
    try:
        if protocol == _CHANNELS:
            await _Channels(socket, room, ports).run()
        else:
            await _Tunnel(socket, room).run()
    finally:
        await socket.close()
    return socket


def ports_of(values: Sequence[str]) -> list[int]:
    """The ports that a query asks for, in its order: each of its values is one or more of them, with commas.

    Raises:
        web.HTTPBadRequest: it names none, or one that is none.
    """
    asked = [word for value in values for word in value.split(",")]
    if not asked:
        raise web.HTTPBadRequest(text='query parameter "port" is required')
    ports = [_port(word) for word in asked]
    if None in ports:
        raise web.HTTPBadRequest(text=f'"{asked[ports.index(None)]}" is no port: it is a number from 1 to 65535')
    return [port for port in ports if port is not None]


def _port(word: str) -> int | None:
    return int(word) if word.isascii() and word.isdigit() and 1 <= int(word) <= 65535 else None


class _Channels:
    """All ports that a query asks for, one connection each; it is over when the last of them is."""

    def __init__(self, socket: web.WebSocketResponse, room: PodRoom, ports: list[int]) -> None:
        self._socket, self._ports = socket, ports
        self._connections = [PodPort(room, port, partial(self._tell, 2 * i)) for i, port in enumerate(ports)]

    async def run(self) -> None:
        for number, port in enumerate(self._ports):
            for channel in (2 * number, 2 * number + 1):
                await self._tell(channel, port.to_bytes(2, "little"))
        tasks = [asyncio.create_task(each) for each in (self._serve(), self._listen())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self) -> None:
        async def one(number: int, connection: PodPort) -> None:
            if fault := await connection.run():
                await self._tell(2 * number + 1, fault.encode())

        await asyncio.gather(*(one(number, connection) for number, connection in enumerate(self._connections)))

    async def _listen(self) -> None:
        async for message in self._socket:
            if message.type is WSMsgType.BINARY and message.data:
                number, errors = divmod(message.data[0], 2)
                if number < len(self._connections) and not errors:
                    await self._connections[number].feed(message.data[1:])

    async def _tell(self, channel: int, piece: bytes) -> None:
        if not self._socket.closed:
            await self._socket.send_bytes(bytes([channel]) + piece)


@dataclass(slots=True, kw_only=True)
class _Open:
    """A connection of a tunnel, the stream of its errors, and what serves it."""

    connection: PodPort
    errors: int
    task: asyncio.Task[None]


class _Tunnel:
    """Connections as kubectl opens them: a stream for errors, then one for data, both with the request's number."""

    def __init__(self, socket: web.WebSocketResponse, room: PodRoom) -> None:
        self._socket, self._room = socket, room
        self._decoder, self._encoder = Decoder(), Encoder()
        self._errors: dict[str, int] = {}
        self._open: dict[int, _Open] = {}

    async def run(self) -> None:
        try:
            async for message in self._socket:
                if message.type is WSMsgType.BINARY:
                    for frame in self._decoder.feed(message.data):
                        if frame.kind is Kind.GO_AWAY:
                            return
                        await self._take(frame)
        except SpdyFault as fault:
            await self._socket.close(code=_PROTOCOL_ERROR, message=str(fault).encode())
        finally:
            tasks = [each.task for each in self._open.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(self, frame: Frame) -> None:
        if frame.kind is Kind.OPEN:
            await self._begin(frame.number, frame.headers)
        elif frame.kind is Kind.PING:
            await self._send(self._encoder.pong(frame))
        elif frame.kind is Kind.RESET and (given_up := self._open.pop(frame.number, None)):
            given_up.task.cancel()
            await self._send(self._encoder.data(given_up.errors, last=True))  # kubectl waits for it
        elif frame.kind is Kind.DATA and (one := self._open.get(frame.number)):
            if frame.data:
                await one.connection.feed(frame.data)
            if frame.last:
                await one.connection.finish()

    async def _begin(self, stream: int, headers: Mapping[str, str]) -> None:
        kind, request, port = headers.get("streamtype"), headers.get("requestid", ""), _port(headers.get("port", ""))
        if port is None or not (kind == "error" or (kind == "data" and request in self._errors)):
            await self._send(self._encoder.refuse(stream))
            return
        await self._send(self._encoder.reply(stream))  # first, as data without it is dropped
        if kind == "error":
            self._errors[request] = stream
            return
        connection, errors = PodPort(self._room, port, partial(self._tell, stream)), self._errors.pop(request)
        task = asyncio.create_task(self._serve(connection, stream, errors))
        self._open[stream] = _Open(connection=connection, errors=errors, task=task)

    async def _serve(self, connection: PodPort, stream: int, errors: int) -> None:
        with suppress(ConnectionError):  # the client is gone
            fault = await connection.run()
            await self._send(self._encoder.data(errors, fault.encode(), last=True))
            await self._send(self._encoder.data(stream, last=True))
        self._open.pop(stream, None)

    async def _tell(self, stream: int, piece: bytes) -> None:
        await self._send(self._encoder.data(stream, piece))

    async def _send(self, frame: bytes) -> None:
        if not self._socket.closed:
            await self._socket.send_bytes(frame)
