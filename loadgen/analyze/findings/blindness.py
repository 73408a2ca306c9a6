"""Findings about what the ratio does not show: waits inside the engine, broken limits, and times without a value."""

from collections.abc import Sequence

import numpy as np

from loadgen.analyze.findings import codes
from loadgen.analyze.observed import Observed, Series
from loadgen.analyze.queueing import true_ratio
from loadgen.analyze.results import Bottleneck, EngineUse, Finding, SignalGap, Window
from loadgen.analyze.signal.engine import unseen_waiting
from loadgen.analyze.signal.truth import blindness, ratio_responses

_BOTTLENECKS: dict[Bottleneck, str] = {
    "batch": "the batch of the engine was full (max_batch_size)",
    "kv_cache": "the KV cache was full",
    "compute": "neither its batch nor its KV cache was full, so its compute was the limit",
    "triton_queue": "the instances of the model in Triton were all in use",
}
_REMEDY = (
    "Scale on the waiting requests of the engine, or put a model that blocks (tensorrt_llm_bls) with as many instances "
    "as the batch holds in front of it, so that requests wait in Triton's queue."
)


def waiting_in_engine(run: Observed, ratio: Series, engine: Sequence[EngineUse]) -> list[Finding]:
    """The most requests that waited inside the engine while the ratio never exceeded its target."""
    unseen = unseen_waiting(run, ratio)
    if unseen is None:
        return []
    (start, end), peak = unseen
    bottleneck = engine[0].bottleneck if engine else None
    limit = f" Meanwhile {_BOTTLENECKS[bottleneck]}." if bottleneck is not None else ""
    advice = (
        f"The ratio does not see {peak:,} {'request' if peak == 1 else 'requests'} waiting inside the engine, because "
        f"Triton counts that wait as compute time or not at all.{limit} {_REMEDY}"
    )
    return [
        codes.SIGNAL_ENGINE_WAITING.finding(measured=float(peak), limit=0.0, window=Window(start, end), advice=advice)
    ]


def blind_signal(run: Observed, ratio: Series) -> list[Finding]:
    """The longest time in which a limit was broken and the ratio stayed within its noise."""
    scaler = run.info.autoscaler
    if scaler is None:
        return []
    found, noise_limit = ratio_responses(run, ratio)
    blind = [each for each in found if each.lead_s is None]
    if not blind:
        return []
    longest = max(blind, key=lambda each: each.breach.until_s - each.breach.broke_s)
    breach = longest.breach
    real = true_ratio(run, np.arange(breach.start_s, breach.until_s, 1.0))
    real = real[np.isfinite(real)]
    if len(real) and real.max() > max(noise_limit, scaler.target * (1 + scaler.tolerance)):
        cause = f"The raw counters reached a ratio of {real.max():.2f}: check the labels in the recording rule."
    else:
        cause = "Scale on a metric that moves while requests wait and run, such as the waiting requests of the engine."
    return [
        codes.SIGNAL_BLIND.finding(
            measured=breach.until_s - breach.broke_s,
            limit=None,
            window=Window(breach.broke_s, breach.until_s),
            advice=f"{blindness(run, longest, noise_limit)} The autoscaler had nothing to act on. {cause}",
        )
    ]


def gap_warnings(run: Observed, gaps: Sequence[SignalGap]) -> list[Finding]:
    """The longest time with an undefined ratio, and the longest gap in the counters of each replica."""
    limit = run.info.validity.scrape_gap_s
    findings = []
    undefined = [gap for gap in gaps if gap.kind == "undefined" and gap.in_flight]
    longest = max(undefined, key=lambda gap: gap.end_s - gap.start_s, default=None)
    if longest is not None and longest.end_s - longest.start_s > limit:
        advice = (
            "Requests were in flight and none completed in the rate window, so the ratio had no value: the autoscaler "
            "reads 0 or nothing then. Counters move only when a request ends; use a longer rate window, or a metric "
            "that moves while requests run."
        )
        findings.append(_gap_finding(codes.SIGNAL_UNDEFINED, longest, limit, advice))
    by_replica: dict[str, SignalGap] = {}
    for gap in gaps:
        if gap.kind == "no_counters" and gap.replica is not None:
            longer = by_replica.get(gap.replica, gap)
            by_replica[gap.replica] = max(longer, gap, key=lambda each: each.end_s - each.start_s)
    for name, gap in by_replica.items():
        if gap.end_s - gap.start_s > limit:
            advice = (
                f"{name} was ready but its counters were not read, so its ratio and its first response are not known "
                f"for this time: see logs/collector.log."
            )
            findings.append(_gap_finding(codes.SIGNAL_COUNTERS_GAP, gap, limit, advice))
    return findings


def _gap_finding(declared: codes.FindingCode, gap: SignalGap, limit: float, advice: str) -> Finding:
    window = Window(gap.start_s, gap.end_s)
    return declared.finding(measured=gap.end_s - gap.start_s, limit=limit, window=window, advice=advice)
