"""Encodes and decodes the bodies of Triton's `generate` and `generate_stream` calls."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from loadgen.base.text import clean
from loadgen.dataset.names import Cause
from loadgen.protocols.answer import Answer, answer_of, classify_failure, valid_token_count
from loadgen.protocols.detect import Model
from loadgen.protocols.engine import POD_HEADER, POD_NAME, engine_times, integer, pod_name
from loadgen.protocols.json_text import JSON_ERRORS, error_message, parsed_json, text_bytes
from loadgen.protocols.text import valid_text

_EXCERPT_BYTES = 4096


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
        self._text, self._limit = model.tensors[:2]
        self._constant = {tensor.name: tensor.json() for tensor in model.constant(stream=stream)}

    def body(self, prompt: str, max_tokens: int) -> bytes:
        """Return the body of a request."""
        values = {**self._constant, self._text.name: valid_text(prompt), self._limit.name: max_tokens}
        return json.dumps(values).encode()

    def answer(
        self,
        events: Sequence[bytes],
        times: Sequence[float],
        code: str,
        message: str,
        ended: float,
        headers: Mapping[str, str],
    ) -> Answer:
        """Return the answer that a sequence of events makes.

        Args:
            events: JSON of each event, or of the only answer.
            times: Arrival of each event, readings of the monotonic clock, seconds.
            code: HTTP status of a failure, or `TIMEOUT`; empty otherwise.
            message: Description of a failure; empty without one.
            ended: When the answer ended.
            headers: Header of the answer.
        """
        texts: list[bytes] = []
        counts: list[int | None] = []
        arrived: list[float] = []
        first: dict[str, Any] = {}
        last: dict[str, Any] = {}
        for data, at in zip(events, times, strict=True):
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
                arrived.append(at)
                first, last = first or event, event
        answer = answer_of(texts, counts, arrived, ended, stream=self._stream)
        if self._model.engine_times:
            answer.engine = engine_times(last)
        answer.pod = pod_name(first.get(POD_NAME)) or pod_name(last.get(POD_NAME)) or pod_name(headers.get(POD_HEADER))
        if code or message:
            answer.outcome, answer.cause = classify_failure(
                code, self._redacted(message), began=answer.last is not None
            )
        return answer


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
