"""Sends requests to Triton over gRPC: ModelStreamInfer and ModelInfer with the messages and stubs of tritonclient.

gevent has two pitfalls: a channel that is created before `init_gevent()` hangs, and every waiting call occupies a
thread of the hub's pool, whose default size of ten makes the eleventh stream wait for the first.
"""

import time
from collections.abc import Mapping
from typing import Any, Literal

import gevent
import grpc
from google.protobuf.json_format import MessageToDict
from grpc.experimental import gevent as grpc_gevent
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from loadgen.base.connection import DIRECT, NEEDS_CREDENTIALS, REFUSES_CREDENTIALS, Connection
from loadgen.base.errors import TargetError
from loadgen.base.proxies import through
from loadgen.base.text import clean
from loadgen.dataset.names import Cause, Outcome
from loadgen.protocols.answer import Answer, Interrupted, answer_of, classify_failure
from loadgen.protocols.describe import model_names
from loadgen.protocols.detect import Model
from loadgen.protocols.grpc_connection import below_path, metadata, open_channel, pod_in_headers
from loadgen.protocols.grpc_messages import complete, output_text, output_token_count
from loadgen.protocols.local_fault import local_fault_of_grpc
from loadgen.protocols.text import valid_text

Call = Literal["ModelStreamInfer", "ModelInfer"]

_POOL_RESERVE = 16
_CONTROL_TIMEOUT_S = 10.0


def prepare(streams: int) -> None:
    """Prepare gRPC under gevent for up to `streams` concurrent calls; call it before the first channel is created."""
    grpc_gevent.init_gevent()
    pool = gevent.get_hub().threadpool
    pool.maxsize = max(pool.maxsize, streams + _POOL_RESERVE)


def call_name(model: Model, *, stream: bool) -> Call:
    """Return the RPC for a request: Triton rejects ModelInfer for decoupled models, even for a single response."""
    return "ModelStreamInfer" if stream or model.decoupled else "ModelInfer"


class GrpcClient:
    """A gRPC connection that sends one request at a time; implements `loadgen.protocols.answer.Client`."""

    def __init__(
        self, address: str, model: Model, *, stream: bool, tls: bool = False, connection: Connection = DIRECT
    ) -> None:
        self._address = address
        self._tls = tls
        self._connection = connection
        self._metadata = metadata(connection)
        self._model = model
        self._stream = stream
        self._call = call_name(model, stream=stream)
        self._text, self._limit = model.tensors[:2]
        constant = model.constant(stream=stream)
        self._template = pb.ModelInferRequest(model_name=model.name)
        for tensor in (*constant, self._text, self._limit):
            self._template.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        self._template.raw_input_contents.extend(tensor.encode(*tensor.values) for tensor in constant)
        self._open()

    def infer(self, prompt: str, max_tokens: int, timeout_s: float) -> Answer:
        """Send a prompt and wait for the end of its answer."""
        request = self._request(prompt, max_tokens)
        self._broken = False
        answer = self._unary(request, timeout_s) if self._call == "ModelInfer" else self._streamed(request, timeout_s)
        if self._broken and answer.outcome != Outcome.REJECTED:
            # gRPC backs off for up to two minutes before it reconnects, and fails every request until then
            self.close()
            self._open()
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _open(self) -> None:
        """Open a new channel, which connects with the next request."""
        self._channel = open_channel(self._address, tls=self._tls, connection=self._connection)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(below_path(self._channel, self._connection.path))
        self._broken = False

    def _request(self, prompt: str, max_tokens: int) -> pb.ModelInferRequest:
        request = pb.ModelInferRequest()
        request.CopyFrom(self._template)
        values = self._text.encode(valid_text(prompt)), self._limit.encode(max_tokens)
        request.raw_input_contents.extend(values)
        return request

    def _unary(self, request: pb.ModelInferRequest, timeout_s: float) -> Answer:
        try:
            response, call = self._stub.ModelInfer.with_call(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            self._broken = True
            now = time.monotonic()
            outcome, cause = classify_failure(*self._failure(error), began=False)
            return Answer(outcome=outcome, cause=cause, ended=now, pod=pod_in_headers(error, failed=True))
        now = time.monotonic()
        answer = answer_of([output_text(response)], [output_token_count(response)], [now], now, stream=self._stream)
        complete(answer, self._model, response, response)
        answer.pod = answer.pod or pod_in_headers(call)
        return answer

    def _failure(self, error: grpc.RpcError) -> tuple[str, str]:
        """Return code and message of a failed call; a failure of this machine has no code."""
        details = self._connection.redacted(error.details() or "")
        fault = local_fault_of_grpc(details)
        return ("", fault) if fault else (error.code().name, details)

    def _streamed(self, request: pb.ModelInferRequest, timeout_s: float) -> Answer:
        # otherwise Triton does not send a final response that has no output
        request.parameters["triton_enable_empty_final_response"].bool_param = True
        times: list[float] = []
        texts: list[bytes] = []
        counts: list[int | None] = []
        first = last = None
        code, message, finished_at, interrupted = "", "", None, False
        call = self._stub.ModelStreamInfer(iter((request,)), timeout=timeout_s, metadata=self._metadata)
        try:
            for response in call:
                now = time.monotonic()
                if response.error_message:
                    message = response.error_message
                    break
                answered = response.infer_response
                times.append(now)
                texts.append(output_text(answered))
                counts.append(output_token_count(answered))
                if answered.outputs:
                    first, last = first or answered, answered
                if answered.parameters["triton_final_response"].bool_param:
                    finished_at = now
        except grpc.RpcError as error:
            self._broken = True
            code, message = self._failure(error)
        except gevent.GreenletExit:
            interrupted = True
        finally:
            call.cancel()  # frees the server's slot after an early exit; has no effect on a finished call
        ended = time.monotonic() if finished_at is None else finished_at
        answer = answer_of(texts, counts, times, ended, stream=self._stream)
        if first is not None and last is not None:
            complete(answer, self._model, first, last)
        if interrupted:
            raise Interrupted(answer)
        answer.pod = answer.pod or pod_in_headers(call, failed=self._broken)
        if finished_at is None:
            began = answer.last is not None
            message = message or ("the stream ended without a final answer" if began else Cause.EMPTY_ANSWER)
            message = self._connection.redacted(message)
            answer.outcome, answer.cause = classify_failure(code, message, began=began)
        return answer


class GrpcControlPlane:
    """Triton's control plane over gRPC.

    Raises:
        TargetError: the address is unreachable, or the server is not Triton.
    """

    def __init__(self, address: str, *, tls: bool = False, connection: Connection = DIRECT) -> None:
        self._address = address
        self._connection = connection
        self._metadata = metadata(connection)
        self._channel = open_channel(address, tls=tls, connection=connection)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(below_path(self._channel, connection.path))
        try:
            self.server = self._control("ServerMetadata", pb.ServerMetadataRequest())
        except TargetError:
            self.close()
            raise

    def models(self) -> list[str]:
        """Return the names of all ready models."""
        return model_names(self._control("RepositoryIndex", pb.RepositoryIndexRequest(ready=True)).get("models"))

    def metadata(self, model: str) -> Mapping[str, Any]:
        """Return the metadata of a model."""
        return self._control("ModelMetadata", pb.ModelMetadataRequest(name=model))

    def config(self, model: str) -> Mapping[str, Any]:
        """Return the configuration of a model."""
        config: Mapping[str, Any] = self._control("ModelConfig", pb.ModelConfigRequest(name=model)).get("config", {})
        return config

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _control(self, call: str, request: Any) -> Mapping[str, Any]:
        try:
            answer = getattr(self._stub, call)(request, timeout=_CONTROL_TIMEOUT_S, metadata=self._metadata)
        except grpc.RpcError as error:
            code, details = error.code(), self._connection.redacted(error.details() or "")
            if code == grpc.StatusCode.UNAUTHENTICATED:
                raise TargetError(
                    f"the gRPC server at {self._address} requires credentials ({clean(details)}): {NEEDS_CREDENTIALS}"
                ) from None
            if code == grpc.StatusCode.PERMISSION_DENIED:
                raise TargetError(
                    f"the gRPC server at {self._address} answers {call} with PERMISSION_DENIED ({clean(details)}): "
                    f"{REFUSES_CREDENTIALS}"
                ) from None
            if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise TargetError(
                    f"cannot reach a gRPC server at {self._address}{through(self._connection.proxy)} "
                    f"({clean(details)}); check host and port (Triton's gRPC port is usually 8001) and that the server "
                    f"is up"
                ) from None
            if code in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL):
                raise TargetError(
                    f"the gRPC server at {self._address} does not answer {call} ({clean(details)}); "
                    f"is it Triton's gRPC port (usually 8001)?"
                ) from None
            raise TargetError(f"Triton at {self._address} rejects {call}: {clean(details)}") from None
        result: dict[str, Any] = MessageToDict(answer, preserving_proto_field_name=True)
        return result
