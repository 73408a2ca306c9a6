"""Collects the warnings of a run: the findings that do not affect the verdict."""

from collections.abc import Sequence

from loadgen.analyze.findings.balance import at_max, old_backlog, unused
from loadgen.analyze.findings.cluster import cluster_warnings
from loadgen.analyze.findings.decisions import by_others, flapping, needless
from loadgen.analyze.findings.incidents import incidents
from loadgen.analyze.findings.losses import failed_in_drain, losses
from loadgen.analyze.findings.placement import unplaced
from loadgen.analyze.findings.signal import blind, never_crossed, replica_gaps, untrue
from loadgen.analyze.observed import Observed, Series
from loadgen.analyze.queueing import Capacity
from loadgen.analyze.results import Finding, ScalingEvent
from loadgen.analyze.scaling.replicas import Fleet


def warnings(
    run: Observed, fleet: Fleet, ratio: Series, scaling: Sequence[ScalingEvent], capacity: Capacity
) -> list[Finding]:
    """All warnings, the most important first.

    Args:
        run: The run.
        fleet: Its replicas.
        ratio: The fleet's ratio as the autoscaler read it.
        scaling: Its scaling events.
        capacity: Requests per second that one replica can serve.
    """
    findings = cluster_warnings(run, ratio)
    if run.info.autoscaler is not None and len(ratio.t_s) and run.length_s:
        findings += never_crossed(run, ratio)
        findings += at_max(run, fleet, ratio, capacity)
        findings += untrue(run, fleet, ratio)
        findings += replica_gaps(run, fleet)
    findings += old_backlog(run, fleet, scaling)
    findings += needless(scaling, capacity)
    findings += flapping(run, scaling)
    findings += by_others(run)
    findings += blind(run)
    findings += unused(run, fleet)
    findings += losses(run, fleet)
    findings += unplaced(run, fleet)
    findings += failed_in_drain(run, fleet)
    findings += incidents(run)
    return findings
