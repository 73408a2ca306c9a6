"""Clients of a Triton server with the emulated engine: gRPC streams, JSON over HTTP and waits for readiness."""

import asyncio
import json
import queue
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tritonclient.grpc as grpcclient
from tritonclient.utils import InferenceServerException

from loadgen.local.triton import is_ready

PROMPT = "The quick brown fox jumps over the lazy dog, and then it does so again."
PERF = ("arrival_time_ns", "first_scheduled_time_ns", "first_token_time_ns", "last_token_time_ns")
"""Output tensors with the times of a request, in the order in which they occur."""

_DTYPES = {bool: ("BOOL", np.bool_), int: ("INT32", np.int32), str: ("BYTES", np.object_)}
_READY_WITHIN_S = 60.0

Response = tuple[int, dict[str, list[object]], bool]
"""Time of arrival in ns, outputs, and whether it is the last response."""


class Stream:
    """A gRPC stream with one request, on a connection of its own."""

    def __init__(
        self,
        address: str,
        model: str,
        inputs: dict[str, object],
        *,
        request_id: str = "",
        outputs: list[str] | None = None,
        batched: bool = True,
    ) -> None:
        self._client = grpcclient.InferenceServerClient(address, channel_args=[("grpc.use_local_subchannel_pool", 1)])
        self._answers: queue.Queue[tuple[int, object, InferenceServerException | None]] = queue.Queue()
        self._client.start_stream(lambda result, error: self._answers.put((time.monotonic_ns(), result, error)))
        self.sent_ns = time.monotonic_ns()
        self._client.async_stream_infer(
            model,
            [tensor(name, value, batched=batched) for name, value in inputs.items()],
            outputs=None if outputs is None else [grpcclient.InferRequestedOutput(name) for name in outputs],
            request_id=request_id,
            enable_empty_final_response=True,
        )

    def next(self, timeout_s: float = 30) -> Response:
        """Return when the next response arrived, its outputs and whether it is the last."""
        at_ns, result, error = self._answers.get(timeout=timeout_s)
        if error is not None:
            raise error
        response = result.get_response()
        outputs = {o.name: result.as_numpy(o.name).ravel().tolist() for o in response.outputs}
        return at_ns, outputs, response.parameters["triton_final_response"].bool_param

    def all(self) -> list[Response]:
        """Return all remaining responses and close the connection."""
        responses = [self.next()]
        while not responses[-1][2]:
            responses.append(self.next())
        self.close()
        return responses

    def close(self, *, cancel: bool = False) -> None:
        self._client.stop_stream(cancel_requests=cancel)
        self._client.close()


def tensor(name: str, value: object, *, batched: bool = True) -> grpcclient.InferInput:
    """Return an input tensor with one value or a list of values; with a batch dimension of one if `batched`."""
    values = value if isinstance(value, list) else [value]
    datatype, numpy_type = _DTYPES[type(values[0])]
    array = np.array([values] if batched else values, numpy_type)
    result = grpcclient.InferInput(name, list(array.shape), datatype)
    result.set_data_from_numpy(array)
    return result


def post(address: str, path: str, **fields: object) -> tuple[int, str]:
    """Post JSON to `/v2/models/` and return status and body."""
    request = urllib.request.Request(
        f"http://{address}/v2/models/{path}",
        data=json.dumps(fields).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def wait_until_ready(http: str, metrics: str, poll: Callable[[], int | None], log: Path) -> None:
    """Wait until a server process is ready and has its metrics; `poll` returns its exit code once it has ended."""
    deadline = time.monotonic() + _READY_WITHIN_S
    # Triton opens the port of its metrics last, after it has said that it is ready
    while not asyncio.run(is_ready(http)) or not _accepts(metrics):
        assert poll() is None, log.read_text()[-4000:]
        assert time.monotonic() < deadline, f"not ready after {_READY_WITHIN_S:g} s"
        time.sleep(0.05)


def _accepts(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True
