"""The signals that are collected, as one table; a row's kind owns the PromQL text and the parse of the answer.

Prometheus is asked for the samples themselves (a range selector in an instant query), not for values on a grid of
steps: at every step of a range query the newest value of up to five minutes ago is repeated, so a gap in the scrapes
would look like a constant signal.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from prometheus_client.samples import Sample as ExposedSample
from pydantic import BaseModel, TypeAdapter

from loadgen.dataset.names import SignalName
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
        field: Name in the `signal` column of `samples/`; it declares unit and meaning.
        metric: Name of the metric at its source.
        kind: How it is asked for and read.
        labels: Matchers that narrow the metric, as in PromQL.
    """

    field: SignalName
    metric: str
    kind: KindT
    labels: tuple[str, ...] = ()


def _queried(field: SignalName, metric: str, kind: Queried, *labels: str) -> Signal[Queried]:
    return Signal(field=field, metric=metric, kind=kind, labels=labels)


def _exposed(field: SignalName, metric: str, *instead: str) -> Signal[Exposed]:
    return Signal(field=field, metric=metric, kind=Exposed(instead))


# Metric names: Triton's `metric_model_reporter.cc`, `custom_metrics_reporter.cc` of its TensorRT-LLM backend, and
# `llmapi_metrics.py` of the bundled chart. Only one of the two engines is there, so only one of two rows has samples.
_REQUESTS, _BLOCKS = "nv_trt_llm_request_metrics", "nv_trt_llm_kv_cache_block_metrics"
QUERIED: tuple[Signal[Queried], ...] = (
    _queried(SignalName.RATIO, "triton:queue_compute:ratio", Recorded()),
    _queried(SignalName.UP, "up", Health()),
    _queried(SignalName.ENGINE_ACTIVE, _REQUESTS, Gauge(), 'request_type="active"'),
    _queried(SignalName.ENGINE_WAITING, _REQUESTS, Gauge(), 'request_type="waiting"'),
    _queried(SignalName.KV_USED_RATIO, _BLOCKS, Gauge(), 'kv_cache_block_type="fraction"'),
    _queried(SignalName.ENGINE_ACTIVE, "llmapi_requests", Gauge(), 'state="running"'),
    _queried(SignalName.ENGINE_WAITING, "llmapi_requests", Gauge(), 'state="waiting"'),
    _queried(SignalName.KV_USED_RATIO, "llmapi_kv_cache_usage_ratio", Gauge()),
)
EXPOSED: tuple[Signal[Exposed], ...] = (
    _exposed(SignalName.RAW_QUEUE_US, "nv_inference_queue_duration_us", "llmapi_queue_duration_us"),
    _exposed(SignalName.RAW_COMPUTE_US, "nv_inference_compute_infer_duration_us", "llmapi_compute_duration_us"),
    _exposed(SignalName.RAW_SUCCESS, "nv_inference_request_success"),
    _exposed(SignalName.RAW_FAILURE, "nv_inference_request_failure"),
    _exposed(SignalName.RAW_PENDING, "nv_inference_pending_request_count", "llmapi_requests", "state", "waiting"),
)


def queried(info: RunInfo) -> tuple[Signal[Queried], ...]:
    """The signals to ask Prometheus for in this run.

    `ratio` is the metric that the run's autoscaler reads; on a cluster each is that of the workload's namespace.
    """
    metric = info.autoscaler.metric if info.autoscaler else ""
    signals = QUERIED
    if re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", metric):
        signals = tuple(replace(each, metric=metric) if each.field == SignalName.RATIO else each for each in signals)
    if info.cluster is not None:
        place = f'namespace="{info.cluster.namespace}"'
        signals = tuple(replace(each, labels=(*each.labels, place)) for each in signals)
    return signals
