"""Encodes and decodes header blocks of HTTP/2 without a dynamic table (RFC 7541).

The peer is told that our table has no room (SETTINGS_HEADER_TABLE_SIZE 0), so that a block means the same whenever it
arrives: most peers repeat a few blocks, which are decoded once. Of other blocks, such as those with a date or a request
id, only the fields that are read are decoded.
"""

from collections.abc import Iterable
from typing import Final

from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

WANTED: Final = frozenset({":status", "grpc-status", "grpc-message", "content-type", "location", "x-pod-name"})
_STATIC: Final = tuple((name.decode(), value.decode()) for name, value in HeaderTable.STATIC_TABLE)
_MAX_KNOWN: Final = 1024
"""Most blocks, and most names, that are remembered."""
_MAX_KNOWN_BYTES: Final = 1024
"""Longest block that is remembered."""


_MAX_NAME_BYTES: Final = 64
"""Longest name that is decoded; those of `WANTED` are shorter in any code."""


class HpackError(Exception):
    """A header block breaks the rules of HPACK; the message says how."""


def encode(fields: Iterable[tuple[str, str]]) -> bytes:
    """Return a header block in which every field is a literal that no table remembers.

    Args:
        fields: Names in lower case, and values.
    """
    return b"".join(b"\x00" + _string(name) + _string(value) for name, value in fields)


def _string(text: str) -> bytes:
    data = text.encode()
    size = len(data)
    if size < 127:
        return bytes((size,)) + data
    size -= 127
    prefix = bytearray((127,))
    while size >= 128:
        prefix.append(size & 127 | 128)
        size >>= 7
    prefix.append(size)
    return bytes(prefix) + data


class Decoder:
    """Decodes header blocks, and remembers the short ones."""

    def __init__(self) -> None:
        self._blocks: dict[bytes, dict[str, str]] = {}
        self._names: dict[bytes, str] = {}

    def decode(self, block: bytes) -> dict[str, str]:
        """Return the fields of `WANTED` in a header block; the caller must not change the dictionary.

        Raises:
            HpackError: the block is malformed, or refers to a dynamic table.
        """
        known = self._blocks.get(block)
        if known is None:
            try:
                known = self._decoded(block)
            except IndexError:
                raise HpackError("a header block ends too early") from None
            if len(block) <= _MAX_KNOWN_BYTES:
                if len(self._blocks) >= _MAX_KNOWN:
                    self._blocks.clear()
                self._blocks[block] = known
        return known

    def _decoded(self, block: bytes) -> dict[str, str]:
        fields: dict[str, str] = {}
        at, size = 0, len(block)
        while at < size:
            first = block[at]
            if first & 0x80:
                index, at = _integer(block, at, 0x7F)
                name, value = _entry(index)
                if name in WANTED:
                    fields[name] = value
                continue
            if first & 0xE0 == 0x20:
                limit, at = _integer(block, at, 0x1F)
                if limit:
                    raise HpackError("the server enlarges the HPACK table, which was announced as empty")
                continue
            index, at = _integer(block, at, 0x3F if first & 0x40 else 0x0F)
            if index:
                name, _ = _entry(index)
            else:
                start, at = at, _end_of_string(block, at)
                name = self._name(block[start:at])
            start, at = at, _end_of_string(block, at)
            if name in WANTED:
                fields[name] = _text(block[start:at])
        if at > size:
            raise HpackError("a header block ends too early")
        return fields

    def _name(self, raw: bytes) -> str:
        if len(raw) > _MAX_NAME_BYTES:
            if _end_of_string(raw, 0) > len(raw):
                raise HpackError("a header block ends too early")
            return ""
        name = self._names.get(raw)
        if name is None:
            name = _text(raw)
            if len(self._names) >= _MAX_KNOWN:
                self._names.clear()
            self._names[raw] = name
        return name


def _entry(index: int) -> tuple[str, str]:
    if not 1 <= index <= len(_STATIC):
        raise HpackError("the server refers to the HPACK table, which was announced as empty")
    return _STATIC[index - 1]


def _integer(block: bytes, at: int, mask: int) -> tuple[int, int]:
    """Return an integer with a prefix, and where it ends (RFC 7541, section 5.1)."""
    value = block[at] & mask
    at += 1
    if value < mask:
        return value, at
    for shift in range(0, 28, 7):
        byte = block[at]
        at += 1
        value += (byte & 127) << shift
        if byte < 128:
            return value, at
    raise HpackError("an integer of a header block is too large")


def _end_of_string(block: bytes, at: int) -> int:
    size, at = _integer(block, at, 0x7F)
    return at + size


def _text(raw: bytes) -> str:
    """Return a string literal with its length in front (RFC 7541, section 5.2)."""
    size, at = _integer(raw, 0, 0x7F)
    data = raw[at : at + size]
    if len(data) < size:
        raise HpackError("a header block ends too early")
    if raw[0] & 0x80:
        try:
            data = decode_huffman(data)
        except Exception as error:  # the library's own classes
            raise HpackError("a Huffman code of a header block is invalid") from error
    return data.decode("utf-8", "replace")
