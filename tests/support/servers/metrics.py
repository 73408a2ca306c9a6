"""A simulated Prometheus and simulated replicas whose values are known in advance."""

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from loadgen.base.clock import Clock
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.run_info import RunInfo, ValidityLimits

MODEL = "tensorrt_llm_bls"
RATIO = "triton:queue_compute:ratio"


def eventually(condition: Callable[[], bool], what: str, within_s: float = 60.0) -> None:
    """Wait until a condition returns true; the timeout only ends a test that has failed."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"not within {within_s:g} s: {what}"
        time.sleep(0.05)


def run_folder(runs: Path, **fields: Any) -> RunFolder:
    """Create a run folder with the content that it has when the collector starts."""
    clock = Clock.start()
    folder = RunFolder.create(runs, "observed", clock)
    folder.write_info(
        RunInfo(
            run_id=folder.path.name,
            scenario="observed",
            anchor_unix_s=clock.anchor_unix_s,
            anchor_monotonic_s=clock.anchor_monotonic_s,
            protocol="grpc",
            stream=True,
            validity=ValidityLimits(send_lag_p99_s=0.05, scrape_gap_s=5.0, min_samples=100),
            **{"target": "local"} | fields,
        )
    )
    return folder


class Server:
    """An HTTP server on loopback that can be stopped and started again on the same port."""

    def __init__(self) -> None:
        self.port = 0
        self._server: ThreadingHTTPServer | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def answer(self, path: str) -> tuple[int, bytes]:
        raise NotImplementedError

    def start(self) -> None:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = fake.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):  # the client may have closed the connection
                    self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class FakePrometheus(Server):
    """Has one sample per series for every whole second at which it runs; the value is derived from the time."""

    def __init__(self, series: dict[str, list[dict[str, str]]]) -> None:
        super().__init__()
        self.series = series
        self.spans: list[list[float]] = []
        self.queries: list[str] = []

    def start(self) -> None:
        self.spans.append([time.time(), float("inf")])
        super().start()

    def stop(self) -> None:
        if self._server:
            self.spans[-1][1] = time.time()
        super().stop()

    def value(self, unix_s: float) -> float:
        return unix_s % 1000

    def answer(self, path: str) -> tuple[int, bytes]:
        query = parse_qs(urlsplit(path).query)["query"][0]
        self.queries.append(query)
        match = re.fullmatch(r"([a-z:_]+)(?:\{(.*)\})?\[(\d+)s\]", query)
        assert match, query
        name, matchers, window = match[1], match[2] or "", int(match[3])
        required_labels = dict(re.findall(r'(\w+)="([^"]*)"', matchers))
        now = time.time()
        moments = [t for t in range(int(now) - window, int(now) + 1) if now - window < t <= now and self._ran(t)]
        result = [
            {"metric": {"__name__": name, **labels}, "values": [[t, str(self.value(t))] for t in moments]}
            for labels in self.series.get(name, [])
            if moments and required_labels.items() <= labels.items()
        ]
        return 200, json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()

    def _ran(self, unix_s: float) -> bool:
        return any(start <= unix_s < end for start, end in self.spans)


class FakeReplica(Server):
    """A Triton whose success counter counts the reads, so that every sample is known; it can hang."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.reads = 0
        self.hanging = threading.Event()
        self.released = threading.Event()

    def answer(self, path: str) -> tuple[int, bytes]:
        if self.hanging.is_set():
            self.released.wait(60)
        if path != "/metrics":
            return 404, b""
        self.reads += 1
        return 200, page(self.reads).encode()

    def state(self, phase: str = "ready") -> dict[str, Any]:
        return {"name": self.name, "phase": phase, "http": None, "grpc": None, "metrics": self.address}


def page(success: int) -> str:
    """Return a metrics page of Triton with five models, of which `MODEL` has values of its own."""
    lines = []
    for metric, values in {
        "nv_inference_request_success": [success, 5000],
        "nv_inference_count": [success, 5000],
        "nv_inference_exec_count": [success, 5000],
        "nv_inference_request_duration_us": [9e6, 1],
        "nv_inference_queue_duration_us": [100 * success, 7],
        "nv_inference_compute_input_duration_us": [3, 3],
        "nv_inference_compute_infer_duration_us": [50 * success, 9],
        "nv_inference_compute_output_duration_us": [3, 3],
        "nv_inference_pending_request_count": [2, 0],
    }.items():
        lines += [f"# HELP {metric} As Triton says", f"# TYPE {metric} counter"]
        lines += [f'{metric}{{model="{MODEL}",version="1"}} {values[0]}']
        for model in ("preprocessing", "postprocessing", "ensemble", "tensorrt_llm"):
            lines.append(f'{metric}{{model="{model}",version="1"}} {values[1]}')
    for reason, count in {"REJECTED": 1, "CANCELED": 0, "BACKEND": 2, "OTHER": 0}.items():
        lines.append(f'nv_inference_request_failure{{model="{MODEL}",reason="{reason}",version="1"}} {count}')
    for kind, count in {"active": 3, "scheduled": 2, "waiting": 1, "max": 8}.items():
        lines.append(f'nv_trt_llm_request_metrics{{model="tensorrt_llm",request_type="{kind}",version="1"}} {count}')
    for kind, count in {"max": 100, "used": 25, "fraction": 0.25}.items():
        lines.append(f'nv_trt_llm_kv_cache_block_metrics{{kv_cache_block_type="{kind}",model="tensorrt_llm"}} {count}')
    return "\n".join(lines) + "\n"


def write_state(
    folder: RunFolder,
    *,
    prometheus: str | None,
    replicas: list[dict[str, Any]],
    phase: str = "ready",
    custom_metrics: str | None = None,
) -> None:
    """Replace stack/state.json as the local stack does."""
    (folder.path / "stack").mkdir(exist_ok=True)
    state = {"phase": phase, "error": None, "gateway": None, "prometheus": prometheus, "model": MODEL, "desired": 1}
    folder.write_text(
        "stack/state.json",
        json.dumps(
            {
                **state,
                "metric_milli": None,
                "versions": {},
                "replicas": replicas,
                "custom_metrics": custom_metrics,
            }
        ),
    )


def write_journal(folder: RunFolder, text: str) -> None:
    """Append to stack/journal.jsonl."""
    (folder.path / "stack").mkdir(exist_ok=True)
    with (folder.path / "stack" / "journal.jsonl").open("a") as file:
        file.write(text)
