"""The finding about a run that has more of something than is analyzed one by one."""

import numpy as np

from loadgen.analyze.findings import codes
from loadgen.analyze.observed import Observed
from loadgen.analyze.results import Audit, Finding
from loadgen.analyze.scaling.decisions import decision_count
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.analyze.too_many import MAX_SCALING_EVENTS, MAX_STAGES


def too_large(run: Observed, fleet: Fleet, audit: Audit) -> list[Finding]:
    """One finding with how many of each are analyzed; none where all are."""
    stages = sum(stage.start_s - run.zero_s < run.end_s for stage in run.info.stages)
    ready = np.unique(fleet.ready.at(run.requests.scheduled_s))
    counted = (
        ("stages", stages, min(stages, MAX_STAGES)),
        ("numbers of ready replicas", int(np.isfinite(ready).sum()), min(len(ready), MAX_STAGES)),
        ("scaling events", total := decision_count(run), min(total, MAX_SCALING_EVENTS)),
        ("HPA syncs", audit.syncs, audit.syncs - audit.not_replayed),
    )
    parts = [f"the first {done:,} of {total:,} {noun}" for noun, total, done in counted if done < total]
    if not parts:
        return []
    named = " and ".join(parts)
    advice = (
        f"Only {named} are analyzed one by one; the numbers of the whole run and the series cover all. "
        f"Run shorter tests to see each."
    )
    left_out = sum(total - done for _, total, done in counted if done < total)
    return [codes.TOO_LARGE.finding(measured=float(left_out), limit=0.0, advice=advice)]
