"""Targets: answers of servers with OpenAI's API."""

import json

from hypothesis import strategies as st

from loadgen.base.connection import DIRECT
from loadgen.dataset.names import Outcome
from loadgen.protocols.json_text import JSON_ERRORS
from loadgen.protocols.openai import OpenAiModel, choose_model, models_in
from loadgen.protocols.wire.exchange import Exchange
from loadgen.protocols.wire.openai_codec import OpenAiCodec
from support.fuzz.damage import damaged_bytes, json_bytes
from support.fuzz.target import Target
from support.servers.openai_answers import (
    DONE,
    MODEL,
    ROLE,
    chat_answer,
    chat_chunk,
    error,
    event,
    text_chunk,
    tool_call,
    usage,
    usage_chunk,
)

_CHUNKS = (
    ROLE,
    chat_chunk({"content": "a", "reasoning": "b", "refusal": "c"}, "stop"),
    chat_chunk(tool_call(name="f", arguments="{}")),
    text_chunk("a"),
    usage_chunk(),
    chat_answer({"content": [{"type": "text", "text": "a"}]}, **usage()),
    error("no", code=429),
    {"object": "error", "message": "no", "code": 400},
)
_STREAM = b": comment\r\n\r\n" + b"".join(map(event, _CHUNKS[:5])) + DONE
_CODECS = tuple(OpenAiCodec(OpenAiModel(name=MODEL), stream=stream, connection=DIRECT) for stream in (True, False))
_MODELS = {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 1, "owned_by": "vllm"}]}


def _answer(body: bytes) -> None:
    """Decode a body in two reads, in both ways and with different statuses: whatever it is, it has an outcome."""
    for codec in _CODECS:
        for status, complete in ((200, True), (200, False), (500, True)):
            exchange = Exchange(b"", 1.0, lambda _: None)
            exchange.status, exchange.complete = status, complete
            exchange.add(body[: len(body) // 2], 1.0)
            exchange.add(body[len(body) // 2 :], 2.0)
            exchange.end(3.0)
            answer = codec.decode(exchange)
            assert answer.outcome in Outcome
            assert (answer.cause is None) == (answer.outcome == Outcome.OK)
            assert answer.token_times == sorted(answer.token_times)
            assert answer.received_bytes <= 3 * len(body)


def _models(data: bytes) -> None:
    try:
        models = models_in(json.loads(data))
    except JSON_ERRORS:
        return
    if models is not None:
        choose_model(models, requested=None, call="chat", inputs={})


TARGETS = (
    Target(
        name="openai-answer",
        valid=(_STREAM, *(json.dumps(each).encode() for each in _CHUNKS[5:])),
        inputs=damaged_bytes(_STREAM)
        | json_bytes(*_CHUNKS)
        | st.lists(json_bytes(*_CHUNKS), max_size=4).map(lambda each: b"".join(b"data: " + x + b"\n\n" for x in each)),
        parse=_answer,
        calls=(
            "loadgen.protocols.wire.openai_codec:OpenAiCodec.decode",
            "loadgen.protocols.wire.events:events_in",
            "loadgen.protocols.openai_body:part_of",
            "loadgen.protocols.openai_body:error_of",
            "loadgen.protocols.json_text:parsed_json",
            "loadgen.protocols.json_text:error_message",
        ),
    ),
    Target(
        name="openai-models",
        valid=(json.dumps(_MODELS).encode(),),
        inputs=json_bytes(_MODELS),
        parse=_models,
        calls=("loadgen.protocols.openai:models_in", "loadgen.protocols.openai:choose_model"),
    ),
)
