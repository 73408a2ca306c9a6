"""Configures and runs Prometheus, which scrapes the replicas and records the queue-to-compute ratio."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from loadgen.base.files import write_whole
from loadgen.local.component import Component
from loadgen.local.loopback import LOOPBACK, Unreachable, get
from loadgen.scenario.fleets import Local

RATIO_METRIC = "triton:queue_compute:ratio"


def duration(seconds: float) -> str:
    """Format seconds as a Prometheus duration: `10s`, or `1500ms` if they are not whole."""
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{seconds * 1000:.0f}ms"


def ratio_rule(*, model: str, window_s: float) -> str:
    """Return the PromQL of the queue-to-compute ratio of each replica: Σ queue time / Σ compute time in a window.

    The query sums before it divides, and it covers only the model under test: the sum of ratios over all models in the
    upstream tutorial has no meaning. Without compute in the window the divisor is 1 µs/s, so the ratio of an idle
    replica is 0, and that of a replica where every request still waits is its queue time.
    """
    matcher, window = f'{{model="{model}"}}', duration(window_s)
    return (
        f"sum by (pod) (rate(nv_inference_queue_duration_us{matcher}[{window}])) / "
        f"clamp_min(sum by (pod) (rate(nv_inference_compute_infer_duration_us{matcher}[{window}])), 1)"
    )


def scrape_config(*, interval_s: float, targets_file: Path, rules_file: Path) -> str:
    """Return `prometheus.yml`; rules are evaluated as often as targets are scraped."""
    interval = duration(interval_s)
    document = {
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": duration(min(interval_s, 10.0)),
            "evaluation_interval": interval,
        },
        "rule_files": [str(rules_file)],
        "scrape_configs": [
            {
                "job_name": "triton",
                "file_sd_configs": [{"files": [str(targets_file)], "refresh_interval": "5s"}],
            }
        ],
    }
    return yaml.safe_dump(document, sort_keys=False, width=200)


def rules_config(*, model: str, window_s: float) -> str:
    """Return the rule file with the recording rule of the ratio."""
    rule = {"record": RATIO_METRIC, "expr": ratio_rule(model=model, window_s=window_s)}
    return yaml.safe_dump({"groups": [{"name": "triton", "rules": [rule]}]}, sort_keys=False, width=300)


def targets_config(metrics_by_pod: Mapping[str, str]) -> str:
    """Return the target file of the file-based discovery: metrics addresses, with the replica's name as label `pod`."""
    return json.dumps(
        [{"targets": [address], "labels": {"pod": pod}} for pod, address in sorted(metrics_by_pod.items())], indent=1
    )


class Prometheus:
    """Prometheus, with its storage in the stack's temporary folder.

    Attributes:
        component: Its process.
    """

    def __init__(
        self, program: Path, *, flags: Sequence[str], settings: Local, model: str, work: Path, logs: Path
    ) -> None:
        self._targets_file = work / "targets.json"
        self._published = ""
        self.publish({})
        config, rules = work / "prometheus.yml", work / "rules.yml"
        rules.write_text(rules_config(model=model, window_s=settings.rate_window_s))
        config.write_text(
            scrape_config(interval_s=settings.scrape_interval_s, targets_file=self._targets_file, rules_file=rules)
        )

        def command(ports: Sequence[int]) -> list[str]:
            return [
                str(program),
                f"--config.file={config}",
                f"--storage.tsdb.path={work / 'prometheus'}",
                f"--web.listen-address={LOOPBACK}:{ports[0]}",
                "--log.level=warn",
                *flags,
            ]

        self.component = Component("prometheus", command=command, port_count=1, health_path="/-/ready", logs=logs)

    @property
    def url(self) -> str:
        """Base URL of its API."""
        return f"http://{self.component.address()}"

    async def replicas_up(self) -> int:
        """Return the number of replicas scraped successfully; 0 if Prometheus does not answer."""
        try:
            _, body = await get(self.component.address(), "/api/v1/query?query=sum(up)")
        except Unreachable:
            return 0
        return replicas_in(body)

    def publish(self, metrics_by_pod: Mapping[str, str]) -> None:
        """Replace the replicas that Prometheus scrapes."""
        text = targets_config(metrics_by_pod)
        if text != self._published:
            write_whole(self._targets_file, text.encode())
            self._published = text


def replicas_in(body: bytes) -> int:
    """Return the number in the answer to the query `sum(up)`; 0 if it has none."""
    try:
        return int(json.loads(body)["data"]["result"][0]["value"][1])
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return 0
