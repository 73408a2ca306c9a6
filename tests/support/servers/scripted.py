"""Servers that follow a script on every connection: bytes, resets and silences that no real server sends on purpose."""

import contextlib
import itertools
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tritonclient.grpc import service_pb2 as pb

Step = bytes | Callable[[socket.socket], None]
"""Bytes to send, or something to do with the connection."""

# -- steps ------------------------------------------------------------------------------------------------------------


def http_request(sock: socket.socket) -> None:
    """Read a whole request of HTTP/1.1."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(sock)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += _some(sock)


def grpc_request(sock: socket.socket) -> None:
    """Read up to the end of the body of a request over HTTP/2."""
    data = b""
    while b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" not in data or not _has_whole_request(data[24:]):
        data += _some(sock)


def _has_whole_request(data: bytes) -> bool:
    at = 0
    while at + 9 <= len(data):
        size = int.from_bytes(data[at : at + 3], "big")
        if data[at + 3] == 0 and data[at + 4] & 1:
            return True
        at += 9 + size
    return False


def preface(sock: socket.socket) -> None:
    """Read something of the client."""
    _some(sock)


def _some(sock: socket.socket) -> bytes:
    data = sock.recv(65536)
    if not data:
        raise ConnectionError("the client has left")
    return data


def reset(sock: socket.socket) -> None:
    """Break the connection; what was not read is discarded."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    raise ConnectionError("reset")


def half_close(sock: socket.socket) -> None:
    """Send nothing more, and read until the client leaves."""
    sock.shutdown(socket.SHUT_WR)
    silence(sock)


def silence(sock: socket.socket) -> None:
    """Wait until the client leaves."""
    while sock.recv(65536):
        pass


def forever(*parts: bytes) -> Callable[[socket.socket], None]:
    """Return a step that sends parts as fast as the client takes them, until it leaves."""

    def step(sock: socket.socket) -> None:
        data = b"".join(parts) * max(1, 60_000 // sum(map(len, parts)))
        while True:
            sock.sendall(data)

    return step


def drip(data: bytes, interval_s: float = 0.05) -> Callable[[socket.socket], None]:
    """Return a step that sends a byte at a time, until the client leaves."""

    def step(sock: socket.socket) -> None:
        sock.settimeout(interval_s)
        for byte in itertools.cycle(data):
            with contextlib.suppress(TimeoutError):
                _some(sock)
            sock.sendall(bytes((byte,)))

    return step


# -- HTTP -------------------------------------------------------------------------------------------------------------


def event(text: bytes = b"x") -> bytes:
    """Return a token of `generate_stream`."""
    return b'data: {"text_output": "%s"}\n\n' % text


def chunk(*parts: bytes) -> bytes:
    """Return chunks; an empty part is the last one."""
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def page(status: bytes, body: bytes, kind: bytes = b"application/json", *fields: bytes) -> bytes:
    """Return an answer with a length."""
    lines = (b"HTTP/1.1 " + status, b"Content-Type: " + kind, b"Content-Length: %d" % len(body), *fields, b"", b"")
    return b"\r\n".join(lines) + body


# -- gRPC -------------------------------------------------------------------------------------------------------------

DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Return a frame of HTTP/2."""
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream_id) + payload


def header(flags: int, *fields: tuple[bytes, bytes], stream_id: int = 1) -> bytes:
    """Return a HEADERS frame of literals."""
    block = b"".join(b"\0" + _string(name) + _string(value) for name, value in fields)
    return frame(HEADERS, flags | 4, stream_id, block)


def _string(text: bytes) -> bytes:
    size = len(text)
    if size < 127:
        return bytes((size,)) + text
    size -= 127
    prefix = b"\x7f"
    while size >= 128:
        prefix += bytes((size & 127 | 128,))
        size >>= 7
    return prefix + bytes((size,)) + text


def message(text: bytes | None = b"x", *, final: bool = False, error: str = "") -> bytes:
    """Return a response of ModelStreamInfer as a gRPC message."""
    response = pb.ModelInferResponse()
    if text is not None:
        response.outputs.add(name="text_output", datatype="BYTES", shape=[1])
        response.raw_output_contents.append(len(text).to_bytes(4, "little") + text)
    response.parameters["triton_final_response"].bool_param = final
    return grpc_message(pb.ModelStreamInferResponse(infer_response=response, error_message=error).SerializeToString())


def grpc_message(content: bytes, compressed: int = 0) -> bytes:
    """Return a gRPC message with its prefix."""
    return bytes((compressed,)) + len(content).to_bytes(4, "big") + content


def data(*messages: bytes, flags: int = 0) -> bytes:
    """Return messages as DATA frames."""
    content = b"".join(messages)
    parts = [content[at : at + 16_384] for at in range(0, len(content), 16_384)] or [b""]
    return b"".join(frame(DATA, flags if part is parts[-1] else 0, 1, part) for part in parts)


def trailer(status: bytes = b"0", text: bytes = b"") -> bytes:
    """Return a trailer."""
    return header(1, (b"grpc-status", status), (b"grpc-message", text))


READY = frame(SETTINGS, 0, 0)
GRPC = header(0, (b":status", b"200"), (b"content-type", b"application/grpc"))


def trailers_only(status: bytes, text: bytes = b"") -> bytes:
    """Return an error without a body."""
    kind = (b"content-type", b"application/grpc")
    return header(1, (b":status", b"200"), kind, (b"grpc-status", status), (b"grpc-message", text))


# -- server -----------------------------------------------------------------------------------------------------------


@contextmanager
def scripted(*scripts: Sequence[Step], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Follow a script on every connection, the last one also on all later ones; yields the port.

    At the end of a script the connection is closed.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    connections: list[socket.socket] = []

    def follow(plain: socket.socket, script: Sequence[Step]) -> None:
        with contextlib.suppress(OSError), plain:
            sock = plain
            if tls is not None:
                sock = tls.wrap_socket(plain, server_side=True)
                connections.append(sock)
            for step in script:
                if isinstance(step, bytes):
                    sock.sendall(step)
                else:
                    step(sock)
            sock.close()

    def accept() -> None:
        with contextlib.suppress(OSError):
            for number in itertools.count():
                sock, _ = listener.accept()
                connections.append(sock)
                script = scripts[min(number, len(scripts) - 1)]
                threading.Thread(target=follow, args=(sock, script), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        for each in (listener, *connections):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
