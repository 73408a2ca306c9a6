"""Starts the loads of repeated runs at different phases of the autoscaler, whose syncs come once a period."""

import math
import time

from loadgen.collect.journal import Journal
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.names import EventKind
from loadgen.dataset.run_info import GroupInfo
from loadgen.dataset.stack import StackFolder

DEFAULT_PERIOD_S = 15.0
"""Sync period of the HPA controller of Kubernetes, where that of the target is not known."""
_MARGIN_S = 2.0
_POLL_S = 0.1


def with_sync(group: GroupInfo, folder: RunFolder, period_s: float | None) -> GroupInfo:
    """Add the sync period and the last observed sync; waits for a sync for up to a period.

    Args:
        group: The place of a run among repeats.
        folder: The run folder; the target writes its events to the journal in it.
        period_s: Period of the syncs; None for a target without an autoscaler.
    """
    sync_s = None if period_s is None else _observed_sync(folder, period_s)
    return group.model_copy(update={"sync_period_s": period_s, "sync_s": sync_s})


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


def _observed_sync(folder: RunFolder, period_s: float) -> float | None:
    journal, sync_s = Journal(StackFolder(folder.path).journal_file), None
    deadline = time.monotonic() + period_s + _MARGIN_S
    while True:
        while events := journal.read():
            sync_s = max([event.t_s for event in events if event.kind == EventKind.HPA_SYNC], default=sync_s)
        if sync_s is not None or time.monotonic() >= deadline:
            return sync_s
        time.sleep(_POLL_S)
