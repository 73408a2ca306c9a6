"""Findings about what the autoscaler decided, compared with its algorithm."""

from loadgen.analyze.findings import codes
from loadgen.analyze.results import Audit, Finding, Window
from loadgen.base.display import clock


def unexplained(audit: Audit) -> list[Finding]:
    """Syncs in which the autoscaler did not do what its algorithm gives for the recorded inputs."""
    mismatches = [each for each in audit.mismatches if each.explanation is None]
    if not mismatches:
        return []
    first = mismatches[0]
    advice = (
        f"Replicas and reasons at {clock(first.t_s)}: {first.expected} by the algorithm, {first.recorded} in fact. "
        f"Check whether the controller restarted, whether its flags differ from the defaults (tolerance, downscale "
        f"stabilization), and whether another HPA or a user changed the workload."
    )
    window = Window(first.t_s, mismatches[-1].t_s if len(mismatches) > 1 else None)
    return [
        codes.AUTOSCALER_UNEXPLAINED.finding(measured=float(len(mismatches)), limit=0.0, window=window, advice=advice)
    ]
