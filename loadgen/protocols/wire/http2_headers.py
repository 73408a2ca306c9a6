"""Puts the frames of a header block together (RFC 9113, section 6.10)."""

from typing import Final

from loadgen.protocols.wire import http2_frames as h2
from loadgen.protocols.wire.http2_frames import ErrorCode, ProtocolError

MAX_BLOCK_BYTES: Final = 64 * 2**10
"""Largest header block, with its continuations."""


class HeaderBlocks:
    """The header blocks of one connection: no other frame may come between the frames of one.

    Attributes:
        unfinished: Whether more frames of a block must follow.
    """

    __slots__ = ("_block", "_flags", "_stream_id", "unfinished")

    def __init__(self) -> None:
        self._block = bytearray()
        self._stream_id = self._flags = 0
        self.unfinished = False

    def add(self, kind: int, flags: int, stream_id: int, payload: bytes) -> tuple[int, bytes] | None:
        """Add a HEADERS or CONTINUATION frame; return flags and block once it is whole.

        Raises:
            ProtocolError: the frame does not continue the block, or the block is too large.
        """
        if kind == h2.HEADERS:
            payload = h2.without_padding(payload, flags)
            self._stream_id, self._flags = stream_id, flags & h2.END_STREAM
            if flags & h2.END_HEADERS:
                return self._flags, payload
        elif stream_id != self._stream_id:
            raise ProtocolError("a header block is continued on another stream")
        elif not payload and not flags & h2.END_HEADERS:
            raise ProtocolError("a header block is continued by nothing", ErrorCode.ENHANCE_YOUR_CALM)
        self._block += payload
        if len(self._block) > MAX_BLOCK_BYTES:
            raise ProtocolError(f"a header of more than {MAX_BLOCK_BYTES // 2**10} KiB", ErrorCode.ENHANCE_YOUR_CALM)
        self.unfinished = not flags & h2.END_HEADERS
        if self.unfinished:
            return None
        block = bytes(self._block)
        self._block.clear()
        return self._flags, block
