"""Series with a known past in a real Prometheus: what an expression makes of them is what it makes of them anywhere.

The exposition format lets a sample carry its time, so that one scrape brings minutes of history.
"""

import http.server
import json
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from loadgen.local.loopback import free_ports
from loadgen.programs.find import find_prometheus
from support.charts.helm import objects
from support.kube.cluster import eventually

_START_WITHIN_S = 30.0
_ASKED_AFTER_S = 2.0


def panel(title: str, legend: str, **values: Any) -> str:
    """An expression of the dashboard of an emulated release."""
    (text,) = objects({"mode": "emulated", **values})["ConfigMap", "demo-triton-trtllm-dashboard"]["data"].values()
    (found,) = [each for each in json.loads(text)["panels"] if each["title"] == title]
    return next(str(each["expr"]) for each in found["targets"] if each["legendFormat"] == legend)


@dataclass(frozen=True)
class Line:
    """A series that rises steadily, from 0 a while ago.

    Attributes:
        name: The metric.
        labels: Its labels.
        per_s: How much it rises a second; a gauge that stands has 0.
        value: Where it began.
        every_s: Time between two scrapes.
        missed: Scrapes that were missed, counted back from the last one.
    """

    name: str
    labels: Mapping[str, str]
    per_s: float = 0.0
    value: float = 0.0
    every_s: float = 5.0
    missed: Sequence[int] = ()

    def samples(self, now_s: float, span_s: float = 240.0) -> Iterator[str]:
        """Lines of the exposition format, the oldest first."""
        labels = ",".join(f'{key}="{value}"' for key, value in self.labels.items())
        for back in range(int(span_s / self.every_s), -1, -1):
            if back not in self.missed:
                at_s = now_s - back * self.every_s
                risen = self.value + self.per_s * (span_s - back * self.every_s)
                yield f"{self.name}{{{labels}}} {risen} {round(at_s * 1000)}"


@dataclass(frozen=True)
class Past:
    """A Prometheus that has these series; questions are asked of a moment shortly after their last sample."""

    url: str
    now_s: float

    def ask(self, expression: str) -> dict[str, float]:
        """The answer by pod; a series without one has an empty name."""
        query = urllib.parse.urlencode({"query": expression, "time": self.now_s})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{query}", timeout=10) as answer:
            told = json.load(answer)
        assert told["status"] == "success", told
        return {each["metric"].get("pod", ""): float(each["value"][1]) for each in told["data"]["result"]}

    def has(self, name: str) -> bool:
        """Whether the series have arrived."""
        try:
            return self.ask(f"count({name})") != {}
        except OSError:
            return False


@contextmanager
def past(lines: Iterable[Line], folder: Path) -> Iterator[Past]:
    """A Prometheus that has scraped these lines."""
    every, now_s = list(lines), time.time()
    text = "\n".join(sample for line in every for sample in line.samples(now_s)) + "\n"

    class Once(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonlocal text
            said, text = text, ""
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(said.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Once) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (port,) = free_ports(1)
        scrape = {"job_name": "past", "honor_labels": True}
        scrape["static_configs"] = [{"targets": [f"127.0.0.1:{server.server_port}"]}]
        config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        address = f"127.0.0.1:{port}"
        with (folder / "prometheus.log").open("w") as log:
            flags = (f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data")
            program = subprocess.Popen(
                [find_prometheus(), *flags, f"--web.listen-address={address}"], stdout=log, stderr=log
            )
            try:
                found = Past(f"http://{address}", now_s + _ASKED_AFTER_S)
                eventually(lambda: found.has(every[0].name), "the series", within_s=_START_WITHIN_S)
                yield found
            finally:
                program.terminate()
                program.wait(timeout=20)
                server.shutdown()
