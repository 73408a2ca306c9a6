"""The protocol openai over loopback, against a server of ours that checks requests by OpenAI's published schema."""

import json
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from loadgen.base.connection import Connection
from loadgen.base.errors import ExitCode, TargetError
from loadgen.protocols.answer import Answer
from loadgen.protocols.endpoint import Endpoint, model_from_message
from loadgen.protocols.openai import OpenAiModel
from loadgen.scenario.settings import OpenAiCall
from support.runs.locust_bench import Bench
from support.servers.openai import OpenAiServer, Script, openai_server
from support.servers.openai_answers import DONE, MODEL, ROLE, chat_chunk, error, event, tool_call, usage_chunk
from support.servers.raw import raw_server

A, END = event(chat_chunk({"content": "a"})), event(chat_chunk({}, "stop"))
SCRIPTS = {
    "paced": Script(parts=[event(ROLE), A, A, A, A, A, END, event(usage_chunk(5)), DONE], gap_s=0.05),
    "no usage": Script(parts=[A, A, END, DONE]),
    "no done": Script(parts=[A, END]),
    "comments": Script(parts=[b": keep-alive\n\n", A.replace(b"\n", b"\r\n"), b": ping\r\n\r\n", END, DONE]),
    "lines": Script(parts=[b'data: {"choices": [\ndata: {"delta": {"content": "a"}}]}\n\n', END, DONE]),
    "bytes": Script(parts=[A[at : at + 1] for at in range(len(A))] + [END, DONE]),
    "together": Script(parts=[A + A + A + END + DONE]),
    "reasoning": Script(parts=[event(chat_chunk({"reasoning_content": "hm"})), A, END, DONE]),
    "tool": Script(parts=[event(chat_chunk(tool_call(name="f", arguments="{}"))), END, DONE]),
    "cut": Script(parts=[A, A, None]),
    "cut at once": Script(parts=[event(ROLE), None]),
    "unfinished": Script(parts=[A, A]),
    "error inside": Script(parts=[A, event(error("the engine failed"))]),
    "error first": Script(parts=[event(error("the engine failed"))]),
    "429": Script(status=429, parts=[json.dumps(error("slow down", "rate_limit", "rate_limit_exceeded")).encode()]),
    "400": Script(status=400, parts=[json.dumps(error("too long", "invalid_request_error")).encode()]),
    "500": Script(status=500, parts=[json.dumps(error("out of memory")).encode()]),
    "held": Script(parts=[A, END, DONE], hold_s=5.0),
    "stuck": Script(parts=[A, A], gap_s=5.0),
}


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAiServer]:
    with openai_server(SCRIPTS) as running:
        yield running


def send(
    server: OpenAiServer,
    prompt: str = "Hi",
    *,
    stream: bool = True,
    call: OpenAiCall = "chat",
    timeout_s: float = 20.0,
    inputs: dict[str, Any] | None = None,
    path: str = "/v1",
) -> Answer:
    """Find the model, send one request and return its answer."""
    endpoint = Endpoint.parse(server.url + path, "openai")
    model, version = endpoint.find_model(requested=None, stream=stream, inputs=inputs, openai_call=call)
    assert version == "OpenAI API (vllm)"
    with closing(endpoint.connect(model, stream=stream)) as client:
        return client.infer(prompt, 8, timeout_s)


@pytest.mark.parametrize("call", ["chat", "completions"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/"])
def test_an_answer(server: OpenAiServer, call: OpenAiCall, stream: bool, path: str) -> None:
    """Requests of both calls are valid by the schema, and their answers whole, for a URL with and without /v1."""
    answer = send(server, stream=stream, call=call, path=path)
    assert (answer.outcome, answer.cause, answer.received_bytes) == ("ok", None, 5)
    assert (answer.output_tokens, answer.token_source) == (2, "server")
    assert len(answer.token_times) == (2 if stream else 0)
    assert answer.pod == ("vllm-0" if stream else None)
    assert answer.on_wire is not None


def test_inputs_are_fields_of_the_body(server: OpenAiServer) -> None:
    """Further inputs of a scenario are sent as they are, also dictionaries."""
    inputs = {"temperature": 0.5, "ignore_eos": True, "stop": ("END",), "chat_template_kwargs": {"thinking": False}}
    assert send(server, inputs=inputs).outcome == "ok"
    _, body = server.requests[-1]
    assert body == {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 8,
        "stream": True,
        "stream_options": {"include_usage": True},
        **inputs,
        "stop": ["END"],
    }


def test_every_token_has_its_own_arrival_time(server: OpenAiServer) -> None:
    """Five tokens at intervals of 50 ms have five arrival times, which are not bunched; the role is no token."""
    answer = send(server, "paced")
    assert (answer.outcome, answer.output_tokens, len(answer.token_times)) == ("ok", 5, 5)
    assert sum(b - a > 0.025 for a, b in pairwise(answer.token_times)) >= 3


@pytest.mark.parametrize(
    ("prompt", "outcome", "cause", "tokens"),
    [
        ("no usage", "ok", None, 2),
        ("no done", "ok", None, 1),
        ("comments", "ok", None, 1),
        ("lines", "ok", None, 1),
        ("bytes", "ok", None, 1),
        ("together", "ok", None, 3),
        ("reasoning", "ok", None, 2),
        ("tool", "ok", None, 1),
        ("cut", "cut_off", "Incomplete response: the connection closed before its end", 2),
        ("cut at once", "error", "Incomplete response: the connection closed before its end", 0),
        ("unfinished", "cut_off", "the stream ended without finish_reason and [DONE]", 2),
        ("error inside", "cut_off", "the engine failed", 1),
        ("error first", "error", "the engine failed", 0),
        ("429", "rejected", "429: slow down", 0),
        ("400", "error", "400: too long", 0),
        ("500", "error", "500: out of memory", 0),
    ],
)
def test_streams(server: OpenAiServer, prompt: str, outcome: str, cause: str | None, tokens: int) -> None:
    """Outcome, cause and number of chunks with output of each kind of stream."""
    answer = send(server, prompt)
    assert (answer.outcome, answer.cause, answer.output_tokens) == (outcome, cause, tokens)
    assert len(answer.token_times) == tokens


@pytest.mark.parametrize(("prompt", "outcome"), [("stuck", "timeout"), ("held", "ok")])
def test_timeouts(server: OpenAiServer, prompt: str, outcome: str) -> None:
    """Without its last token in time, a request is a time-out; after [DONE] nothing is waited for."""
    answer = send(server, prompt, timeout_s=0.5)
    assert (answer.outcome, len(answer.token_times)) == (outcome, 1)


def test_the_schema_is_checked(server: OpenAiServer) -> None:
    """The server refuses what OpenAI's schema does not allow, and its sentence is the cause."""
    endpoint = Endpoint.parse(server.url, "openai")
    with closing(endpoint.connect(OpenAiModel(name="gone"), stream=True)) as client:
        assert client.infer("Hi", 8, 5.0).cause == "400: The model `gone` does not exist."


@pytest.mark.parametrize(
    ("requested", "inputs", "message"),
    [
        (None, {}, "the server serves several models: a, b; set --model to one of them"),
        ("lama", {}, "the server has no model 'lama'; it serves: a, b; set --model to one"),
        ("a", {"max_tokens": 5}, "inputs of the scenario: max_tokens is filled by the load itself; remove it"),
        ("a", {"n": 0}, "inputs of the scenario: n is the number of choices, 1 to 128, not 0"),
    ],
)
def test_a_model_that_cannot_be_tested(requested: str | None, inputs: dict[str, object], message: str) -> None:
    """One sentence that says what to set."""
    with openai_server(models=("a", "b")) as server, pytest.raises(TargetError) as caught:
        Endpoint.parse(server.url, "openai").find_model(requested=requested, stream=True, inputs=inputs)
    assert str(caught.value).startswith(message)
    assert caught.value.exit_code == ExitCode.USAGE


def test_one_of_several_models() -> None:
    """The model that the user names is used, also after the message to another process."""
    with openai_server(models=("a", "b")) as server:
        model, _ = Endpoint.parse(server.url, "openai").find_model(requested="b", stream=True)
    assert model == OpenAiModel(name="b")
    assert model_from_message({"name": "b", "call": "chat", "inputs": {}, "emulated": None}) == model


def test_a_server_that_needs_a_key() -> None:
    """Without a key, the sentence says how to give one; with it, the model is found and requests are answered."""
    with openai_server(key="sk-123456") as server:
        with pytest.raises(TargetError, match=r"requires credentials \(/v1/models: 401\): give credentials with"):
            Endpoint.parse(server.url, "openai").find_model(requested=None, stream=True)
        connection = Connection(headers=(("Authorization", "Bearer sk-123456"),))
        endpoint = Endpoint.parse(server.url, "openai", connection)
        model, _ = endpoint.find_model(requested=None, stream=True)
        with closing(endpoint.connect(model, stream=True)) as client:
            assert client.infer("Hi", 8, 5.0).outcome == "ok"


def http_response(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status.encode(), len(body)) + body


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (http_response("404 x", b'{"detail": "Not Found"}'), "answers /v1/models with 404: Not Found; is it a server"),
        (http_response("400 x", b'{"error": {"message": "no"}}'), "answers /v1/models with 400: no; is it a server"),
        (http_response("403 x", b""), "answers /v1/models with 403: it refuses these credentials"),
        (http_response("200 OK", b"<html></html>"), "answers /v1/models with 200 and a web page"),
        (http_response("302 x", b""), "answers /v1/models with 302 and a web page"),
        (http_response("200 OK", b"ok"), "is not a server with OpenAI's API: /v1/models is not JSON"),
        (http_response("200 OK", b'{"name": "triton"}'), "/v1/models gives no list of models"),
        (http_response("200 OK", b'{"data": []}'), "the server serves no model: load one"),
        (b"", "cannot reach an HTTP server"),
    ],
)
def test_a_server_without_the_api(response: bytes, message: str) -> None:
    """One sentence that says what to check."""
    with raw_server(response) as port, pytest.raises(TargetError) as caught:
        Endpoint.parse(f"http://127.0.0.1:{port}/v1", "openai").find_model(requested=None, stream=True)
    assert message in str(caught.value)
    assert caught.value.exit_code == ExitCode.USAGE
    assert len(str(caught.value)) < 400


def test_a_whole_run(tmp_path: Path, server: OpenAiServer) -> None:
    """A run of locust with --protocol openai ends with a verdict, and its rows have the server's counts."""
    bench = Bench(tmp_path, {})
    flags = ("--target", f"{server.url}/v1", "--protocol", "openai", "--openai-call", "completions", "--stream")
    result = bench.run(*flags, TEST_S="1")
    bench.close()
    assert result.code == 0, result.err
    assert f"to {MODEL} (completions, {server.url}/v1)" in result.err
    info = bench.run_folder().read_info()
    assert (info.protocol, info.model, info.versions["server"]) == ("openai", MODEL, "OpenAI API (vllm)")
    rows = bench.requests()
    assert len(rows) == info.expected_rows
    assert set(rows["outcome"]) == {"ok"}
    assert set(rows["output_tokens"]) == {2}


def test_a_run_against_a_server_without_the_api(tmp_path: Path, server: OpenAiServer) -> None:
    """The run ends before the load with one sentence and exit code 2, and its folder says so."""
    bench = Bench(tmp_path, {})
    result = bench.run("--target", f"{server.url}/v2", "--protocol", "openai", "--stream", TEST_S="1")
    bench.close()
    assert result.code == 2
    (line,) = [line for line in result.err.splitlines() if "/v2/v1/models with 404: Not Found" in line]
    assert "is it a server with OpenAI's API? check host, port and path" in line
    assert "Traceback" not in result.err
