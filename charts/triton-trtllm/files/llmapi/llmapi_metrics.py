"""Exports this model's metrics on Triton's ``/metrics``, with the labels ``model`` and ``version``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import triton_python_backend_utils as pb_utils

TTFT_BUCKETS_MS = [10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0, 30000.0, 60000.0]

# The reasons of nv_inference_request_failure, which stays 0 for a model that responds after execute() has returned.
REJECTED = "REJECTED"  # invalid tensor or value; did not reach the engine
CANCELED = "CANCELED"  # the client disconnected or sent stop
BACKEND = "BACKEND"  # the engine failed
REASONS = (REJECTED, CANCELED, BACKEND)


@dataclass(kw_only=True)
class State:
    """The values to export.

    Attributes:
        queue_us: Total time that requests waited for the engine.
        compute_us: Total time from first scheduled to last token.
        success: Completed requests.
        failure: Failed requests, by reason.
        running: Requests in the engine.
        waiting: Requests that wait for the engine.
        kv_cache_usage_ratio: Share of the KV cache in use; None while unknown.
        times_to_first_token_ms: Observations since the previous export.
    """

    queue_us: int = 0
    compute_us: int = 0
    success: int = 0
    failure: dict[str, int] = field(default_factory=dict)
    running: int = 0
    waiting: int = 0
    kv_cache_usage_ratio: float | None = None
    times_to_first_token_ms: tuple[float, ...] = ()


class Metrics:
    """Exports states; every series but that of the KV cache exists from the start."""

    def __init__(self, model: str, version: str) -> None:
        self._labels = {"model": model, "version": version}
        self._families: list[Any] = []  # a metric lives as long as its family
        self._written: dict[int, int] = {}
        counter, gauge = pb_utils.MetricFamily.COUNTER, pb_utils.MetricFamily.GAUGE
        self._queue = self._one("queue_duration_us", "Time that requests waited for the engine", counter)
        self._compute = self._one(
            "compute_duration_us", "Time that requests spent in the engine, from first scheduled to last token", counter
        )
        self._success = self._one("request_success", "Completed requests", counter)
        failure = self._family("request_failure", "Failed requests", counter)
        self._failure = {r: failure.Metric(labels={**self._labels, "reason": r}) for r in REASONS}
        requests = self._family("requests", "Requests that run in the engine or wait for it", gauge)
        self._requests = {s: requests.Metric(labels={**self._labels, "state": s}) for s in ("running", "waiting")}
        self._usage_family = self._family("kv_cache_usage_ratio", "Share of the KV cache in use", gauge)
        self._usage: Any = None
        ttft = self._family(
            "time_to_first_token_ms", "Time from arrival to the first token", pb_utils.MetricFamily.HISTOGRAM
        )
        self._ttft = ttft.Metric(labels=self._labels, buckets=TTFT_BUCKETS_MS)
        self.write(State())

    def write(self, state: State) -> None:
        """Write a state; called by one thread at a time."""
        self._count(self._queue, state.queue_us)
        self._count(self._compute, state.compute_us)
        self._count(self._success, state.success)
        for reason, metric in self._failure.items():
            self._count(metric, state.failure.get(reason, 0))
        self._requests["running"].set(state.running)
        self._requests["waiting"].set(state.waiting)
        if state.kv_cache_usage_ratio is not None:
            if self._usage is None:
                self._usage = self._usage_family.Metric(labels=self._labels)
            self._usage.set(state.kv_cache_usage_ratio)
        for value_ms in state.times_to_first_token_ms:
            self._ttft.observe(value_ms)

    def _count(self, metric: Any, total: int) -> None:
        if more := total - self._written.get(id(metric), 0):
            metric.increment(more)
            self._written[id(metric)] = total

    def _one(self, name: str, about: str, kind: Any) -> Any:
        return self._family(name, about, kind).Metric(labels=self._labels)

    def _family(self, name: str, about: str, kind: Any) -> Any:
        family = pb_utils.MetricFamily(name=f"llmapi_{name}", description=about, kind=kind)
        self._families.append(family)
        return family
