"""Declares the collected signals in one table; the kind of a signal builds its PromQL query and parses the response.

The queries return the samples themselves (a range selector in an instant query) and not values on a grid of steps: a
range query repeats the newest value of up to five minutes ago at every step, so a gap in the scrapes would look like a
constant signal.
"""

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from prometheus_client.samples import Sample as ExposedSample
from pydantic import BaseModel, ValidationError

from loadgen.base.checked import error_sentence
from loadgen.base.text import clean, printable
from loadgen.dataset.names import SignalName
from loadgen.dataset.run_info import RunInfo


class Reading(NamedTuple):
    """One sample of one replica in Prometheus; `pod` is None for a sample of the whole fleet."""

    unix_s: float
    pod: str | None
    value: float


class _Series(BaseModel):
    metric: dict[str, str]
    values: list[tuple[float, float]] = []


_MAX_SHOWN = 80
_log = logging.getLogger(__name__)


def _series(answer: Any) -> list[_Series]:
    """Validate each series of an answer by itself, so that one that is invalid does not cost the others."""
    if not isinstance(answer, list):
        raise ValueError(f"the result is not a list of series: {clean(answer, _MAX_SHOWN)}")
    valid, errors = [], []
    for each in answer:
        try:
            valid.append(_Series.model_validate(each))
        except ValidationError as error:
            errors.append(clean(error_sentence("series", error)))
    if errors and not valid:
        raise ValueError(f"no series of the result can be read: {errors[0]}")
    if errors:
        _log.warning("skipped %d of %d series: %s", len(errors), len(answer), errors[0])
    return valid


class Queried(Protocol):
    """A kind of signal that is read from Prometheus."""

    beyond_replicas: bool
    """Whether Prometheus has this metric also for targets other than Triton replicas."""

    def promql(self, metric: str, labels: Sequence[str], window_s: float) -> str:
        """Build the query for all samples of the last `window_s` seconds."""

    def parse(self, answer: Any) -> list[Reading]:
        """Parse the `result` of a response, in order of time; NaN and infinity are skipped.

        A series that cannot be parsed is skipped.

        Raises:
            ValueError: the result is not a matrix, or no series can be parsed.
        """


class Gauge:
    """A scraped metric; of several series of one pod at one time the largest counts."""

    beyond_replicas = False

    def promql(self, metric: str, labels: Sequence[str], window_s: float) -> str:
        """`metric{labels}[window]`, the window in whole seconds."""
        matchers = f"{{{', '.join(labels)}}}" if labels else ""
        return f"{metric}{matchers}[{math.ceil(window_s)}s]"

    def parse(self, answer: Any) -> list[Reading]:
        """Parse the values by pod and time; a series without label `pod` is named by its `instance`."""
        by_time: dict[tuple[float, str | None], list[float]] = {}
        for series in _series(answer):
            name = series.metric.get("pod") or series.metric.get("instance")
            pod = name and printable(name)
            for unix_s, value in series.values:
                if math.isfinite(value) and math.isfinite(unix_s):
                    by_time.setdefault((unix_s, pod), []).append(value)
        readings = [Reading(unix_s, pod, self.combine(values)) for (unix_s, pod), values in by_time.items()]
        finite = [reading for reading in readings if math.isfinite(reading.value)]  # a sum may be too large
        return sorted(finite, key=lambda reading: reading.unix_s)

    def combine(self, values: Sequence[float]) -> float:
        """Combine the values of all series of a pod at one time."""
        return max(values)


class ScrapeHealth(Gauge):
    """The metric `up`, which Prometheus records for every scrape target."""

    beyond_replicas = True


class RecordingRule(Gauge):
    """The series of a recording rule; series of one pod are summed, as in the default query of prometheus-adapter."""

    def combine(self, values: Sequence[float]) -> float:
        """Combine the values of all series of a pod at one time."""
        return sum(values)


@dataclass(frozen=True, slots=True)
class Exposed:
    """A counter or gauge in the replica's own /metrics, summed over versions, instances and reasons of the model.

    Attributes:
        preferred: Name of a metric that replaces this one where the page has it, optionally with a label and its value:
            the bundled chart's model for the LLM API counts queue and compute time itself, because Triton cannot.
        others: Whether all models but this one are summed: what a rule without a filter for the model has in addition.
    """

    preferred: tuple[str, ...] = ()
    others: bool = False

    def total(self, metric: str, model: str, samples: Sequence[ExposedSample]) -> float | None:
        """Sum the series of a model; None when it has none, or when one is not a number."""
        preferred = self.preferred[0] if self.preferred else ""
        name = preferred if any(each.name == preferred for each in samples) else metric
        narrow = [] if name == metric or len(self.preferred) == 1 else [self.preferred[1:]]
        values = [
            each.value
            for each in samples
            if each.name == name
            and "model" in each.labels
            and (each.labels["model"] != model) == self.others
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
        kind: How it is queried and parsed.
        labels: Matchers that narrow the metric, as in PromQL.
    """

    field: SignalName
    metric: str
    kind: KindT
    labels: tuple[str, ...] = ()


def _queried(field: SignalName, metric: str, kind: Queried, *labels: str) -> Signal[Queried]:
    return Signal(field=field, metric=metric, kind=kind, labels=labels)


def _exposed(field: SignalName, metric: str, *preferred: str, others: bool = False) -> Signal[Exposed]:
    return Signal(field=field, metric=metric, kind=Exposed(preferred, others))


# Sources of the metric names: Triton's `metric_model_reporter.cc`, `custom_metrics_reporter.cc` of its TensorRT-LLM
# backend, and `llmapi_metrics.py` of the bundled chart. A run has one of the two engines, so one of two rows is empty.
_REQUESTS, _BLOCKS = "nv_trt_llm_request_metrics", "nv_trt_llm_kv_cache_block_metrics"
QUERIED: tuple[Signal[Queried], ...] = (
    _queried(SignalName.RATIO, "triton:queue_compute:ratio", RecordingRule()),
    _queried(SignalName.UP, "up", ScrapeHealth()),
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
    _exposed(SignalName.RAW_OTHER_QUEUE_US, "nv_inference_queue_duration_us", others=True),
    _exposed(SignalName.RAW_OTHER_COMPUTE_US, "nv_inference_compute_infer_duration_us", others=True),
    _exposed(SignalName.RAW_SUCCESS, "nv_inference_request_success"),
    _exposed(SignalName.RAW_FAILURE, "nv_inference_request_failure"),
    _exposed(SignalName.RAW_PENDING, "nv_inference_pending_request_count", "llmapi_requests", "state", "waiting"),
)


def queried(info: RunInfo) -> tuple[Signal[Queried], ...]:
    """The signals to query in this run.

    `ratio` is the metric that the run's autoscaler reads; on a cluster every signal is limited to the namespace.
    """
    metric = info.autoscaler.metric if info.autoscaler else ""
    signals = QUERIED
    if re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", metric):
        signals = tuple(replace(each, metric=metric) if each.field == SignalName.RATIO else each for each in signals)
    if info.cluster is not None:
        namespace = f'namespace="{info.cluster.namespace}"'
        signals = tuple(replace(each, labels=(*each.labels, namespace)) for each in signals)
    return signals
