"""Encodes requests to Triton's `generate` and `generate_stream` calls, and decodes their answers."""

import re
import time
from typing import Final
from urllib.parse import quote

from loadgen.base.connection import Connection
from loadgen.protocols.answer import Answer
from loadgen.protocols.detect import Model
from loadgen.protocols.generate import Generate, error_text, unexpected_body
from loadgen.protocols.local_fault import local_fault
from loadgen.protocols.wire.exchange import MAX_ERROR_BYTES, Exchange, Pause, no_pause

MAX_LINE_BYTES: Final = 2**20
"""Longest line of a stream of events."""
MAX_EVENTS: Final = 2**18
"""Most events of one answer."""
_DATA: Final = re.compile(rb"data:(?<![^\r\n]data:)([^\r\n]*)(\r\n?|\n|$)")


class GenerateCodec:
    """The calls of one model; implements `Codec`."""

    def __init__(self, model: Model, *, stream: bool, connection: Connection) -> None:
        self._stream = stream
        self._bodies = Generate(model, stream=stream, redacted=connection.redacted)
        call = "generate_stream" if stream else "generate"
        self.path = f"{connection.path}/v2/models/{quote(model.name, safe='')}/{call}"

    def encode(self, prompt: str, max_tokens: int) -> bytes:
        """Return the JSON body of a request."""
        return self._bodies.body(prompt, max_tokens)

    def decode(self, exchange: Exchange, pause: Pause = no_pause) -> Answer:
        """Return the answer of an exchange that has ended, or that a stop ends now."""
        ended = time.monotonic() if exchange.ended_at is None else exchange.ended_at
        code, message = exchange.code, exchange.message
        if exchange.fault is not None:
            message = local_fault(exchange.fault) or message
        events: list[bytes] = []
        times: list[float] = []
        if exchange.status == 200:
            if self._stream:
                events, times, fault = events_in(exchange)
                pause()
                if exchange.complete and not exchange.bounded:
                    fault = fault or "the connection closed, and nothing says that the answer was whole"
                elif exchange.complete and not events:
                    kind = exchange.headers.get("content-type", "")
                    fault = unexpected_body(bytes(exchange.data[:MAX_ERROR_BYTES]), kind, "a stream of events")
                message = message or fault
            elif exchange.complete:
                events, times = [bytes(exchange.data)], [exchange.stamps[-1] if exchange.stamps else ended]
                if "html" in exchange.headers.get("content-type", ""):
                    message = message or unexpected_body(
                        events[0][:MAX_ERROR_BYTES], exchange.headers["content-type"], "JSON"
                    )
                    events, times = [], []
        elif exchange.status and not code:  # also an error whose body is not whole
            body = bytes(exchange.data[:MAX_ERROR_BYTES])
            code, message = str(exchange.status), error_text(body) if body or exchange.complete else message
        return self._bodies.answer(events, times, code, message, ended, exchange.headers, pause)


def events_in(exchange: Exchange) -> tuple[list[bytes], list[float], str]:
    """Return the data of each server-sent event, its arrival, and what is wrong with the stream.

    Every line counts as soon as its end has arrived; the last one of a whole answer needs none.
    """
    data = bytes(exchange.data)
    events: list[bytes] = []
    ends: list[int] = []
    fault = ""
    for line in _DATA.finditer(data):  # rather than a list of all lines: a server can send millions of empty ones
        if not line[2] and not exchange.complete:
            break
        if line.end() - line.start() > MAX_LINE_BYTES:
            fault = f"an answer of more than {MAX_LINE_BYTES // 2**10} KiB"
            break
        if len(events) == MAX_EVENTS:
            fault = f"an answer of more than {MAX_EVENTS} events"
            break
        events.append(line[1])
        ends.append(line.end())
    return events, exchange.arrivals(ends), fault
