"""Reads bodies of HTTP responses: line by line as they arrive, and never more than a limit.

geventhttpclient reads a body of any size, and searches a long line from its start again for every block.
"""

from collections.abc import Iterator

from geventhttpclient.response import HTTPConnectionClosed, HTTPSocketResponse

MAX_ANSWER_BYTES = 64 * 2**20
"""Largest answer to a request."""
_MAX_LINE_BYTES = 2**20
_BLOCK_BYTES = 16 * 2**10


class TooLargeError(Exception):
    """A body is larger than the limit; `start` holds what was read of it."""

    def __init__(self, limit: int, start: bytes) -> None:
        super().__init__(f"an answer of more than {limit // 2**10} KiB")
        self.start = start


def lines(response: HTTPSocketResponse) -> Iterator[bytes]:
    """Yield each line of a body as soon as it has arrived, also the last one without a line feed.

    Raises:
        TooLargeError: a line, or the whole body, is too large.
    """
    buffer = response._body_buffer
    total = searched = 0
    while True:
        end = buffer.find(b"\n", searched)
        if end >= 0:
            line = bytes(buffer[: end + 1])
            del buffer[: end + 1]
            searched = 0
            total += len(line)
            if total > MAX_ANSWER_BYTES:
                raise TooLargeError(MAX_ANSWER_BYTES, line)
            yield line
        elif response.message_complete:
            yield bytes(buffer)
            return
        elif len(buffer) > _MAX_LINE_BYTES:
            raise TooLargeError(_MAX_LINE_BYTES, bytes(buffer))
        else:
            searched = len(buffer)
            _receive(response)


def whole(response: HTTPSocketResponse, limit: int = MAX_ANSWER_BYTES) -> bytes:
    """Return a whole body.

    Raises:
        TooLargeError: it has more bytes than the limit.
    """
    buffer = response._body_buffer
    while not response.message_complete and len(buffer) <= limit:
        _receive(response)
    if len(buffer) > limit:
        raise TooLargeError(limit, bytes(buffer[:limit]))
    return bytes(buffer)


def _receive(response: HTTPSocketResponse) -> None:
    if response._sock is None:
        raise HTTPConnectionClosed("connection closed.")
    try:
        response.feed(response._sock.recv(_BLOCK_BYTES))
    except BaseException:
        response.release()
        raise
