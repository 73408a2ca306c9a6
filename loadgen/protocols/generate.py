"""Encodes and decodes the bodies of Triton's `generate` and `generate_stream` calls."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from json.encoder import encode_basestring_ascii
from typing import Any

from loadgen.base.text import clean
from loadgen.dataset.names import Cause
from loadgen.protocols.answer import Answer, answer_of, classify_failure, valid_token_count
from loadgen.protocols.detect import Model
from loadgen.protocols.engine import POD_HEADER, POD_NAME, engine_times, integer, pod_name
from loadgen.protocols.json_text import JSON_ERRORS, error_message, parsed_json, text_bytes
from loadgen.protocols.text import valid_text

_EXCERPT_BYTES = 4096
_MARK = "\0"
_PAUSE_MASK = 31
_MAX_LAYOUTS = 16
_MAX_LAYOUT_BYTES = 4096
_TEXT_KEY = b'"text_output"'
_TEXT = re.compile(rb'"text_output"\s*:\s*"([^"\\\x00-\x1f]*)"')
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')


class Generate:
    """The bodies of one model's calls.

    Args:
        model: The model.
        stream: Whether answers are streamed.
        redacted: Removes secrets from a message of the server.
    """

    def __init__(self, model: Model, *, stream: bool, redacted: Any) -> None:
        self._model = model
        self._stream = stream
        self._redacted = redacted
        text, limit = model.tensors[:2]
        constant = {tensor.name: tensor.json() for tensor in model.constant(stream=stream)}
        # the prompt and the limit are put into the JSON of the rest, which takes a third of the time
        before, after = json.dumps({**constant, text.name: _MARK, limit.name: 0}).split(json.dumps(_MARK))
        self._before, self._after = before, after.removesuffix("0}")
        self._events = _Events()

    def body(self, prompt: str, max_tokens: int) -> bytes:
        """Return the body of a request."""
        return f"{self._before}{encode_basestring_ascii(valid_text(prompt))}{self._after}{max_tokens}}}".encode()

    def answer(
        self,
        events: Sequence[bytes],
        times: Sequence[float],
        code: str,
        message: str,
        ended: float,
        headers: Mapping[str, str],
        pause: Callable[[], None] = lambda: None,
    ) -> Answer:
        """Return the answer that a sequence of events makes.

        Args:
            events: JSON of each event, or of the only answer.
            times: Arrival of each event, readings of the monotonic clock, seconds.
            code: HTTP status of a failure, or `TIMEOUT`; empty otherwise.
            message: Description of a failure; empty without one.
            ended: When the answer ended.
            headers: Header of the answer.
            pause: Called now and then.
        """
        texts: list[bytes] = []
        counts: list[int | None] = []
        arrived: list[float] = []
        first: dict[str, Any] = {}
        last: dict[str, Any] = {}
        known = self._events.known
        for data, at in zip(events, times, strict=True):
            if not len(texts) & _PAUSE_MASK:
                pause()
            if (found := known(data)) is not None:
                text, tokens, like = found
                texts.append(text)
                counts.append(tokens)
                arrived.append(at)
                first, last = first or like, like
                continue
            try:
                event = parsed_json(data)
            except JSON_ERRORS:
                message = message or "an answer that is not JSON"
                continue
            if not isinstance(event, dict):
                message = message or "an answer that is not a JSON object"
            elif event.get("error"):
                message = message or clean(event["error"])
            else:
                texts.append(_text(event.get("text_output")))
                counts.append(valid_token_count(integer(event.get("num_output_tokens"))))
                self._events.learn(data, event, counts[-1])
                arrived.append(at)
                first, last = first or event, event
        pause()
        answer = answer_of(texts, counts, arrived, ended, stream=self._stream)
        if self._model.engine_times:
            answer.engine = engine_times(last)
        answer.pod = pod_name(first.get(POD_NAME)) or pod_name(last.get(POD_NAME)) or pod_name(headers.get(POD_HEADER))
        if code or message:
            answer.outcome, answer.cause = classify_failure(
                code, self._redacted(message), began=answer.last is not None
            )
        return answer


class _Events:
    """Reads events that differ from an earlier one in nothing but their text, without parsing them.

    What is before and after the text of an event is compared with those of the events that were parsed. Text without
    quotation marks, backslashes and control characters cannot change the meaning of what follows.
    """

    def __init__(self) -> None:
        self._layouts: list[tuple[bytes, bytes, int | None, dict[str, Any]]] = []
        self._misses = 0

    def known(self, data: bytes) -> tuple[bytes, int | None, dict[str, Any]] | None:
        """Return text, number of tokens and an event with the same other values; None if the event must be parsed."""
        for before, after, tokens, event in self._layouts:
            end = len(data) - len(after)
            if data.startswith(before) and data.endswith(after) and len(before) <= end:
                text = data[len(before) : end]
                if _PLAIN.fullmatch(text):
                    return text, tokens, event
        return None

    def learn(self, data: bytes, event: dict[str, Any], tokens: int | None) -> None:
        """Remember the layout of an event that was parsed, unless most events have one of their own."""
        self._misses += 1
        found = _TEXT.search(data)
        if found is None or self._misses > _MAX_LAYOUTS or data.count(_TEXT_KEY) != 1 or len(data) > _MAX_LAYOUT_BYTES:
            return
        if found[1].decode("utf-8", "surrogateescape") == event.get("text_output"):
            self._layouts.append((data[: found.start(1)], data[found.end(1) :], tokens, event))


def error_text(body: bytes) -> str:
    """Return the message in the body of an error: that of its JSON, or else the first line."""
    try:
        parsed = json.loads(body)
    except JSON_ERRORS:
        text = body[:_EXCERPT_BYTES].decode(errors="replace")
        title = re.search(r"<title>([^<]*)</title>", text, re.IGNORECASE)  # of a page by another server
        first = next((line for line in (title[1] if title else text).splitlines() if line.strip()), "an empty body")
        return clean(first)
    if isinstance(parsed, dict):
        return error_message(parsed) or clean(parsed.get("error", parsed))
    return clean(parsed)


def unexpected_body(body: bytes, content_type: str, expected: str) -> str:
    """Describe an answer with status 200 that is not what was asked for: its error, or its type and first line."""
    if not body.strip():
        return Cause.EMPTY_ANSWER
    try:
        parsed = json.loads(body)
    except JSON_ERRORS:
        parsed = None
    if isinstance(parsed, dict) and parsed.get("error"):
        return clean(parsed["error"])
    kind = clean(content_type.partition(";")[0].strip(), 60) or "no content type"
    return f"an answer that is not {expected} ({kind}): {error_text(body)}"


def _text(value: object) -> bytes:
    """Return the text of an event; several strings are joined."""
    return text_bytes("".join(map(str, value)) if isinstance(value, list) else str(value or ""))
