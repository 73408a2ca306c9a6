"""Whole runs of the product, `locust -f` with recording on, by a checkout with its own environment."""

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine.measure import Cpus, Finished, NotMeasured, Values, finished

HERE = Path(__file__).parent
UNARY = ("--no-stream", "--model", "ensemble")
STREAMS = ("--model", "tensorrt_llm_bls")


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A checkout of the product.

    Attributes:
        name: What the tables call it.
        root: Its folder, with `.venv`.
        client: Client that its runs choose with `--client`; None for its default.
    """

    name: str
    root: Path
    client: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Product":
        """Read `NAME=FOLDER` or `NAME=FOLDER@CLIENT`."""
        name, _, rest = text.partition("=")
        folder, _, client = rest.partition("@")
        return cls(name=name, root=Path(folder).resolve(), client=client or None)

    def program(self, name: str) -> str:
        """Return a program of its environment.

        Raises:
            NotMeasured: it has no environment.
        """
        path = self.root / ".venv/bin" / name
        if not path.exists():
            raise NotMeasured(f"{path} is missing")
        return str(path)

    def run(
        self, target: str, cpus: Cpus, *flags: str, rate: float, seconds: float, tokens: int, even: bool = False
    ) -> "Run":
        """Run the load against a target and read the run folder."""
        with tempfile.TemporaryDirectory() as folder:
            env = {
                "BENCH_RATE": str(rate),
                "BENCH_SECONDS": str(seconds),
                "BENCH_TOKENS": str(tokens),
                "BENCH_ARRIVALS": "even" if even else "poisson",
                "LOADGEN_RUNS_DIR": f"{folder}/runs",
                "PYTHONPATH": os.pathsep.join([str(self.root), str(self.root / "reports")]),
            }
            command = [self.program("locust"), "-f", str(HERE / "flat.py"), "--headless", "--target", target]
            command += ["--client", self.client] if self.client else []
            process = finished(cpus.pinned([*command, "--reports", "json", *flags]), cwd=Path(folder), env=env)
            runs = list(Path(folder, "runs").glob("*/analysis.json"))
            if not runs:
                last = (process.errors.strip().splitlines() or ["no output"])[-1]
                raise NotMeasured(f"exit code {process.status}: {last}")
            return Run.read(runs[0].parent, process)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run folder and its process say.

    Attributes:
        info: `run.json`.
        verdict: `pass`, `fail` or `invalid`.
        requests: The table of requests.
        tokens: The table of tokens.
        cpu_s: CPU time of the load process during the load.
        rss_mb: Largest resident size of the load process during the load.
    """

    info: dict
    verdict: str
    requests: pa.Table
    tokens: pa.Table
    cpu_s: float
    rss_mb: float

    @classmethod
    def read(cls, folder: Path, process: Finished) -> "Run":
        """Read a run folder."""
        info = json.loads((folder / "run.json").read_text())
        start, end, anchor = info["load_start_s"], info["load_end_s"], info["anchor_monotonic_s"]
        samples = pq.read_table(folder / "samples")
        cpu = samples.filter(pc.equal(samples["signal"], "generator_cpu_s")).sort_by("t_s")
        at, value = cpu["t_s"].to_numpy(), cpu["value"].to_numpy()
        tokens = folder / "tokens"
        return cls(
            info=info,
            verdict=json.loads((folder / "analysis.json").read_text())["verdict"],
            requests=pq.read_table(folder / "requests"),
            tokens=pq.read_table(tokens) if any(tokens.glob("*.parquet")) else pa.table({"t_s": []}),
            cpu_s=float(np.interp(end, at, value) - np.interp(start, at, value)) if len(at) else float("nan"),
            rss_mb=process.rss_mb(anchor + start, anchor + end),
        )

    @property
    def ok_ratio(self) -> float:
        """Share of the requests with the outcome `ok`."""
        outcomes = self.requests["outcome"].to_pylist()
        return outcomes.count("ok") / max(1, len(outcomes))

    def lag(self) -> Values:
        """Return how late requests were sent, by the product's own record."""
        sent = self.requests.filter(pc.is_valid(self.requests["sent_s"]))
        lag_ms = (sent["sent_s"].to_numpy() - sent["scheduled_s"].to_numpy()) * 1000
        return _percentiles(lag_ms, "")

    def on_wire(self, first_bytes_ns: list[int]) -> Values:
        """Return how late the server read the first bytes: its k-th request against the k-th due time."""
        due = np.sort(self.requests["scheduled_s"].to_numpy()) + self.info["anchor_monotonic_s"]
        read = np.sort(np.array(first_bytes_ns)) / 1e9
        size = min(len(due), len(read))
        return _percentiles((read[:size] - due[:size]) * 1000, "at the server, ")

    def gaps(self, itl_ms: float) -> Values:
        """Return the errors of the gaps between tokens, and what a token cost."""
        times = [np.asarray(row) for row in self.tokens["t_s"].to_pylist()]
        found = [np.diff(row) for row in times if len(row) > 1]
        if not found:
            raise NotMeasured("no request was answered with tokens")
        errors = np.abs(np.concatenate(found) * 1000 - itl_ms)
        return {
            **_percentiles(errors, "ITL error "),
            "CPU µs/token": self.cpu_s / sum(map(len, times)) * 1e6,
            "RSS MB": self.rss_mb,
            "ok": self.ok_ratio,
            "valid": float(self.verdict != "invalid"),
        }


def _percentiles(values_ms: np.ndarray, prefix: str) -> dict[str, float]:
    p50, p99 = np.percentile(values_ms, [50, 99])
    rest = prefix if prefix.endswith(", ") else ""
    return {f"{prefix}p50 ms": float(p50), f"{rest}p99 ms": float(p99), f"{rest}max ms": float(values_ms.max())}
