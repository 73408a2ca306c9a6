"""The signals that are collected, as one table; a row's kind owns the PromQL text and the parse of the answer.

Prometheus is asked for the samples themselves (a range selector in an instant query), not for values on a grid of
steps: at every step of a range query the newest value of up to five minutes ago is repeated, so a gap in the scrapes
would look like a constant signal.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

from prometheus_client.samples import Sample as ExposedSample
from pydantic import BaseModel, TypeAdapter

from loadgen.dataset.run_info import RunInfo


class Reading(NamedTuple):
    """One value of one replica as Prometheus holds it; `pod` is None for a value of the fleet."""

    unix_s: float
    pod: str | None
    value: float


class _Series(BaseModel):
    metric: dict[str, str]
    values: list[tuple[float, float]] = []


_ANSWER = TypeAdapter(list[_Series])


class Queried(Protocol):
    """A kind of signal that Prometheus is asked for."""

    stray: bool
    """Whether Prometheus also holds it for what is no replica of Triton."""

    def promql(self, metric: str, labels: Sequence[str], window_s: float) -> str:
        """The query for all samples of the last `window_s` seconds."""

    def parse(self, answer: Any) -> list[Reading]:
        """The `result` of the query's answer in order of time; NaN and infinity are left out.

        Raises:
            ValueError: the answer is not a matrix.
        """


class Gauge:
    """A metric as it was scraped; of several series of one pod at one moment the largest counts."""

    stray = False

    def promql(self, metric: str, labels: Sequence[str], window_s: float) -> str:
        """`metric{labels}[window]`, the window in whole seconds."""
        matchers = f"{{{', '.join(labels)}}}" if labels else ""
        return f"{metric}{matchers}[{math.ceil(window_s)}s]"

    def parse(self, answer: Any) -> list[Reading]:
        """Values by pod and moment; a series without label `pod` is named by its `instance`."""
        moments: dict[tuple[float, str | None], list[float]] = {}
        for series in _ANSWER.validate_python(answer):
            pod = series.metric.get("pod") or series.metric.get("instance")
            for unix_s, value in series.values:
                if math.isfinite(value):
                    moments.setdefault((unix_s, pod), []).append(value)
        readings = [Reading(unix_s, pod, self.combine(values)) for (unix_s, pod), values in moments.items()]
        return sorted(readings, key=lambda reading: reading.unix_s)

    def combine(self, values: Sequence[float]) -> float:
        """The value of a pod by those of its series at one moment."""
        return max(values)


class Health(Gauge):
    """Prometheus's own record of its scrapes, which it keeps for everything that it scrapes."""

    stray = True


class Recorded(Gauge):
    """The series of a recording rule; those of one pod are added up, as prometheus-adapter's default query does."""

    def combine(self, values: Sequence[float]) -> float:
        """The value of a pod by those of its series at one moment."""
        return sum(values)


@dataclass(frozen=True, slots=True)
class Exposed:
    """A counter or gauge on the replica's own /metrics: versions, instances and reasons of the model are added up.

    Attributes:
        instead: Name of a metric that counts instead where the page has it, and a label and its value that narrow it:
            the bundled chart's model over the LLM API counts queue and compute itself, as Triton cannot see them there.
    """

    instead: tuple[str, ...] = ()

    def total(self, metric: str, model: str, samples: Sequence[ExposedSample]) -> float | None:
        """Sum over the model's series; None when there is none, or when one is not a number."""
        own = self.instead[0] if self.instead else ""
        name = own if any(each.name == own for each in samples) else metric
        narrow = [] if name == metric or len(self.instead) == 1 else [self.instead[1:]]
        values = [
            each.value
            for each in samples
            if each.name == name
            and each.labels.get("model") == model
            and all(each.labels.get(label) == value for label, value in narrow)
        ]
        return float(sum(values)) if values and all(map(math.isfinite, values)) else None


KindT = TypeVar("KindT", Queried, Exposed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal(Generic[KindT]):
    """One row of the table.

    Attributes:
        field: Name in the `signal` column of `samples/`.
        source: `prometheus`, or `metrics` for the replica's own /metrics.
        metric: Name of the metric at its source.
        kind: How it is asked for and read.
        unit: Unit of the value.
        labels: Matchers that narrow the metric, as in PromQL.
    """

    field: str
    source: Literal["prometheus", "metrics"]
    metric: str
    kind: KindT
    unit: str
    labels: tuple[str, ...] = ()


def _queried(field: str, metric: str, kind: Queried, unit: str, *labels: str) -> Signal[Queried]:
    return Signal(field=field, source="prometheus", metric=metric, kind=kind, unit=unit, labels=labels)


def _exposed(field: str, metric: str, unit: str, *instead: str) -> Signal[Exposed]:
    return Signal(field=field, source="metrics", metric=metric, kind=Exposed(instead), unit=unit)


# Metric names: Triton's `metric_model_reporter.cc`, `custom_metrics_reporter.cc` of its TensorRT-LLM backend, and
# `llmapi_metrics.py` of the bundled chart. Only one of the two engines is there, so only one of two rows has samples.
_REQUESTS, _BLOCKS = "nv_trt_llm_request_metrics", "nv_trt_llm_kv_cache_block_metrics"
QUERIED: tuple[Signal[Queried], ...] = (
    _queried("ratio", "triton:queue_compute:ratio", Recorded(), "ratio"),
    _queried("up", "up", Health(), "0 or 1"),
    _queried("engine_active", _REQUESTS, Gauge(), "requests", 'request_type="active"'),
    _queried("engine_waiting", _REQUESTS, Gauge(), "requests", 'request_type="waiting"'),
    _queried("kv_used_ratio", _BLOCKS, Gauge(), "ratio", 'kv_cache_block_type="fraction"'),
    _queried("engine_active", "llmapi_requests", Gauge(), "requests", 'state="running"'),
    _queried("engine_waiting", "llmapi_requests", Gauge(), "requests", 'state="waiting"'),
    _queried("kv_used_ratio", "llmapi_kv_cache_usage_ratio", Gauge(), "ratio"),
)
EXPOSED: tuple[Signal[Exposed], ...] = (
    _exposed("raw_queue_us", "nv_inference_queue_duration_us", "µs", "llmapi_queue_duration_us"),
    _exposed("raw_compute_us", "nv_inference_compute_infer_duration_us", "µs", "llmapi_compute_duration_us"),
    _exposed("raw_success", "nv_inference_request_success", "requests"),
    _exposed("raw_failure", "nv_inference_request_failure", "requests"),
    _exposed("raw_pending", "nv_inference_pending_request_count", "requests", "llmapi_requests", "state", "waiting"),
)


def queried(info: RunInfo) -> tuple[Signal[Queried], ...]:
    """The signals to ask Prometheus for in this run.

    `ratio` is the metric that the run's autoscaler reads; on a cluster each is that of the workload's namespace.
    """
    metric = info.autoscaler.metric if info.autoscaler else ""
    signals = QUERIED
    if re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", metric):
        signals = tuple(replace(each, metric=metric) if each.field == "ratio" else each for each in signals)
    if info.cluster is not None:
        place = f'namespace="{info.cluster.namespace}"'
        signals = tuple(replace(each, labels=(*each.labels, place)) for each in signals)
    return signals
