"""Requests to the null server by clients that share nothing with the clients under test."""

import http.client
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from support.servers.null_server import MODEL, PLAIN_MODEL

TIMEOUT_S = 60.0


def infer_request(tokens: int, *, stream: bool = True, name: str = "") -> pb.ModelInferRequest:
    """Return a gRPC request for a number of tokens, streamed or as one answer, with an id."""
    request = pb.ModelInferRequest(model_name=MODEL if stream else PLAIN_MODEL, id=name)
    request.inputs.add(name="text_input", datatype="BYTES", shape=[1, 1])
    request.inputs.add(name="max_tokens", datatype="INT32", shape=[1, 1])
    request.raw_input_contents.extend([b"\x05\x00\x00\x00hello", tokens.to_bytes(4, "little")])
    if stream:
        request.inputs.add(name="stream", datatype="BOOL", shape=[1, 1])
        request.raw_input_contents.append(b"\x01")
        request.parameters["triton_enable_empty_final_response"].bool_param = True
    return request


def text_of(response: pb.ModelInferResponse) -> str:
    """Return the text of a response; empty without output."""
    return b"".join(raw[4:] for raw in response.raw_output_contents).decode()


class GrpcPeer:
    """grpcio's own client."""

    def __init__(self, port: int) -> None:
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)])
        self.stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def stream(self, *requests: pb.ModelInferRequest) -> list[pb.ModelInferResponse]:
        """Return all responses to the requests of one stream."""
        return [answer.infer_response for answer in self.stub.ModelStreamInfer(iter(requests), timeout=TIMEOUT_S)]

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


@contextmanager
def posted(port: int, path: str, body: object) -> Iterator[http.client.HTTPResponse]:
    """Send JSON on a new connection and yield the response, whose body is not read."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    with closing(connection):
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        with connection.getresponse() as response:
            yield response


def post_json(port: int, path: str, body: object) -> Any:
    """Return the JSON of an answer."""
    with posted(port, path, body) as response:
        return json.load(response)


def post_events(port: int, path: str, body: object) -> list[Any]:
    """Return the data of all server-sent events of an answer: JSON, or `[DONE]`."""
    with posted(port, path, body) as response:
        return list(events(response))


def events(response: http.client.HTTPResponse) -> Iterator[Any]:
    """Yield the data of each server-sent event as soon as it is there."""
    for line in response:
        if data := line.removeprefix(b"data:").strip():
            yield "[DONE]" if data == b"[DONE]" else json.loads(data)
