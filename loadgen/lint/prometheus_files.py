"""Reads `prometheus.yml` in ConfigMaps: how often Prometheus without an operator scrapes and evaluates rules."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from loadgen.base.yaml_text import parse_yaml
from loadgen.lint.objects import Object, Objects
from loadgen.lint.promql.parse import duration_s

DEFAULT_S = 60.0
"""Prometheus' own intervals where a configuration sets none."""
_DISCOVERED = ("pod", "endpoints", "endpointslice", "service")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A scrape job that finds pods or Services of the cluster.

    Attributes:
        object: The ConfigMap.
        field: Path of the job.
        name: Its name.
        interval: Its interval as written, or that of the file; empty where neither is set.
        interval_s: The interval that applies, seconds.
        timeout_s: Its time-out; None where none is set.
    """

    object: Object[Any]
    field: str
    name: str
    interval: str
    interval_s: float
    timeout_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusFile:
    """A configuration of Prometheus.

    Attributes:
        object: The ConfigMap.
        field: Path of the file in it.
        evaluation: How often it evaluates rules, as written; empty where that is not set.
        evaluation_s: The interval that applies, seconds.
        jobs: Its jobs that find pods or Services.
    """

    object: Object[Any]
    field: str
    evaluation: str
    evaluation_s: float
    jobs: tuple[Job, ...]


def prometheus_files(objects: Objects) -> Iterator[PrometheusFile]:
    """Yield the configurations of Prometheus in the ConfigMaps of an input."""
    for config in objects.of("ConfigMap"):
        for key, text in config.fields.data.items():
            if "scrape_configs" in text:
                document = _parsed(text)
                if isinstance(document, dict) and isinstance(document.get("scrape_configs"), list):
                    yield _file(config, f"data[{key}]", document)


def _parsed(text: str) -> Any:
    try:
        return parse_yaml(text)
    except ValueError:
        return None


def _file(config: Object[Any], path: str, document: dict[str, Any]) -> PrometheusFile:
    given = document.get("global")
    defaults = given if isinstance(given, dict) else {}
    evaluation = _text(defaults.get("evaluation_interval"))
    jobs = []
    for place, each in enumerate(document["scrape_configs"]):
        if not isinstance(each, dict) or not _finds_pods(each):
            continue
        interval = _text(each.get("scrape_interval")) or _text(defaults.get("scrape_interval"))
        timeout = _text(each.get("scrape_timeout")) or _text(defaults.get("scrape_timeout"))
        jobs.append(
            Job(
                object=config,
                field=f"{path}.scrape_configs[{place}]",
                name=_text(each.get("job_name")),
                interval=interval,
                interval_s=duration_s(interval) or DEFAULT_S,
                timeout_s=duration_s(timeout),
            )
        )
    return PrometheusFile(
        object=config,
        field=path,
        evaluation=evaluation,
        evaluation_s=duration_s(evaluation) or DEFAULT_S,
        jobs=tuple(jobs),
    )


def _finds_pods(job: dict[str, Any]) -> bool:
    found = job.get("kubernetes_sd_configs")
    roles = [each.get("role") for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    return any(role in _DISCOVERED for role in roles) or "nv_" in str(job) or ":8002" in str(job.get("static_configs"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
