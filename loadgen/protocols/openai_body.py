"""Reads the objects of OpenAI's answers: completions, chat completions, the chunks of their streams, and errors."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from loadgen.base.text import clean
from loadgen.protocols.answer import valid_token_count
from loadgen.protocols.json_text import error_message, text_bytes

BROKEN_OFF = frozenset({"abort", "aborted", "cancelled", "error", "timeout"})
"""Values of `finish_reason` with which servers end an answer that is not whole."""
_TEXTS = frozenset({"content", "reasoning_content", "refusal"})
_MAX_CHOICES = 1024
"""More choices than this in one object are not read."""


class Part(NamedTuple):
    """What one object adds to an answer.

    Attributes:
        text: Text of all its choices: content, reasoning, refusal, and names and arguments of tool calls.
        tokens: The server's count of the output tokens of the answer so far; None without one.
        finished: Value of `finish_reason` by the index of a choice that it ends.
    """

    text: bytes
    tokens: int | None
    finished: Mapping[int, str]


def part_of(value: Mapping[str, Any]) -> Part:
    """Return what a chunk, or a whole answer, adds."""
    texts: list[str] = []
    finished: dict[int, str] = {}
    choices = value.get("choices")
    for position, choice in enumerate(choices[:_MAX_CHOICES] if isinstance(choices, list) else ()):
        if not isinstance(choice, dict):
            continue
        texts += _texts(choice)
        if isinstance(reason := choice.get("finish_reason"), str) and reason:
            index = choice.get("index")
            finished[index if isinstance(index, int) else position] = clean(reason, 40)
    usage = value.get("usage")
    tokens = valid_token_count(usage.get("completion_tokens")) if isinstance(usage, dict) else None
    return Part(text_bytes("".join(texts)), tokens, finished)


def _texts(choice: Mapping[str, Any]) -> list[str]:
    message = choice.get("delta")
    if message is None:
        message = choice.get("message")
    if not isinstance(message, dict):
        text = choice.get("text")  # of /completions
        return [text] if isinstance(text, str) else []
    texts: list[str] = []
    for key, value in message.items():
        if not value:
            continue
        if key in _TEXTS:
            texts += _strings(value)
        elif key == "reasoning":
            if not message.get("reasoning_content"):  # some servers send the same under both names
                texts += _strings(value)
        elif key == "tool_calls" and isinstance(value, list):
            for call in value:
                texts += _function(call.get("function")) if isinstance(call, dict) else ()
        elif key == "function_call":  # the earlier name, for one call
            texts += _function(value)
    return texts


def _strings(value: object) -> list[str]:
    """Return a text, or the texts in a list of parts."""
    if isinstance(value, str):
        return [value]
    parts = value if isinstance(value, list) else ()
    return [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]


def _function(value: object) -> list[str]:
    """Return name and arguments of a tool call, as far as they are in this part of it."""
    if not isinstance(value, dict):
        return []
    return [text for key in ("name", "arguments") if isinstance(text := value.get(key), str)]


def error_of(value: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return code and message of an object that reports an error; None for any other.

    The code is an HTTP status as text where the object has one, else empty.
    """
    error = value.get("error")
    if not error and value.get("object") != "error":
        return None
    # vLLM and TensorRT-LLM have code and message in the object itself
    code = (error if isinstance(error, dict) else value).get("code")
    status = str(code) if isinstance(code, int | str) and not isinstance(code, bool) else ""
    is_status = len(status) == 3 and status.isascii() and status.isdigit() and status[0] in "45"
    return status if is_status else "", error_message(value) or clean(error)
