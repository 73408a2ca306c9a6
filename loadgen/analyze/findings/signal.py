"""Findings about the ratio that the autoscaler reads."""

import numpy as np

from loadgen.analyze.findings import codes
from loadgen.analyze.findings.validity import longest_gap, ready_spans, sample_times
from loadgen.analyze.observed import Floats, Observed, Series
from loadgen.analyze.queueing import autoscaler_reads, true_ratio, true_ratios
from loadgen.analyze.results import Finding, SignalTruth, Window
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.analyze.signal.deviation import TRUTH_TOLERANCE
from loadgen.base.display import listed
from loadgen.dataset.names import EventKind, SignalName

FIRST_SAMPLE_S = 5.0
"""Longest wait for the first sample of a new replica: Prometheus applies discovered targets every five seconds."""

_METRIC_READ = {"ValidMetricFound", "ScalingDisabled"}
"""Reasons of the condition ScalingActive without a failure; the last is that of a workload scaled to zero."""


def never_crossed(run: Observed, fleet: Fleet, ratio: Series, truth: SignalTruth) -> list[Finding]:
    """A ratio that stayed below its target throughout the load, as the autoscaler read it where that is recorded."""
    scaler = run.info.autoscaler
    assert scaler is not None
    threshold = scaler.target * (1 + scaler.tolerance)
    sampled = _during(run, ratio)
    read = _during(run, autoscaler_reads(run))
    highest = max((read if len(read.t_s) else sampled).value, default=None)
    if scaler.min_replicas == scaler.max_replicas or highest is None or highest > threshold:
        return []
    real = true_ratio(run, sampled.t_s)
    real = real[np.isfinite(real)]
    between = float(max(sampled.value, default=-np.inf))
    if between > threshold:
        advice = (
            f"Between its evaluations the ratio reached {between:.2f}, which the autoscaler never read: the peaks are "
            f"shorter than its sync period of {scaler.sync_period_s:g} s, or the metrics API serves another value."
        )
    elif len(real) and real.max() > threshold and _mean_over_all(run, fleet, sampled.t_s) <= threshold:
        advice = (
            f"The replicas that got requests reached a ratio of {real.max():.2f}, and the mean over all replicas, in "
            f"which an idle one counts as 0, did not: balance requests over the replicas."
        )
    elif len(real) and real.max() > threshold:
        advice = (
            f"The raw counters of the replicas reached a ratio of {real.max():.2f}, which the HPA metric does not "
            f"show: check the model and labels in the recording rule."
        )
    elif truth.verdict == "blind":
        advice = (
            "The replicas could not serve this load in time, and the ratio did not show it, so the autoscaler did not "
            "scale: scale on a metric that does."
        )
    else:
        advice = (
            "The autoscaler had no reason to scale, so this run does not test scaling: raise the peak, lower the "
            "target, or check that the model under test has a queue of its own."
        )
    return [codes.SIGNAL_NEVER_CROSSED.finding(measured=float(highest), limit=threshold, advice=advice)]


def _mean_over_all(run: Observed, fleet: Fleet, t_s: Floats) -> float:
    """The highest mean of the true ratios over all replicas, as the HPA takes it; −inf without one."""
    rows = list(true_ratios(run, fleet, t_s).values())
    known = np.isfinite(rows).sum(axis=0) if rows else np.zeros(len(t_s))
    means = np.nansum(rows, axis=0)[known > 0] / known[known > 0] if rows else np.empty(0)
    return float(means.max()) if len(means) else -np.inf


def _during(run: Observed, series: Series) -> Series:
    """The known values during the load."""
    use = (series.t_s >= 0) & (series.t_s <= run.end_s) & np.isfinite(series.value)
    return Series(series.t_s[use], series.value[use])


def deviation_from_counters(best: tuple[float, int] | None) -> list[Finding]:
    """A ratio that deviates from the true ratios of the same replicas, at the lag that fits best."""
    if best is None or best[0] <= TRUTH_TOLERANCE:
        return []
    advice = (
        f"During the {best[1]} s near or above the target, the HPA metric deviated by this share (median) from the "
        f"true ratio: check that the recording rule divides sums of one model only, and its window."
    )
    return [codes.SIGNAL_UNTRUE.finding(measured=best[0], limit=TRUTH_TOLERANCE, advice=advice)]


def replica_gaps(run: Observed, fleet: Fleet) -> list[Finding]:
    """Gaps in the samples of single replicas, where the fleet as a whole was sampled."""
    limit = run.info.validity.scrape_gap_s
    load = ready_spans(run, fleet)
    findings = []
    for name, pod in fleet.pods.items():
        series = run.signals.get(SignalName.RATIO, {}).get(name, Series(np.empty(0), np.empty(0)))
        spans = [
            (max(start + FIRST_SAMPLE_S, first), min(end, last))
            for start, end in pod.ready
            for first, last in load
            if min(end, last) > max(start + FIRST_SAMPLE_S, first)
        ]
        gap = longest_gap(series.t_s, spans)
        fleet_gap = longest_gap(sample_times(run), spans)
        if gap is None or fleet_gap is None or gap[1] - gap[0] <= limit or fleet_gap[1] - fleet_gap[0] > limit:
            continue
        where = "see its target on the page of targets of Prometheus" if run.info.cluster else "see its log in logs/"
        advice = f"{name} was ready but its ratio was not sampled, so the autoscaler did not count it: {where}."
        findings.append(
            codes.SIGNAL_REPLICA_GAP.finding(measured=gap[1] - gap[0], limit=limit, window=Window(*gap), advice=advice)
        )
    return findings


def unreadable_metric(run: Observed) -> list[Finding]:
    """The time in which the autoscaler could not read its metric; it keeps the replica count then."""
    syncs = [(event.t_s, event.reason) for event in run.of_kind(EventKind.HPA_SYNC) if event.reason is not None]
    ends = [*(at for at, _ in syncs[1:]), run.last_s]
    spans = [
        (max(at, 0.0), min(end, run.end_s), reason)
        for (at, reason), end in zip(syncs, ends, strict=False)
        if reason not in _METRIC_READ and min(end, run.end_s) > max(at, 0.0)
    ]
    if not spans or run.length_s is None:
        return []
    reasons = listed(sorted({reason for *_, reason in spans}), ", ")
    advice = (
        f"The autoscaler could not read its metric ({reasons}) and kept the number of replicas: check the metrics API, "
        f"its adapter and Prometheus during this time."
    )
    unreadable_s = sum(end - start for start, end, _ in spans)
    window = Window(spans[0][0], spans[-1][1])
    return [codes.AUTOSCALER_BLIND.finding(measured=unreadable_s, limit=0.0, window=window, advice=advice)]
