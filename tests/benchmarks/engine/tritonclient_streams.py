"""Streams of tokens by tritonclient.grpc under gevent, with the times at which its callback is called.

python tritonclient_streams.py ADDRESS STREAMS TOKENS ITL_MS SECONDS

Each stream is a client of its own, which sends its next request after the last answer. Prints the errors of the gaps
between tokens in milliseconds, CPU time per token, and memory.
"""

import json
import os
import resource
import sys
import time
from typing import Any

import gevent.monkey

gevent.monkey.patch_all()

import grpc.experimental.gevent  # noqa: E402 - after the patch
import numpy as np  # noqa: E402 - after the patch
import tritonclient.grpc as triton  # noqa: E402 - after the patch
from gevent.queue import Queue  # noqa: E402 - after the patch

grpc.experimental.gevent.init_gevent()


def inputs(tokens: int) -> list[triton.InferInput]:
    """Return the inputs of a streamed request."""
    values = {
        "text_input": np.array([[b"hello"]], dtype=np.object_),
        "max_tokens": np.array([[tokens]], dtype=np.int32),
        "stream": np.array([[True]]),
    }
    types = {"text_input": "BYTES", "max_tokens": "INT32", "stream": "BOOL"}
    made = [triton.InferInput(name, [1, 1], types[name]) for name in values]
    for tensor, value in zip(made, values.values(), strict=True):
        tensor.set_data_from_numpy(value)
    return made


def stream(address: str, tokens: int, until: float, answers: list[list[float]]) -> None:
    """Send requests on one stream until a time, and add the times of the tokens of each answer."""
    client = triton.InferenceServerClient(address)
    received: Queue[float | None] = Queue()

    def on_response(result: Any, error: Any) -> None:
        response = None if error else result.get_response()
        final = error or response.parameters["triton_final_response"].bool_param
        received.put(None if final else time.perf_counter())

    client.start_stream(on_response)
    while time.perf_counter() < until:
        client.async_stream_infer("tensorrt_llm_bls", inputs(tokens), enable_empty_final_response=True)
        times: list[float] = []
        while (at := received.get()) is not None:
            times.append(at)
        answers.append(times)
    client.stop_stream()


def main() -> None:
    """Run the streams in this process."""
    address, streams, tokens = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    itl_ms, seconds = float(sys.argv[4]), float(sys.argv[5])
    gevent.get_hub().threadpool.maxsize = streams + 16
    answers: list[list[float]] = []
    before = resource.getrusage(resource.RUSAGE_SELF)
    until = time.perf_counter() + seconds
    gevent.joinall([gevent.spawn(stream, address, tokens, until, answers) for _ in range(streams)])
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    errors = np.abs(np.concatenate([np.diff(times) for times in answers if len(times) > 1]) * 1000 - itl_ms)
    p50, p99 = np.percentile(errors, [50, 99])
    received = sum(map(len, answers))
    measured = {
        "ITL error p50 ms": p50,
        "p99 ms": p99,
        "max ms": errors.max(),
        "CPU µs/token": cpu_s / received * 1e6,
        "RSS MB": used.ru_maxrss / 1000,
        "ok": sum(len(times) == tokens for times in answers) / len(answers),
    }
    print(json.dumps(measured), flush=True)  # noqa: T201
    os._exit(0)  # open gRPC channels may keep the interpreter from ending under gevent


if __name__ == "__main__":
    main()
