"""OpenAI's calls without a network: what a request is, and what each answer means."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.base.connection import DIRECT, Connection
from loadgen.protocols.answer import Answer
from loadgen.protocols.openai import OpenAiModel
from loadgen.protocols.wire.exchange import Exchange
from loadgen.protocols.wire.openai_codec import OpenAiCodec
from support.servers.openai_answers import (
    DONE,
    MODEL,
    ROLE,
    USAGE_TOKENS,
    chat_answer,
    chat_chunk,
    error,
    event,
    text_answer,
    text_chunk,
    tool_call,
    usage,
    usage_chunk,
)

A, B = chat_chunk({"content": "Hel"}), chat_chunk({"content": "lo"})
END = chat_chunk({}, "stop")


def codec(*, stream: bool = True, path: str = "", **model: Any) -> OpenAiCodec:
    return OpenAiCodec(OpenAiModel(name=MODEL, **model), stream=stream, connection=Connection(path=path))


def exchange_of(*reads: bytes, status: int = 200, complete: bool = True, kind: str = "text/event-stream") -> Exchange:
    """Return an exchange whose reads arrived at 1, 2, … s, and which ended at 100 s."""
    exchange = Exchange(b"", 1.0, lambda _: None)
    exchange.status, exchange.complete, exchange.headers = status, complete, {"content-type": kind}
    for number, data in enumerate(reads, 1):
        exchange.add(data, float(number))
    exchange.ended_at = 100.0
    return exchange


def streamed(*values: object, done: bool = True, **model: Any) -> Answer:
    """Return the answer of a stream with one event in each read."""
    reads = [value if isinstance(value, bytes) else event(value) for value in values]
    return codec(**model).decode(exchange_of(*reads, *([DONE] if done else [])))


@pytest.mark.parametrize(
    ("values", "times", "tokens", "source", "text"),
    [
        # a role, an empty delta and a chunk without choices are no tokens
        ([ROLE, A, B, END], [2.0, 3.0], 2, "chunks", 5),
        ([ROLE, A, B, END, usage_chunk()], [2.0, 3.0], USAGE_TOKENS, "server", 5),
        # the last count wins: some servers send one with every chunk
        ([{**A, **usage(1)}, {**B, **usage(2)}, END], [1.0, 2.0], 2, "server", 5),
        ([A, {**B, "usage": None}, END], [1.0, 2.0], 2, "chunks", 5),
        ([A, B, END, usage_chunk(0)], [1.0, 2.0], 2, "chunks", 5),
        ([A, B, END, usage_chunk(2**40)], [1.0, 2.0], 2, "chunks", 5),
        # all that the model generates is output
        ([ROLE, chat_chunk({"reasoning_content": "Hm"}), A, END], [2.0, 3.0], 2, "chunks", 5),
        ([ROLE, chat_chunk({"reasoning": "Hm", "reasoning_content": "Hm"}), END], [2.0], 1, "chunks", 2),
        ([ROLE, chat_chunk({"refusal": "No"}), END], [2.0], 1, "chunks", 2),
        (
            [
                ROLE,
                chat_chunk(tool_call(name="f", arguments="")),
                chat_chunk(tool_call(arguments='{"a"')),
                chat_chunk(tool_call(arguments=": 1}")),
                chat_chunk({}, "tool_calls"),
            ],
            [2.0, 3.0, 4.0],
            3,
            "chunks",
            9,
        ),
        ([chat_chunk({"function_call": {"arguments": "{}"}}), END], [1.0], 1, "chunks", 2),
        ([chat_chunk({"content": None}), chat_chunk({"content": "a"}, "length")], [2.0], 1, "chunks", 1),
        # bytes that are no UTF-8, half of a pair, and an emoji
        ([b'data: {"choices":[{"delta":{"content":"\xf0\x9f"}}]}\n\n', END], [1.0], 1, "chunks", 2),
        ([b'data: {"choices":[{"delta":{"content":"\\ud83d"}}]}\n\n', END], [1.0], 1, "chunks", 3),
        ([chat_chunk({"content": "\N{GRINNING FACE}"}), END], [1.0], 1, "chunks", 4),
    ],
)
def test_streams_of_chat(values: list[object], times: list[float], tokens: int, source: str, text: int) -> None:
    """Each chunk with output has its time; the server's count wins, else chunks are counted."""
    answer = streamed(*values)
    assert (answer.outcome, answer.cause) == ("ok", None)
    assert (answer.token_times, answer.output_tokens, answer.token_source) == (times, tokens, source)
    assert (answer.received_bytes, answer.last) == (text, times[-1])
    assert answer.ended == len(values) + 1  # with [DONE]


def test_a_stream_of_completions() -> None:
    """The text of `completions` is output."""
    answer = streamed(text_chunk("a"), text_chunk(""), text_chunk("b", "length"), call="completions")
    assert (answer.outcome, answer.token_times, answer.output_tokens) == ("ok", [1.0, 3.0], 2)


def test_several_choices() -> None:
    """Chunks of all choices are output, and the answer is whole once each has a finish_reason."""
    values = [chat_chunk({"content": "a"}, index=0), chat_chunk({"content": "b"}, "stop", index=1)]
    assert streamed(*values, done=False, inputs={"n": 2}).outcome == "cut_off"
    answer = streamed(*values, chat_chunk({}, "stop", index=0), done=False, inputs={"n": 2})
    assert (answer.outcome, answer.token_times) == ("ok", [1.0, 2.0])


@pytest.mark.parametrize(
    ("values", "done", "outcome", "cause"),
    [
        ([A, B, END], False, "ok", None),
        ([A, B], True, "ok", None),
        ([A, B], False, "cut_off", "the stream ended without finish_reason and [DONE]"),
        ([ROLE], False, "error", "the stream ended without finish_reason and [DONE]"),
        ([ROLE, END], True, "error", "empty answer"),
        ([], True, "error", "empty answer"),
        ([], False, "error", "empty answer"),
        ([A, error("the engine failed")], True, "cut_off", "the engine failed"),
        ([A, END, error("the engine failed")], False, "cut_off", "the engine failed"),
        ([error("the engine failed")], False, "error", "the engine failed"),
        ([error("slow down", "rate_limit", 429)], True, "rejected", "429: slow down"),
        ([error("bad", code="invalid_value")], True, "error", "bad"),
        ([{"error": "out of memory"}], True, "error", "out of memory"),
        ([{"error": {"type": "overloaded_error"}}], True, "error", "overloaded_error"),
        ([{"object": "error", "message": "too long", "code": 400}], True, "error", "400: too long"),
        ([A, chat_chunk({}, "abort")], True, "cut_off", "the server broke off the answer (finish_reason abort)"),
        ([b"data: {\n\n"], True, "error", "an answer that is not a JSON object"),
        ([A, b"data: [1]\n\n"], True, "cut_off", "an answer that is not a JSON object"),
        ([A, END, b"data: {\n\n"], True, "ok", None),
        # after [DONE] nothing counts
        ([A, DONE, error("late")], False, "ok", None),
    ],
)
def test_ends_of_streams(values: list[object], done: bool, outcome: str, cause: str | None) -> None:
    """A stream is whole with [DONE] or finish_reason; errors inside it, and other ends, are failures."""
    answer = streamed(*values, done=done)
    assert (answer.outcome, answer.cause) == (outcome, cause)


@pytest.mark.parametrize(
    ("body", "kind", "outcome", "cause"),
    [
        (json.dumps(error("no", code=503)), "application/json", "rejected", "503: no"),
        (json.dumps(error("no")), "application/json", "error", "no"),
        (
            "<title>Sign in</title>",
            "text/html",
            "error",
            "an answer that is not a stream of events (text/html): Sign in",
        ),
    ],
)
def test_an_answer_that_is_not_a_stream(body: str, kind: str, outcome: str, cause: str) -> None:
    """With status 200, what the body says decides."""
    answer = codec().decode(exchange_of(body.encode(), kind=kind))
    assert (answer.outcome, answer.cause) == (outcome, cause)


@pytest.mark.parametrize(
    ("value", "call", "tokens", "source", "text"),
    [
        (chat_answer({"content": "Hello"}, **usage()), "chat", USAGE_TOKENS, "server", 5),
        (chat_answer({"content": "Hello"}), "chat", None, None, 5),
        (chat_answer({"reasoning_content": "Hm", "content": "x"}), "chat", None, None, 3),
        (chat_answer({"content": [{"type": "text", "text": "abc"}]}), "chat", None, None, 3),
        (chat_answer(tool_call(name="f", arguments="{}")), "chat", None, None, 3),
        (text_answer("abc", **usage(3)), "completions", 3, "server", 3),
    ],
)
def test_whole_answers(value: object, call: str, tokens: int | None, source: str | None, text: int) -> None:
    """Without streaming there are no token times, and the count is the server's."""
    answer = codec(stream=False, call=call).decode(exchange_of(json.dumps(value).encode(), kind="application/json"))
    assert (answer.outcome, answer.token_times, answer.last) == ("ok", [], 1.0)
    assert (answer.output_tokens, answer.token_source, answer.received_bytes) == (tokens, source, text)


@pytest.mark.parametrize(
    ("status", "body", "outcome", "cause"),
    [
        (200, json.dumps(error("the engine failed")), "error", "the engine failed"),
        (200, "{}", "error", "empty answer"),
        (200, "x", "error", "an answer that is not JSON (application/json): x"),
        (200, "", "error", "empty answer"),
        (200, json.dumps(chat_answer({"content": "a"}, "error")), "cut_off", "the server broke off the answer"),
        (429, json.dumps(error("slow down", "rate_limit", "rate_limit_exceeded")), "rejected", "429: slow down"),
        (503, json.dumps(error("overloaded")), "rejected", "503: overloaded"),
        (404, json.dumps(error("no such model", code="model_not_found")), "rejected", "404: no such model"),
        (400, json.dumps(error("max_tokens is too large")), "error", "400: max_tokens is too large"),
        (400, json.dumps({"object": "error", "message": "too long", "code": 400}), "error", "400: too long"),
        (422, json.dumps({"detail": "no"}), "error", "422: no"),
        (500, "", "error", "500: an empty body"),
        (502, "<title>Bad Gateway</title>", "error", "502: Bad Gateway"),
    ],
)
def test_errors(status: int, body: str, outcome: str, cause: str) -> None:
    """Errors are those of the status, or of the object with status 200, with the server's own message."""
    for stream in (False,) if status == 200 else (False, True):
        answer = codec(stream=stream).decode(exchange_of(body.encode(), status=status, kind="application/json"))
        assert answer.outcome == outcome
        assert (answer.cause or "").startswith(cause)


@pytest.mark.parametrize(
    ("reads", "code", "message", "outcome"),
    [
        ([], "TIMEOUT", "timed out", "timeout"),
        ([event(A)], "TIMEOUT", "timed out", "timeout"),
        ([event(A)], "", "Incomplete response: the connection closed before its end", "cut_off"),
        ([event(ROLE)], "", "Incomplete response: the connection closed before its end", "error"),
        # all output had arrived
        ([event(A), event(END)], "", "Incomplete response: the connection closed before its end", "ok"),
        ([event(A), event(END), DONE], "TIMEOUT", "timed out", "ok"),
    ],
)
def test_ends_of_connections(reads: list[bytes], code: str, message: str, outcome: str) -> None:
    """A failed connection is a failure, unless the answer was whole before."""
    exchange = exchange_of(*reads, complete=False)
    exchange.code, exchange.message = code, message
    assert codec().decode(exchange).outcome == outcome


def test_requests() -> None:
    """Requests of both calls, with and without streaming."""
    fields = {"model": MODEL, "stream": True, "stream_options": {"include_usage": True}, "max_tokens": 8}
    assert json.loads(codec().encode("Hi", 8)) == {**fields, "messages": [{"role": "user", "content": "Hi"}]}
    assert json.loads(codec(call="completions").encode("Hi", 8)) == {**fields, "prompt": "Hi"}
    assert json.loads(codec(stream=False, call="completions").encode("Hi", 8)) == {
        "model": MODEL,
        "stream": False,
        "max_tokens": 8,
        "prompt": "Hi",
    }


@pytest.mark.parametrize(("options", "sent"), [({"include_usage": False}, {"include_usage": False}), ({}, None)])
def test_the_scenario_can_replace_stream_options(options: dict[str, bool], sent: object) -> None:
    """For servers that do not know `include_usage`, a scenario replaces or omits it."""
    body = json.loads(codec(inputs={"stream_options": options, "temperature": 0.5}).encode("Hi", 8))
    assert (body.get("stream_options"), body["temperature"]) == (sent, 0.5)


@pytest.mark.parametrize(
    ("path", "whole"),
    [("", "/v1/chat/completions"), ("/v1", "/v1/chat/completions"), ("/llm", "/llm/v1/chat/completions")],
)
def test_the_path_of_a_url_with_and_without_v1(path: str, whole: str) -> None:
    """A URL may have /v1 at its end, as clients of OpenAI write it, or not."""
    assert codec(path=path).path == whole


def test_the_replica_is_named_by_a_header() -> None:
    """A gateway's header names the replica."""
    exchange = exchange_of(event(A), DONE)
    exchange.headers["x-pod-name"] = "vllm-0"
    assert OpenAiCodec(OpenAiModel(name=MODEL), stream=True, connection=DIRECT).decode(exchange).pod == "vllm-0"


@given(st.data())
def test_how_a_stream_is_cut_into_reads_does_not_matter(data: st.DataObject) -> None:
    """Any cuts give the same answer, with as many token times in order."""
    stream = b"".join([*map(event, (ROLE, A, B, END, usage_chunk())), DONE])
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=20)))
    answer = codec().decode(exchange_of(*(stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True))))
    assert (answer.outcome, answer.output_tokens, answer.received_bytes) == ("ok", USAGE_TOKENS, 5)
    assert len(answer.token_times) == 2
    assert answer.token_times == sorted(answer.token_times)


def test_a_long_stream_is_decoded_in_parts() -> None:
    """Decoding calls `pause` every 32 events, so that a long answer does not keep others from being read."""
    pauses: list[None] = []
    answer = codec().decode(exchange_of(event(A) * 100 + DONE), lambda: pauses.append(None))
    assert (answer.output_tokens, len(pauses)) == (100, 4)
