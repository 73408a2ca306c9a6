"""Encodes requests to OpenAI's calls `chat/completions` and `completions`, and decodes their answers."""

import json
import time
from collections.abc import Callable
from typing import Any, Final

from loadgen.base.connection import Connection
from loadgen.base.text import clean
from loadgen.dataset.names import Cause, TokenSource
from loadgen.protocols.answer import Answer, answer_of, classify_failure
from loadgen.protocols.engine import POD_HEADER, pod_name
from loadgen.protocols.generate import error_text
from loadgen.protocols.json_text import JSON_ERRORS, parsed_json
from loadgen.protocols.local_fault import local_fault
from loadgen.protocols.openai import CALLS, OpenAiModel, api_path
from loadgen.protocols.openai_body import BROKEN_OFF, error_of, part_of
from loadgen.protocols.text import valid_text
from loadgen.protocols.wire.events import events_in
from loadgen.protocols.wire.exchange import MAX_ERROR_BYTES, Exchange

_DONE: Final = b"[DONE]"
_PAUSE_MASK: Final = 31
_MALFORMED: Final = "an answer that is not a JSON object"
NOT_WHOLE: Final = "the stream ended without finish_reason and [DONE]"


class OpenAiCodec:
    """The calls of one model; implements `Codec`.

    Args:
        model: The model.
        stream: Whether answers are streamed.
        connection: Path and headers of the connection.
    """

    def __init__(self, model: OpenAiModel, *, stream: bool, connection: Connection) -> None:
        self._stream = stream
        self._chat = model.call == "chat"
        self._choices = model.choices
        self._redacted = connection.redacted
        self.path = f"{api_path(connection.path)}/{CALLS[model.call]}"
        fields = {"stream_options": {"include_usage": True}, **model.inputs, "model": model.name, "stream": stream}
        if not stream or not fields["stream_options"]:
            del fields["stream_options"]
        self._constant = fields

    def encode(self, prompt: str, max_tokens: int) -> bytes:
        """Return the JSON body of a request."""
        text = valid_text(prompt)
        asked: dict[str, Any] = {"messages": [{"role": "user", "content": text}]} if self._chat else {"prompt": text}
        return json.dumps({**self._constant, **asked, "max_tokens": max_tokens}).encode()

    def decode(self, exchange: Exchange, pause: Callable[[], None] = lambda: None) -> Answer:
        """Return the answer of an exchange that has ended, or that a stop ends now; `pause` is called now and then.

        It is whole with `[DONE]`, or with a `finish_reason` of every choice, whatever follows.
        """
        ended = time.monotonic() if exchange.ended_at is None else exchange.ended_at
        reading = _Reading(self._choices)
        if exchange.status == 200 and self._stream:
            reading.read_stream(exchange, pause)
        elif exchange.status == 200 and exchange.complete:
            reading.read_whole(exchange)
        if reading.whole_at is not None:
            ended = reading.whole_at
        answer = answer_of(reading.texts, [None] * len(reading.texts), reading.times, ended, stream=self._stream)
        if answer.last is not None and reading.tokens:
            answer.output_tokens, answer.token_source = reading.tokens, TokenSource.SERVER
        answer.pod = pod_name(exchange.headers.get(POD_HEADER))
        code, message = reading.code, reading.error
        if not code and not message and reading.whole_at is None:
            code, message = _failure(exchange, reading)
        message = message or reading.fault
        if code or message:
            answer.outcome, answer.cause = classify_failure(
                code, self._redacted(message), began=answer.last is not None
            )
        return answer


class _Reading:
    """What the objects of one answer say.

    Attributes:
        texts: Output of each object that has any.
        times: Arrival of each of these.
        tokens: The server's last count of output tokens; None without one.
        whole_at: When the answer was whole; None if it is not.
        code: HTTP status that an error object has; empty without one.
        error: Message of an error object, or of a `finish_reason` that is one; empty without one.
        fault: What is wrong with the form of the answer.
        objects: Number of objects read.
    """

    __slots__ = ("_choices", "_finished", "code", "error", "fault", "objects", "texts", "times", "tokens", "whole_at")

    def __init__(self, choices: int) -> None:
        self._choices = choices
        self._finished: set[int] = set()
        self.texts: list[bytes] = []
        self.times: list[float] = []
        self.tokens: int | None = None
        self.whole_at: float | None = None
        self.code = self.error = self.fault = ""
        self.objects = 0

    def read_stream(self, exchange: Exchange, pause: Callable[[], None]) -> None:
        """Read a stream of events, up to its end or its first error."""
        events, times, fault = events_in(exchange)
        for number, (data, at) in enumerate(zip(events, times, strict=True)):
            if not number & _PAUSE_MASK:
                pause()
            if data.strip() == _DONE:
                self.whole_at = at
                break
            self._read(data, at)
            if self.error:
                break
        if not events and exchange.complete:
            self._read_error(bytes(exchange.data))
        if self.whole_at is None:
            self.fault = self.fault or fault

    def read_whole(self, exchange: Exchange) -> None:
        """Read an answer that is not streamed."""
        at = exchange.stamps[-1] if exchange.stamps else exchange.ended_at or time.monotonic()
        body = bytes(exchange.data)
        self._read(body, at)
        if self.fault:
            self.fault = _unexpected(body, exchange.headers.get("content-type", ""), "JSON")
        else:
            self.whole_at = at

    def _read_error(self, body: bytes) -> None:
        """Read a body without events, which can be the JSON of an error."""
        try:
            value = parsed_json(body[:MAX_ERROR_BYTES])
        except JSON_ERRORS:
            return
        if isinstance(value, dict) and (error := error_of(value)):
            self.code, self.error = error

    def _read(self, data: bytes, at: float) -> None:
        try:
            value = parsed_json(data)
        except JSON_ERRORS:
            value = None
        if not isinstance(value, dict):
            if self.whole_at is None:
                self.fault = self.fault or _MALFORMED
            return
        self.objects += 1
        if error := error_of(value):
            self.code, self.error = error
            return
        part = part_of(value)
        if part.text:
            self.texts.append(part.text)
            self.times.append(at)
        if part.tokens is not None:
            self.tokens = part.tokens
        if part.finished:
            self._finish(part.finished, at)

    def _finish(self, reasons: Any, at: float) -> None:
        for choice, reason in reasons.items():
            self._finished.add(choice)
            if reason.lower() in BROKEN_OFF:
                self.error = f"the server broke off the answer (finish_reason {reason})"
        if len(self._finished) >= self._choices and self.whole_at is None:
            self.whole_at = at


def _failure(exchange: Exchange, reading: _Reading) -> tuple[str, str]:
    """Return code and message of an answer that is not whole."""
    if exchange.fault is not None:
        return exchange.code, local_fault(exchange.fault) or exchange.message
    if exchange.code or (exchange.message and exchange.status in (0, 200)):
        return exchange.code, exchange.message
    body = bytes(exchange.data[:MAX_ERROR_BYTES])
    if exchange.status != 200:
        return str(exchange.status), error_text(body) if body or exchange.complete else exchange.message
    if reading.fault:
        return "", reading.fault
    if not reading.objects:
        return "", _unexpected(body, exchange.headers.get("content-type", ""), "a stream of events")
    return "", NOT_WHOLE


def _unexpected(body: bytes, content_type: str, expected: str) -> str:
    """Describe an answer with status 200 that is not what was asked for."""
    body = body[:MAX_ERROR_BYTES]
    if not body.strip():
        return Cause.EMPTY_ANSWER
    kind = clean(content_type.partition(";")[0].strip(), 60) or "no content type"
    return f"an answer that is not {expected} ({kind}): {error_text(body)}"
