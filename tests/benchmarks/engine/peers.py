"""Peers of the product: other load generators, and tritonclient, each run once against a null server."""

import json
import re
import sys
import tempfile
from pathlib import Path

import numpy as np

from engine.measure import Column, Cpus, NotMeasured, Values, finished, program
from engine.product import Product
from support.servers.null_requests import infer_request
from support.servers.null_server import NullServer

HERE = Path(__file__).parent
IN_FLIGHT = 16


def locust_client(
    client: str, server: NullServer, cpus: Cpus, seconds: float, product: Product | None = None
) -> Values:
    """Return requests/s of a client in Locust users; that of a product runs in its environment."""
    python = product.program("python") if product else sys.executable
    env = {"PYTHONPATH": str(product.root)} if product else {}
    port = server.http if client.endswith("http") else server.grpc
    arguments = [client, f"127.0.0.1:{port}", str(IN_FLIGHT), str(seconds)]
    measured = child([python, str(HERE / "locust_client.py"), *arguments], cpus, env)
    if measured["failed"]:
        raise NotMeasured(f"{measured['failed']:.0f} requests failed")
    rate = measured["requests"] / measured["seconds"]
    return {"requests/s": rate, "CPU µs/request": measured["cpu_s"] / measured["requests"] * 1e6}


def wrk(server: NullServer, cpus: Cpus, seconds: float) -> Values:
    """Return requests/s of wrk with one thread."""
    tensors = [
        {"name": "text_input", "datatype": "BYTES", "shape": [1, 1], "data": ["hello"]},
        {"name": "max_tokens", "datatype": "INT32", "shape": [1, 1], "data": [1]},
    ]
    body = json.dumps({"inputs": tensors})
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(
            f'wrk.method = "POST"\nwrk.body = {json.dumps(body)}\nwrk.headers["Content-Type"] = "application/json"\n'
        )
        script.flush()
        url = f"http://127.0.0.1:{server.http}/v2/models/ensemble/infer"
        load = ["-t1", f"-c{IN_FLIGHT}", f"-d{max(1, round(seconds))}s"]
        done = finished(cpus.pinned([program("wrk"), *load, "-s", script.name, url]))
    if "Non-2xx" in done.output:
        raise NotMeasured("requests failed")
    return {"requests/s": found(r"Requests/sec:\s+([\d.]+)", done.output)}


def h2load(server: NullServer, cpus: Cpus, seconds: float, streams: int) -> Values:
    """Return requests/s of h2load with the bytes of a `ModelInfer` call."""
    message = infer_request(1, stream=False).SerializeToString()
    with tempfile.NamedTemporaryFile("wb") as data:
        data.write(b"\0" + len(message).to_bytes(4, "big") + message)
        data.flush()
        url = f"http://127.0.0.1:{server.grpc}/inference.GRPCInferenceService/ModelInfer"
        load = ["-t1", f"-c{IN_FLIGHT}", f"-m{streams}", f"-D{max(1, round(seconds))}", "-d", data.name]
        headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
        done = finished(cpus.pinned([program("h2load"), *load, *headers, url]))
    if not re.search(r"\b0 failed, 0 errored, 0 timeout", done.output):
        raise NotMeasured("requests failed")
    return {"requests/s": found(r"finished in [\d.]+\w+, ([\d.]+) req/s", done.output)}


def perf_analyzer(path: str | None, protocol: str, server: NullServer, cpus: Cpus, seconds: float) -> Values:
    """Return requests/s of perf_analyzer, asynchronous over gRPC."""
    program_path = program("perf_analyzer", path)
    port = server.http if protocol == "http" else server.grpc
    with tempfile.TemporaryDirectory() as folder:
        inputs = _inputs(folder, max_tokens=1)
        command = [program_path, "-m", "ensemble", "-u", f"127.0.0.1:{port}", "-i", protocol, "--input-data", inputs]
        command += ["--async"] if protocol == "grpc" else []
        window = [
            "--measurement-interval",
            str(round(seconds * 1000)),
            "--stability-percentage",
            "999",
            "--max-trials",
            "3",
        ]
        done = finished(cpus.pinned([*command, *window, "--concurrency-range", str(IN_FLIGHT)]))
    return {"requests/s": found(r"Throughput: ([\d.]+) infer/sec", done.output)}


def perf_analyzer_streams(
    path: str | None, server: NullServer, cpus: Cpus, streams: int, tokens: int, itl_ms: float, seconds: float
) -> Values:
    """Return the errors of the gaps that perf_analyzer recorded, and what a token cost."""
    program_path = program("perf_analyzer", path)
    requests = streams * max(2, round(seconds * 1000 / (tokens * itl_ms)))
    with tempfile.TemporaryDirectory() as folder:
        inputs, export = _inputs(folder, max_tokens=tokens, stream=True), f"{folder}/export.json"
        command = [program_path, "-m", "tensorrt_llm_bls", "-u", f"127.0.0.1:{server.grpc}", "-i", "grpc", "--async"]
        load = ["--streaming", "--concurrency-range", str(streams), "--request-count", str(requests)]
        files = ["--input-data", inputs, "--profile-export-file", export, "--stability-percentage", "999"]
        done = finished(cpus.pinned([*command, *load, *files]))
        if not Path(export).exists():
            raise NotMeasured(f"exit code {done.status}: {(done.errors or done.output).strip().splitlines()[-1:]}")
        exported = json.loads(Path(export).read_text())["experiments"][0]["requests"]
    # the last response is the final one, without a token
    times = [np.array(request["response_timestamps"][:tokens], dtype=np.int64) for request in exported]
    errors = np.abs(np.concatenate([np.diff(row) for row in times]) / 1e6 - itl_ms)
    p50, p99 = np.percentile(errors, [50, 99])
    return {
        "ITL error p50 ms": float(p50),
        "p99 ms": float(p99),
        "max ms": float(errors.max()),
        "CPU µs/token": done.cpu_s / sum(map(len, times)) * 1e6,
        "RSS MB": done.rss_mb(),
        "ok": sum(len(row) == tokens for row in times) / len(times),
    }


def tritonclient_streams(
    server: NullServer, cpus: Cpus, streams: int, tokens: int, itl_ms: float, seconds: float
) -> Values:
    """Return what `tritonclient_streams.py` measured."""
    arguments = [f"127.0.0.1:{server.grpc}", str(streams), str(tokens), str(itl_ms), str(seconds)]
    return child([sys.executable, str(HERE / "tritonclient_streams.py"), *arguments], cpus)


def constant_throughput(cpus: Cpus, rate: float, seconds: float) -> Values:
    """Return how late Locust's `constant_throughput` starts its tasks."""
    return child([sys.executable, str(HERE / "locust_pacing.py"), str(rate), str(seconds)], cpus)


def child(command: list[str], cpus: Cpus, env: dict[str, str] | None = None) -> dict[str, float]:
    """Run a script of this folder and return the JSON of its last line."""
    done = finished(cpus.pinned(command), env=env)
    lines = [line for line in done.output.splitlines() if line.startswith("{")]
    if not lines:
        raise NotMeasured(f"exit code {done.status}: {(done.errors.strip().splitlines() or ['no output'])[-1]}")
    measured: dict[str, float] = json.loads(lines[-1])
    return measured


def found(pattern: str, output: str) -> float:
    """Return the number in a program's output."""
    match = re.search(pattern, output)
    if match is None:
        raise NotMeasured(f"its output has no rate: {output.strip().splitlines()[-1:]}")
    return float(match[1])


def _inputs(folder: str, **values: int | bool) -> str:
    tensors = {name: {"content": [value], "shape": [1]} for name, value in {"text_input": "hello", **values}.items()}
    path = Path(folder, "inputs.json")
    path.write_text(json.dumps({"data": [tensors]}))
    return str(path)


def unary(
    protocol: str, server: NullServer, cpus: Cpus, seconds: float, products: list[Product], path: str | None
) -> dict[str, Column]:
    """Return the clients of one protocol, products first."""
    columns: dict[str, Column] = {}
    for product in products:
        has_engine = (product.root / "loadgen/protocols/wire").exists() and product.client != "reference"
        kind = "engine" if has_engine else "product"
        columns[f"{product.name} in Locust"] = lambda product=product, kind=kind: locust_client(
            f"{kind}-{protocol}", server, cpus, seconds, product
        )
    columns[f"tritonclient.{protocol} in Locust"] = lambda: locust_client(
        f"tritonclient.{protocol}", server, cpus, seconds
    )
    columns["perf_analyzer"] = lambda: perf_analyzer(path, protocol, server, cpus, seconds)
    if protocol == "grpc":
        columns["h2load -m1"] = lambda: h2load(server, cpus, seconds, 1)
        columns["h2load -m16"] = lambda: h2load(server, cpus, seconds, 16)
    else:
        columns["wrk"] = lambda: wrk(server, cpus, seconds)
    return columns
