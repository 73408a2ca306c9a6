"""Serves Triton's protocols with exactly known token times, as the reference of the self-check.

    python -m loadgen.protocols.reference

prints `{"grpc": port, "http": port}` and serves on loopback until its standard input closes. The prompt is a JSON
script of the response, see `Script`. The text of every token is the server's monotonic clock in nanoseconds, read
just before the token is sent; processes of one host share that clock.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

import grpc
from tritonclient.grpc import model_config_pb2 as config_pb
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

MODEL = "tensorrt_llm_bls"
MAX_STREAMS = 1024
"""Largest number of concurrent streams."""

Count = Literal["none", "response", "total"]
Fault = Literal["none", "reject", "error", "cut", "empty", "not_json", "unfinished"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How the server responds to one prompt.

    Attributes:
        tokens: Number of tokens.
        per_response: Tokens in each response; the last one has the rest.
        count: Number of output tokens in each response: none, that of the response, or that of the answer so far.
        without_text: Number of first responses whose text is still empty.
        first_s: Seconds from the request to the first response.
        gap_s: Seconds between responses.
        hold_s: Seconds from the last token to the end of the answer.
        fault: `reject` rejects the request (UNAVAILABLE, 503); `error` sends an error message inside a successful
            response; `cut` breaks the connection or RPC after the last token; `empty` sends no output; `not_json`
            sends invalid JSON (HTTP only); `unfinished` ends without a final response (gRPC only).
    """

    tokens: int = 3
    per_response: int = 1
    count: Count = "none"
    without_text: int = 0
    first_s: float = 0.0
    gap_s: float = 0.0
    hold_s: float = 0.0
    fault: Fault = "none"

    def prompt(self) -> str:
        """Return the prompt that makes the server follow this script."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Output:
    """Output of one response: its text, and the number of tokens that it declares."""

    text: str
    count: int | None = None


def _outputs(script: Script) -> Iterator[_Output]:
    """Yield the output of each response at its absolute time."""
    due = time.monotonic() + script.first_s
    total = 0 if script.fault == "empty" else script.tokens
    for number, sent in enumerate(range(0, total, script.per_response)):
        time.sleep(max(0.0, due - time.monotonic()))
        after = min(sent + script.per_response, total)
        count = {"none": None, "response": after - sent, "total": after}[script.count]
        yield _Output(text="" if number < script.without_text else str(time.monotonic_ns()), count=count)
        due += script.gap_s
    time.sleep(script.hold_s)


def _whole(script: Script) -> _Output | None:
    """Return the only response of an answer that is not streamed; None for an empty answer."""
    text = "".join(output.text for output in _outputs(script))
    return _Output(text=text, count=None if script.count == "none" else script.tokens) if text else None


def _response(output: _Output | None, *, final: bool) -> pb.ModelStreamInferResponse:
    response = pb.ModelInferResponse(model_name=MODEL)
    response.parameters["triton_final_response"].bool_param = final
    if output is not None:
        response.outputs.add(name="text_output", datatype="BYTES", shape=[1])
        raw = output.text.encode()
        response.raw_output_contents.append(len(raw).to_bytes(4, "little") + raw)
        if output.count is not None:
            response.outputs.add(name="num_output_tokens", datatype="INT32", shape=[1])
            response.raw_output_contents.append(output.count.to_bytes(4, "little"))
    return pb.ModelStreamInferResponse(infer_response=response)


class _Grpc(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # generated code is untyped
    def __init__(self, *, decoupled: bool) -> None:
        self._decoupled = decoupled

    def ServerMetadata(self, request: Any, context: Any) -> Any:
        return pb.ServerMetadataResponse(name="reference", version="1", extensions=["model_repository"])

    def RepositoryIndex(self, request: Any, context: Any) -> Any:
        return pb.RepositoryIndexResponse(models=[{"name": MODEL, "version": "1", "state": "READY"}])

    def ModelMetadata(self, request: Any, context: Any) -> Any:
        metadata = _metadata()
        return pb.ModelMetadataResponse(name=MODEL, inputs=metadata["inputs"], outputs=metadata["outputs"])

    def ModelConfig(self, request: Any, context: Any) -> Any:
        config = config_pb.ModelConfig(name=MODEL, max_batch_size=1)
        config.model_transaction_policy.decoupled = self._decoupled
        return pb.ModelConfigResponse(config=config)

    def ModelInfer(self, request: Any, context: Any) -> Any:
        script = _script(_prompt(request))
        if script.fault == "reject":
            context.abort(grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size")
        if script.fault == "error":
            context.abort(grpc.StatusCode.INTERNAL, "the engine failed")
        return _response(_whole(script), final=True).infer_response

    def ModelStreamInfer(self, request_iterator: Any, context: Any) -> Any:
        for request in request_iterator:
            script = _script(_prompt(request))
            if script.fault == "reject":
                context.abort(grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size")
            flags = {tensor.name: request.raw_input_contents[i] for i, tensor in enumerate(request.inputs)}
            if flags.get("stream") == b"\x01":
                for output in _outputs(script):
                    yield _response(output, final=False)
            else:
                yield _response(_whole(script), final=False)
            if script.fault == "error":
                yield pb.ModelStreamInferResponse(error_message="the engine failed")
            elif script.fault == "cut":
                context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
            elif script.fault != "unfinished":
                yield _response(None, final=True)


def _prompt(request: Any) -> str:
    for number, tensor in enumerate(request.inputs):
        if tensor.name == "text_input":
            text: bytes = request.raw_input_contents[number][4:]
            return text.decode()
    return "{}"


def _script(prompt: str) -> Script:
    return Script(**json.loads(prompt))


def _metadata() -> dict[str, Any]:
    return {
        "name": MODEL,
        "inputs": [
            {"name": "text_input", "datatype": "BYTES", "shape": [-1, 1]},
            {"name": "max_tokens", "datatype": "INT32", "shape": [-1, 1]},
            {"name": "stream", "datatype": "BOOL", "shape": [-1, 1]},
        ],
        "outputs": [{"name": "text_output", "datatype": "BYTES", "shape": [-1, 1]}],
    }


def _event(output: _Output) -> dict[str, Any]:
    count = {} if output.count is None else {"num_output_tokens": output.count}
    return {"text_output": output.text, **count}


class _Http(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    decoupled = True

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""

    def do_GET(self) -> None:
        answers: dict[str, Any] = {
            "/v2": {"name": "reference", "version": "1", "extensions": ["model_repository"]},
            f"/v2/models/{MODEL}": _metadata(),
            f"/v2/models/{MODEL}/config": {
                "name": MODEL,
                "max_batch_size": 1,
                "model_transaction_policy": {"decoupled": self.decoupled},
            },
        }
        self._json(200 if self.path in answers else 404, answers.get(self.path, {"error": f"no {self.path}"}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        if self.path == "/v2/repository/index":
            return self._json(200, [{"name": MODEL, "version": "1", "state": "READY"}])
        script = _script(body["text_input"])
        if script.fault == "reject":
            return self._json(503, {"error": "Exceeds maximum queue size"})
        if self.path.endswith("generate"):
            if script.fault == "error":
                return self._json(200, {"error": "the engine failed"})
            return self._json(200, _event(_whole(script) or _Output(text="")))
        return self._events(script)

    def _events(self, script: Script) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for output in _outputs(script):
            self._chunk("data: {" if script.fault == "not_json" else f"data: {json.dumps(_event(output))}")
        if script.fault == "error":
            self._chunk(f"data: {json.dumps({'error': 'the engine failed'})}")
        if script.fault == "cut":
            self.close_connection = True
            return
        if script.fault == "empty":
            self._chunk(f"data: {json.dumps({'text_output': ''})}")
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, event: str) -> None:
        data = f"{event}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _json(self, status: int, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = MAX_STREAMS


def main() -> None:
    """Serve until standard input closes."""
    decoupled = "--not-decoupled" not in sys.argv
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=MAX_STREAMS))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_Grpc(decoupled=decoupled), server)
    grpc_port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    http_server = _HttpServer(("127.0.0.1", 0), type("_Handler", (_Http,), {"decoupled": decoupled}))
    threading.Thread(target=http_server.serve_forever, daemon=True).start()
    print(json.dumps({"grpc": grpc_port, "http": http_server.server_port}), flush=True)  # noqa: T201 - the interface of this program
    sys.stdin.read()
    os._exit(0)  # sys.exit would wait for threads that still follow a script


if __name__ == "__main__":
    main()
