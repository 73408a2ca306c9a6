"""A server with OpenAI's API, written from its published schema: it checks requests, and answers by a script.

The prompt is the name of a script; any other prompt is answered with two tokens. What the schema does not allow is
answered with 400 and an error object.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from support.servers.http import ResponseHandler, serving
from support.servers.openai_answers import (
    DONE,
    MODEL,
    ROLE,
    chat_answer,
    chat_chunk,
    error,
    event,
    text_answer,
    text_chunk,
    usage,
    usage_chunk,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One answer.

    Attributes:
        parts: Parts of the body, each a chunk of HTTP; None closes the connection without the last chunk.
        status: HTTP status; another one than 200 has the first part as its whole body.
        gap_s: Seconds before each part but the first.
        hold_s: Seconds between the last part and the end.
    """

    parts: Sequence[bytes | None]
    status: int = 200
    gap_s: float = 0.0
    hold_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAiServer:
    """A running server; `requests` are paths and bodies in the order of their arrival."""

    url: str
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)


def refusal(path: str, body: Mapping[str, Any], models: Sequence[str]) -> str | None:
    """Return what the schema does not allow in a request; None if it is valid."""
    chat = path.endswith("/chat/completions")
    if body.get("model") not in models:
        return f"The model `{body.get('model')}` does not exist."
    if chat:
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            return "messages is too short"
        if any(
            each.get("role") not in ("system", "user") or not isinstance(each.get("content"), str) for each in messages
        ):
            return "a message needs a role and content"
    elif not isinstance(body.get("prompt"), str) or "messages" in body:
        return "prompt is required"
    if not isinstance(body.get("max_tokens"), int) or body["max_tokens"] < 1:
        return "max_tokens must be at least 1"
    if "stream_options" in body and not body.get("stream"):
        return "stream_options is only allowed with stream=true"
    return None


def _default(path: str, body: Mapping[str, Any]) -> Script:
    """Two tokens, in the form of the request."""
    chat = path.endswith("/chat/completions")
    if not body.get("stream"):
        whole = chat_answer({"content": "Hello"}, **usage(2)) if chat else text_answer("Hello", **usage(2))
        return Script(parts=[json.dumps(whole).encode()])
    texts = ("Hel", "lo")
    chunks = [chat_chunk({"content": text}) if chat else text_chunk(text) for text in texts]
    chunks = [ROLE, *chunks, chat_chunk({}, "stop")] if chat else [*chunks, text_chunk("", "length")]
    if (body.get("stream_options") or {}).get("include_usage"):
        chunks.append(usage_chunk(2))
    return Script(parts=[*map(event, chunks), DONE])


@contextmanager
def openai_server(
    scripts: Mapping[str, Script] | None = None, *, models: Sequence[str] = (MODEL,), key: str | None = None
) -> Iterator[OpenAiServer]:
    """Serve until the end of the `with` block.

    Args:
        scripts: Scripts by prompt.
        models: Names of its models.
        key: Key that requests must have as bearer token.
    """
    running: OpenAiServer

    class _Handler(ResponseHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _json(self, status: int, value: object) -> None:
            self.respond(status, json.dumps(value).encode(), **{"Content-Type": "application/json"})

        def _is_allowed(self) -> bool:
            if key is None or self.headers["Authorization"] == f"Bearer {key}":
                return True
            self._json(401, error("Incorrect API key provided", "invalid_request_error", "invalid_api_key"))
            return False

        def do_GET(self) -> None:
            if not self._is_allowed():
                return
            if self.path != "/v1/models":
                self._json(404, {"detail": "Not Found"})
                return
            data = [{"id": name, "object": "model", "created": 1, "owned_by": "vllm"} for name in models]
            self._json(200, {"object": "list", "data": data})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            running.requests.append((self.path, body))
            running.headers.append(dict(self.headers))
            if not self._is_allowed():
                return
            if self.path not in ("/v1/chat/completions", "/v1/completions"):
                self._json(404, {"detail": "Not Found"})
            elif refused := refusal(self.path, body, models):
                self._json(400, error(refused, "invalid_request_error"))
            else:
                prompt = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
                self._answer((scripts or {}).get(prompt) or _default(self.path, body), body)

        def _answer(self, script: Script, body: Mapping[str, Any]) -> None:
            if script.status != 200 or not body.get("stream"):
                self.respond(script.status, script.parts[0] or b"", **{"Content-Type": "application/json"})
                return
            self.send_response_only(200)
            self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("X-Pod-Name", "vllm-0")
            self.end_headers()
            for number, part in enumerate(script.parts):
                time.sleep(script.gap_s if number else 0.0)
                if part is None:
                    self.close_connection = True
                    return
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            time.sleep(script.hold_s)
            self.wfile.write(b"0\r\n\r\n")

    with serving(_Handler) as url:
        running = OpenAiServer(url=url)
        yield running
