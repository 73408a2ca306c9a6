"""Servers that answer every request with given outputs, parameters and headers, over both protocols."""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import closing, contextmanager
from typing import Any

import grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from loadgen.protocols.answer import Client
from loadgen.protocols.detect import Model
from support.servers.raw import raw_server
from support.servers.reference import client_of

Outputs = Mapping[str, int | str]
"""Outputs of one response, by name: 64-bit integers and strings."""


@contextmanager
def answering(
    protocol: str,
    model: Model,
    responses: Sequence[Outputs],
    *,
    stream: bool,
    parameters: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    error: str | None = None,
) -> Iterator[Client]:
    """Yield a client of a server that sends these responses, each with the parameters.

    Args:
        protocol: Wire protocol.
        model: The model, which says whether the call may have several responses.
        responses: Outputs of each response.
        stream: Whether the client streams.
        parameters: Response parameters.
        headers: Response headers.
        error: Error after the responses; without one the answer is complete.
    """
    served = _grpc if protocol == "grpc" else _http
    with (
        served(responses, parameters or {}, headers or {}, error, stream) as port,
        closing(client_of(protocol, port, model, stream=stream)) as client,
    ):
        yield client


@contextmanager
def _http(
    responses: Sequence[Outputs],
    parameters: Mapping[str, str],
    headers: Mapping[str, str],
    error: str | None,
    stream: bool,
) -> Iterator[int]:
    """Triton's generate calls write outputs and parameters into one object."""
    bodies = [json.dumps({**outputs, **parameters}) for outputs in responses]
    bodies += [json.dumps({"error": error})] if error else []
    status = "400 Bad Request" if error and not responses else "200 OK"
    body = ("".join(f"data: {each}\n\n" for each in bodies) if stream else bodies[0]).encode()
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Length: {len(body)}",
        *(f"{name}: {text}" for name, text in headers.items()),
    ]
    with raw_server("\r\n".join([*lines, "", ""]).encode() + body) as port:
        yield port


@contextmanager
def _grpc(
    responses: Sequence[Outputs],
    parameters: Mapping[str, str],
    headers: Mapping[str, str],
    error: str | None,
    stream: bool,
) -> Iterator[int]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    messages = [_response(outputs, parameters) for outputs in responses]
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_Service(messages, headers, error), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None).wait(10)


class _Service(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # generated code is untyped
    def __init__(self, responses: Sequence[Any], headers: Mapping[str, str], error: str | None) -> None:
        self._responses, self._error = responses, error
        self._headers = tuple((name.lower(), text) for name, text in headers.items())

    def ModelInfer(self, request: Any, context: Any) -> Any:
        context.send_initial_metadata(self._headers)
        if self._error:
            context.abort(grpc.StatusCode.UNAVAILABLE, self._error)
        return self._responses[0]

    def ModelStreamInfer(self, requests: Any, context: Any) -> Any:
        context.send_initial_metadata(self._headers)
        for _ in requests:
            for response in self._responses:
                yield pb.ModelStreamInferResponse(infer_response=response)
            if self._error:
                yield pb.ModelStreamInferResponse(error_message=self._error)
            else:
                final = pb.ModelInferResponse()
                final.parameters["triton_final_response"].bool_param = True
                yield pb.ModelStreamInferResponse(infer_response=final)


def _response(outputs: Outputs, parameters: Mapping[str, str]) -> Any:
    response = pb.ModelInferResponse()
    for name, value in outputs.items():
        if isinstance(value, int):
            response.outputs.add(name=name, datatype="INT64", shape=[1])
            response.raw_output_contents.append(value.to_bytes(8, "little", signed=True))
        else:
            response.outputs.add(name=name, datatype="BYTES", shape=[1])
            response.raw_output_contents.append(len(value.encode()).to_bytes(4, "little") + value.encode())
    for name, text in parameters.items():
        response.parameters[name].string_param = text
    return response
