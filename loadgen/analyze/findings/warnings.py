"""Collects the warnings of a run: the findings that do not affect the verdict."""

from collections.abc import Sequence

from loadgen.analyze.findings.balance import old_backlog, overload_at_max, unused_replicas
from loadgen.analyze.findings.blindness import blind_signal, gap_warnings, waiting_in_engine
from loadgen.analyze.findings.cluster import cluster_warnings
from loadgen.analyze.findings.connection import connection_warnings
from loadgen.analyze.findings.decisions import flapping, rescales_by_others, unnecessary_scale_ups
from loadgen.analyze.findings.incidents import incidents
from loadgen.analyze.findings.losses import failed_in_drain, losses
from loadgen.analyze.findings.placement import unschedulable_replicas
from loadgen.analyze.findings.signal import deviation_from_counters, never_crossed, replica_gaps, unreadable_metric
from loadgen.analyze.observed import Observed, Series
from loadgen.analyze.queueing import Capacity
from loadgen.analyze.results import Demand, Finding, ScalingEvent
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.analyze.signal.summary import Signal, judge


def warnings(
    run: Observed,
    fleet: Fleet,
    ratio: Series,
    scaling: Sequence[ScalingEvent],
    demand: Demand,
    signal: Signal | None = None,
) -> list[Finding]:
    """All warnings, the most important first.

    Args:
        run: The run.
        fleet: Its replicas.
        ratio: The fleet's ratio as the autoscaler read it.
        scaling: Its scaling events.
        demand: What the load needed, and what one replica can serve.
        signal: What the signal shows; judged here when None.
    """
    signal = signal or judge(run, fleet, ratio)
    findings = connection_warnings(run) + cluster_warnings(run, ratio)
    # A replica that got no requests explains a low ratio, so it comes before the findings about the ratio.
    findings += unused_replicas(run, fleet)
    findings += waiting_in_engine(run, ratio, signal.engine)
    if run.info.autoscaler is not None and len(ratio.t_s) and run.length_s:
        findings += blind_signal(run, ratio)
        findings += never_crossed(run, fleet, ratio, signal.truth)
        capacity = Capacity(demand.capacity.value if demand.capacity else None, demand.why_missing)
        findings += overload_at_max(run, fleet, ratio, capacity)
        findings += deviation_from_counters(signal.deviation)
        findings += replica_gaps(run, fleet)
    findings += gap_warnings(run, signal.gaps)
    findings += old_backlog(run, fleet, scaling)
    findings += unnecessary_scale_ups(scaling, demand)
    findings += flapping(run, scaling)
    findings += rescales_by_others(run)
    findings += unreadable_metric(run)
    findings += losses(run, fleet)
    findings += unschedulable_replicas(run, fleet)
    findings += failed_in_drain(run, fleet)
    findings += incidents(run)
    return findings
