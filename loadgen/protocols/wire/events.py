"""Splits a stream of server-sent events, as the HTML standard defines them, into events with their arrivals."""

import re
from typing import Final

from loadgen.protocols.wire.exchange import Exchange

MAX_EVENT_BYTES: Final = 2**20
"""Most data of one event."""
MAX_EVENTS: Final = 2**18
"""Most events of one answer."""
_BOM: Final = b"\xef\xbb\xbf"
# a search for the lines with data: a server can send millions of other lines
_DATA: Final = re.compile(rb"data:(?<![^\r\n]data:) ?([^\r\n]*)(\r\n?|\n|$)")
_EMPTY_LINE: Final = re.compile(rb"\n[\r\n]|\r\r")  # after other lines
_LINE_END: Final = b"\r\n"


def events_in(exchange: Exchange) -> tuple[list[bytes], list[float], str]:
    """Return the data of each event, the arrival of its last byte, and what is wrong with the stream.

    Lines of data without an empty line between them are one event. Comments and other fields are passed over. The last
    event needs no empty line after it, and in a whole answer its last line needs no end.
    """
    data = bytes(exchange.data)
    if data.startswith(_BOM):
        data = b"\n" * len(_BOM) + data[len(_BOM) :]
    events: list[bytes] = []
    ends: list[int] = []
    lines: list[bytes] = []  # of the event that is being read
    size = end = 0
    fault = ""
    for line in _DATA.finditer(data):
        if not line[2] and not exchange.complete:
            break
        if lines and (data[end] in _LINE_END or _EMPTY_LINE.search(data, end, line.start())):
            events.append(b"\n".join(lines))
            ends.append(end)
            lines, size = [], 0
            if len(events) == MAX_EVENTS:
                fault = f"an answer of more than {MAX_EVENTS} events"
                break
        lines.append(line[1])
        end = line.end()
        size += len(line[1]) + 1
        if size > MAX_EVENT_BYTES:
            fault = f"an answer of more than {MAX_EVENT_BYTES // 2**10} KiB"
            lines = []
            break
    if lines:
        events.append(b"\n".join(lines))
        ends.append(end)
    return events, exchange.arrivals(ends), fault
