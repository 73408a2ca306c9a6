"""Requests one after another in a Locust process, each with a `request` event: requests/s of a client.

`engine-grpc` and `engine-http` are the load engine, which needs no users; the others send from Locust users.

python locust_client.py CLIENT ADDRESS USERS SECONDS

prints `{"requests": n, "seconds": s, "cpu_s": s, "failed": n}` of the time after all users had sent one request.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import gevent
from locust import User, constant, task  # patches this process
from locust.env import Environment

MODEL, TIMEOUT_S = "ensemble", 10.0
Send = Callable[[], None]


def product(protocol: str) -> Callable[[str], Send]:
    """Return how to connect the product's client, with the model as its detection describes it."""

    def connect(address: str) -> Send:
        from loadgen.protocols.detect import Model
        from loadgen.protocols.triton_grpc import GrpcClient
        from loadgen.protocols.triton_http import HttpClient

        model = Model(name=MODEL, family="trtllm", batched=True, decoupled=False, streams=False, counts_tokens=False)
        client = (GrpcClient if protocol == "grpc" else HttpClient)(address, model, stream=False)

        def send() -> None:
            answer = client.infer("hello", 1, TIMEOUT_S)
            if answer.outcome != "ok":
                raise RuntimeError(answer.cause)

        return send

    return connect


def tritonclient(protocol: str) -> Callable[[str], Send]:
    """Return how to connect tritonclient, with inputs that are encoded once."""

    def connect(address: str) -> Send:
        import numpy as np

        module: Any
        if protocol == "grpc":
            import tritonclient.grpc as module
        else:
            import tritonclient.http as module
        inputs = [module.InferInput("text_input", [1, 1], "BYTES"), module.InferInput("max_tokens", [1, 1], "INT32")]
        inputs[0].set_data_from_numpy(np.array([[b"hello"]], dtype=np.object_))
        inputs[1].set_data_from_numpy(np.array([[1]], dtype=np.int32))
        client = module.InferenceServerClient(address)
        return lambda: client.infer(MODEL, inputs)

    return connect


CLIENTS = {
    "product-grpc": product("grpc"),
    "product-http": product("http"),
    "tritonclient.grpc": tritonclient("grpc"),
    "tritonclient.http": tritonclient("http"),
}


def run_engine(name: str, address: str, in_flight: int, environment: Environment) -> None:
    """Keep requests in flight over one channel; a greenlet decodes the answers and fires their events."""
    from collections import deque

    from gevent.event import Event

    from loadgen.load.garbage import PausedCollector
    from loadgen.protocols.detect import Model
    from loadgen.protocols.endpoint import Endpoint
    from loadgen.protocols.wire.exchange import Exchange

    PausedCollector()
    model = Model(name=MODEL, family="trtllm", batched=True, decoupled=False, streams=False, counts_tokens=False)
    protocol: Any = name.removeprefix("engine-")
    client = Endpoint(address=address, protocol=protocol).open(model, stream=False)
    ended: deque[Exchange] = deque()
    some_ended = Event()

    def end(exchange: Exchange) -> None:
        ended.append(exchange)
        some_ended.set()

    def submit() -> None:
        client.channel.submit(Exchange(client.codec.encode("hello", 1), TIMEOUT_S, end))

    def loop() -> None:
        for _ in range(in_flight):
            submit()
        while True:
            some_ended.wait()
            some_ended.clear()
            for _ in range(len(ended)):
                exchange = ended.popleft()
                answer = client.answer(exchange)
                environment.events.request.fire(
                    request_type="infer",
                    name=name,
                    response_time=(answer.ended - exchange.submitted_at) * 1000,
                    response_length=answer.received_bytes,
                    exception=None if answer.outcome == "ok" else RuntimeError(answer.cause),
                    context={},
                )
                submit()

    gevent.spawn(loop)


def main() -> None:
    """Run the users, or the engine, in this process."""
    name, address, users, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    if name.endswith("grpc") and not name.startswith("engine"):
        import grpc.experimental.gevent

        grpc.experimental.gevent.init_gevent()
        gevent.get_hub().threadpool.maxsize = users + 16

    class ClosedUser(User):
        host = address
        wait_time = constant(0)

        def on_start(self) -> None:
            self.send = CLIENTS[name](address)

        @task
        def infer(self) -> None:
            began, error = time.perf_counter(), None
            try:
                self.send()
            except Exception as failure:
                error = failure
            self.environment.events.request.fire(
                request_type="infer",
                name=name,
                response_time=(time.perf_counter() - began) * 1000,
                response_length=0,
                exception=error,
                context={},
            )

    environment = Environment(user_classes=[ClosedUser], catch_exceptions=False)
    runner = environment.create_local_runner()
    engine = name.startswith("engine-")
    if engine:
        runner.start(0, spawn_rate=1)
        run_engine(name, address, users, environment)
    else:
        runner.start(users, spawn_rate=users)
    while runner.user_count < (0 if engine else users) or environment.stats.total.num_requests < 10 * users:
        gevent.sleep(0.01)
    total = environment.stats.total  # the start replaced the one before
    began, cpu, before, failed = time.perf_counter(), cpu_s(), total.num_requests, total.num_failures
    gevent.sleep(seconds)
    measured = {
        "requests": total.num_requests - before,
        "seconds": time.perf_counter() - began,
        "cpu_s": cpu_s() - cpu,
        "failed": total.num_failures - failed,
    }
    print(json.dumps(measured), flush=True)  # noqa: T201
    os._exit(0)  # open gRPC channels may keep the interpreter from ending under gevent


def cpu_s() -> float:
    """Return the CPU time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
