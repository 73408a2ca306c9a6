"""Objects of OpenAI's published schema: chunks and answers of chat completions and completions, and errors."""

import json
from typing import Any

MODEL = "llama-3-8b"
USAGE_TOKENS = 11


def _object(kind: str, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"id": "cmpl-1", "object": kind, "created": 1700000000, "model": MODEL, "choices": choices, **more}


def chat_chunk(delta: dict[str, Any], finish: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    """Return a chunk of a streamed chat completion."""
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _object("chat.completion.chunk", [choice], **more)


def text_chunk(text: str, finish: str | None = None, index: int = 0) -> dict[str, Any]:
    """Return a chunk of a streamed completion."""
    return _object("text_completion", [{"index": index, "text": text, "logprobs": None, "finish_reason": finish}])


def chat_answer(message: dict[str, Any], finish: str = "stop", **more: Any) -> dict[str, Any]:
    """Return a chat completion that is not streamed."""
    whole = {"role": "assistant", "content": None, **message}
    return _object("chat.completion", [{"index": 0, "message": whole, "finish_reason": finish}], **more)


def text_answer(text: str, **more: Any) -> dict[str, Any]:
    """Return a completion that is not streamed."""
    return _object("text_completion", [{"index": 0, "text": text, "finish_reason": "length"}], **more)


def usage(tokens: int = USAGE_TOKENS) -> dict[str, Any]:
    """Return the count of tokens that an answer carries."""
    return {"usage": {"prompt_tokens": 3, "completion_tokens": tokens, "total_tokens": 3 + tokens}}


def usage_chunk(tokens: int = USAGE_TOKENS) -> dict[str, Any]:
    """Return the last chunk of a stream with `include_usage`, which has no choices."""
    return _object("chat.completion.chunk", [], **usage(tokens))


def error(message: str, kind: str = "server_error", code: int | str | None = None) -> dict[str, Any]:
    """Return an error as OpenAI's API has it."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def tool_call(index: int = 0, **function: str) -> dict[str, Any]:
    """Return a delta with a part of a tool call."""
    return {"tool_calls": [{"index": index, "id": "call-1", "type": "function", "function": function}]}


def event(value: object) -> bytes:
    """Return a server-sent event."""
    return b"data: " + json.dumps(value).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
ROLE = chat_chunk({"role": "assistant", "content": ""})
"""The first chunk of most servers, which has no output."""
