"""Fits a simulation to a run: its requests and services, its replicas, and the way of its ratio to the HPA."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from loadgen.analyze.demand.occupancy import occupancy
from loadgen.analyze.demand.services import MIN_ALONE, Services, others_in_flight
from loadgen.analyze.observed import Floats, Observed
from loadgen.analyze.scaling.recovery import request_limit
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.autoscale.manifest import parse_hpa
from loadgen.autoscale.spec import DEFAULT_SCALE_DOWN, Behavior, HpaSpec, PodsMetric, Target
from loadgen.base.errors import SettingsError
from loadgen.dataset.names import EventKind, SignalName
from loadgen.dataset.run_info import Autoscaler, RunInfo
from loadgen.whatif.batch import BatchEffect, batch_effect
from loadgen.whatif.metrics import signals_of
from loadgen.whatif.model import Load, MetricPath
from loadgen.whatif.settings import Setup, Span
from loadgen.whatif.start_up import fitted_replicas

Metric = Literal["ttft", "e2e"]
SEED = 20_262
_MIN_SERVICES = 50
_MIN_SYNCS = 3
_MOST_OFF = 0.05
"""Share by which the period of the observed syncs may differ from the nominal one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A run as a simulation sees it.

    Attributes:
        load: Its requests.
        setup: Its replicas, metric path and HPA.
        span: From the first sync of the HPA, or the start of the load, until the end of the observation.
        metric: What is compared and limited: TTFT, or E2E if no first token was recorded.
        limit_s: Its limit on that; infinite without one.
        assumptions: What was not measured and had to be assumed, one sentence each.
    """

    load: Load
    setup: Setup
    span: Span
    metric: Metric
    limit_s: float
    assumptions: tuple[str, ...]


def fit(run: Observed, fleet: Fleet, *, slots: int | None = None) -> Fit:
    """Fit a simulation to a run.

    Args:
        run: The run.
        fleet: Its replicas.
        slots: Requests that a replica computes at the same time; None to find out from the requests.

    Raises:
        SettingsError: the run has no autoscaler, or too little was recorded; the sentence says what is missing.
    """
    if run.length_s is None:
        raise SettingsError("the run has no load: nothing can be simulated")
    if not fleet.pods:
        raise SettingsError("no replica was observed: only a run with a local stack or a cluster can be simulated")
    scaler = run.info.autoscaler
    if scaler is None:
        raise SettingsError("the run had no autoscaler whose metric is known: there is nothing to change")
    occupied = occupancy(run, fleet, run.requests.service_s)
    if isinstance(occupied, str):
        raise SettingsError(f"the load cannot be simulated, because {occupied}")
    known = int(occupied.services.known.sum())
    if known < _MIN_SERVICES:
        raise SettingsError(f"the service times of {known} requests are known: a simulation needs {_MIN_SERVICES}")
    services = occupied.services
    assumptions: list[str] = []
    hpa = _hpa(run.info, scaler)
    metrics = signals_of(hpa, scaler, assumptions)
    path = _path(run, scaler, assumptions)
    span = Span(
        initial=max(1, int(np.nan_to_num(fleet.ready.at(np.zeros(1))[0], nan=1.0))),
        begin_s=min(0.0, path.sync_offset_s),
        end_s=max(run.last_s, run.end_s),
    )
    if slots is None and not occupied.slots_known:
        raise SettingsError(
            "requests hardly waited in this run, so it is unknown how many a replica computes at the same time: "
            "give it with --slots"
        )
    slots = slots or occupied.slots
    effect = batch_effect(run, fleet, services, slots)
    if effect.why_missing is not None and slots > 1:
        assumptions.append(
            "a service takes as long in every batch: how much a batch slows it down is unknown, because "
            f"{effect.why_missing}"
        )
    metric = metric_of(run)
    load = _load(run, services, effect, slots, assumptions)
    replicas = fitted_replicas(run, fleet, slots, effect.slowdown_ratio, assumptions)
    return Fit(
        load=load,
        setup=Setup(replicas=replicas, path=path, hpa=hpa, metrics=metrics),
        span=span,
        metric=metric,
        limit_s=limit.limit if (limit := request_limit(run.info.limits, metric)) else math.inf,
        assumptions=tuple(assumptions),
    )


def metric_of(run: Observed) -> Metric:
    """TTFT, or E2E if no time of a first token was recorded."""
    return "ttft" if np.isfinite(run.requests.first_s).any() else "e2e"


def _load(run: Observed, services: Services, effect: BatchEffect, slots: int, assumptions: list[str]) -> Load:
    requests = run.requests
    due = requests.due & np.isfinite(requests.sent_s)
    service = effect.alone_s(services.service_s, effect.batch)[due]
    first = effect.alone_s(services.prefill_s, effect.batch_at_start)[due]
    unknown = ~services.known[due] | ~np.isfinite(first)
    if unknown.any():
        rng = np.random.default_rng(SEED)
        drawn = rng.choice(np.flatnonzero(~unknown), int(unknown.sum()))
        service[unknown], first[unknown] = service[drawn], first[drawn]
        assumptions.append(
            f"the service of {unknown.sum()} of {len(unknown)} requests is unknown: that of others was drawn for them"
        )
    if services.method == "modelled" and not (requests.first_s < requests.last_s).any():
        assumptions.append(
            "nothing was streamed and the engine reports no times, so the service of a request follows from its output "
            "tokens, or is the same for all if these do not determine it"
        )
    elif services.method == "modelled":
        assumptions.append("service times are modelled from what the client saw: the engine reports none")
    order = np.argsort(requests.sent_s[due], kind="stable")
    return Load(
        arrival_s=requests.sent_s[due][order],
        service_s=service[order],
        first_token_s=np.minimum(first, service)[order],
        overhead_s=_overhead_s(run, services, slots),
    )


def _overhead_s(run: Observed, services: Services, slots: int) -> float:
    """Median time from send to service of requests that found a free slot; a modelled service contains it."""
    requests = run.requests
    free = services.known & (others_in_flight(requests.sent_s, requests.ended_s) <= slots // 2)
    if services.method == "modelled" or free.sum() < MIN_ALONE:
        return 0.0
    return max(float(np.median((services.start_s - requests.sent_s)[free])), 0.0)


def _path(run: Observed, scaler: Autoscaler, assumptions: list[str]) -> MetricPath:
    syncs = np.array([event.t_s for event in run.of_kind(EventKind.HPA_SYNC)])
    if run.info.cluster is not None:
        syncs = syncs[1:]  # the first is the status that was there already
    if not len(syncs):
        assumptions.append("the HPA synced at the start of the load: no sync of it was observed")
    elif run.info.cluster is not None:
        assumptions.append("the HPA synced when its status was written: its other syncs are not observed")
    sync_s = _period(syncs, scaler.sync_period_s)
    scrape_s = scaler.scrape_interval_s
    rule_s = _offset(_sampled_s(run, SignalName.RATIO), scrape_s)
    # every replica is scraped at a phase of its own
    phases = [_offset(series.t_s, scrape_s) for series in run.signals.get(SignalName.UP, {}).values()]
    after_s = float(np.mean([(rule_s - phase) % scrape_s for phase in phases])) if phases else 0.0
    return MetricPath(
        scrape_s=scrape_s,
        scrape_offset_s=rule_s - after_s,
        rule_after_s=after_s,
        window_s=scaler.rate_window_s,
        sync_s=sync_s,
        sync_offset_s=_offset(syncs, sync_s),
    )


def _sampled_s(run: Observed, signal: str) -> Floats:
    """The times of all samples of a signal."""
    times = [series.t_s for series in run.signals.get(signal, {}).values()]
    return np.concatenate(times) if times else np.empty(0)


def _period(times_s: Floats, nominal_s: float) -> float:
    """The period of syncs to the millisecond: a controller starts to wait for it when its sync is over."""
    if len(times_s) < _MIN_SYNCS:
        return nominal_s
    numbers = np.concatenate(([0.0], np.cumsum(np.round(np.diff(times_s) / nominal_s))))
    if numbers[-1] < _MIN_SYNCS:
        return nominal_s
    period_s = round(float(np.polyfit(numbers, times_s, 1)[0]), 3)
    return period_s if abs(period_s / nominal_s - 1) <= _MOST_OFF else nominal_s


def _offset(times_s: Floats, period_s: float) -> float:
    """The phase of periodic times: their circular mean within a period."""
    if not len(times_s):
        return 0.0
    angle = np.angle(np.exp(2j * np.pi * times_s / period_s).mean())
    return float(angle / (2 * np.pi) * period_s)


def _hpa(info: RunInfo, scaler: Autoscaler) -> HpaSpec:
    if info.cluster is not None and info.cluster.hpa_manifest is not None:
        return parse_hpa(info.cluster.hpa_manifest)
    target = Target(type="AverageValue", average_value_milli=round(scaler.target * 1000))
    down = replace(DEFAULT_SCALE_DOWN, stabilization_window_s=round(scaler.scale_down_window_s))
    return HpaSpec(
        min_replicas=scaler.min_replicas,
        max_replicas=scaler.max_replicas,
        metrics=(PodsMetric(name=scaler.metric, target=target),),
        behavior=Behavior(scale_down=down),
    )
