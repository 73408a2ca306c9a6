"""Starts the loads of repeated runs at different phases of the autoscaler, whose syncs come once a period."""

import math
import time
from collections.abc import Sequence
from datetime import datetime

from loadgen.collect.journal import Journal
from loadgen.dataset.events import Event
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.names import EventKind
from loadgen.dataset.run_info import GroupInfo, RunInfo
from loadgen.dataset.stack import StackFolder

DEFAULT_PERIOD_S = 15.0
"""Sync period of the HPA controller of Kubernetes, where that of the target is not known."""
_MARGIN_S = 2.0
_MAX_AGE_S = 300.0
_POLL_S = 0.1


def with_sync(folder: RunFolder, info: RunInfo) -> GroupInfo | None:
    """The place of a run among repeats with the period and a sync of its autoscaler; waits for one for up to a period.

    Args:
        folder: The run folder; the target writes its events to the journal in it.
        info: Its `run.json`.
    """
    scaler = info.autoscaler
    if info.group is None or scaler is None:
        return info.group
    sync_s = _observed_sync(folder, info)
    return info.group.model_copy(update={"sync_period_s": scaler.sync_period_s, "sync_s": sync_s})


def start_of(group: GroupInfo, earliest_s: float) -> float:
    """The first time, from the earliest on, that has the phase of a repeat; later by its phase without a sync."""
    period_s = group.sync_period_s or DEFAULT_PERIOD_S
    after_s = group.phase_ratio * period_s
    if group.sync_s is None:
        return earliest_s + after_s
    wanted_s = group.sync_s + after_s
    return wanted_s + math.ceil((earliest_s - wanted_s) / period_s) * period_s


def start_sentence(group: GroupInfo) -> str:
    """When the load of a repeat starts."""
    after_s = group.phase_ratio * (group.sync_period_s or DEFAULT_PERIOD_S)
    if group.sync_s is None:
        return (
            "no sync of an autoscaler was observed, so the phase of this repeat is left to chance: its load starts "
            f"{after_s:.3g} s later than it could"
        )
    return f"the load starts {after_s:.3g} s after a sync of the autoscaler"


def _observed_sync(folder: RunFolder, info: RunInfo) -> float | None:
    assert info.autoscaler is not None
    journal, syncs = Journal(StackFolder(folder.path).journal_file), list[Event]()
    deadline = time.monotonic() + info.autoscaler.sync_period_s + _MARGIN_S
    while True:
        while events := journal.read():
            syncs += [event for event in events if event.kind == EventKind.HPA_SYNC]
        sync_s = _last_sync(syncs, info)
        if sync_s is not None or time.monotonic() >= deadline:
            return sync_s
        time.sleep(_POLL_S)


def _last_sync(syncs: Sequence[Event], info: RunInfo) -> float | None:
    """The time of the last sync of these; on a cluster, the first event is the status that was there already."""
    if info.cluster is None:
        return syncs[-1].t_s if syncs else None
    if len(syncs) > 1:
        return syncs[-1].t_s
    return _transition(syncs[0], info) if syncs else None


def _transition(event: Event, info: RunInfo) -> float | None:
    """When a condition of an HPA's status last changed, which was in a sync; None if that is long ago.

    The API has whole seconds, so the middle of one is taken. The period of a controller is not exact.
    """
    assert info.cluster is not None
    skew_s = info.cluster.skew_s.get("kubernetes", 0.0)
    try:
        times = [each.get("lastTransitionTime") for each in (event.data or {}).get("conditions") or ()]
        newest = max(datetime.fromisoformat(each).timestamp() for each in times if each)
    except (AttributeError, TypeError, ValueError, OverflowError):
        return None
    t_s = info.clock.at_unix(newest + 0.5 - skew_s)
    return t_s if event.t_s - t_s <= _MAX_AGE_S else None
