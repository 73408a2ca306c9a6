"""Audits the autoscaler of a run."""

from collections.abc import Sequence

from loadgen.analyze.audit.chain import DecisionChain
from loadgen.analyze.audit.inputs import PodCounter
from loadgen.analyze.audit.replay import Replay, Replayed
from loadgen.analyze.audit.spans import decisions, spans
from loadgen.analyze.audit.syncs import Sync, all_syncs, spec_of
from loadgen.analyze.observed import Observed, Series
from loadgen.analyze.results import Audit, ScalingEvent
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.analyze.too_many import MAX_REMEMBERED, MAX_SYNCS
from loadgen.dataset.names import EventKind

MAX_MISMATCHES = 100


def audit(run: Observed, fleet: Fleet, scaling: Sequence[ScalingEvent], ratio: Series) -> Audit:
    """Replay the syncs that are known, and name the rule that determined it.

    Args:
        run: The run.
        fleet: Its replicas.
        scaling: Its scaling events, to which decisions refer.
        ratio: The fleet's ratio as the autoscaler read it.
    """
    spec = spec_of(run)
    if isinstance(spec, str):
        return Audit(why_missing=spec)
    syncs = all_syncs(run, spec)
    if not syncs:
        return Audit(why_missing="no sync of the autoscaler was recorded")
    replayed = _replayed(run, fleet, syncs)
    unread = max(len(run.of_kind(EventKind.HPA_SYNC)) - MAX_SYNCS, 0)
    mismatches = [each.mismatch for each in replayed if each.mismatch is not None]
    scaler, links = run.info.autoscaler, None
    if scaler is not None and scaling:
        links = DecisionChain(run, fleet, scaler, ratio, [each.t_s for each in syncs]).links
    return Audit(
        source="inputs" if all(each.inputs is not None for each in syncs) else "status",
        syncs=len(syncs) + unread,
        inferred=sum(each.inferred for each in syncs),
        undetermined=sum(len(each.rules) != 1 and each.mismatch is None for each in replayed),
        spans=spans(replayed),
        decisions=decisions(replayed, scaling, links),
        mismatches=tuple(mismatches[:MAX_MISMATCHES]),
        mismatch_count=len(mismatches),
        not_replayed=len(syncs) + unread - len(replayed),
    )


def _replayed(run: Observed, fleet: Fleet, syncs: Sequence[Sync]) -> list[Replayed]:
    """The first syncs with what the twin says about them: as many as `too_many` allows."""
    replay, replayed = Replay(PodCounter(run, fleet)), list[Replayed]()
    for sync in syncs[:MAX_SYNCS]:
        if replay.remembered > MAX_REMEMBERED:
            break
        replayed.append(replay.next(sync))
    return replayed
