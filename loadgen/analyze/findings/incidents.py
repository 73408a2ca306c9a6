"""What broke while a run was observed: crashes, kills, dead parts, gaps of the collection."""

import math
from collections.abc import Sequence

from loadgen.analyze.findings.validity import span_text
from loadgen.analyze.findings.warning import warn
from loadgen.analyze.observed import Event, Observed
from loadgen.analyze.results import Finding
from loadgen.dataset.names import EventKind

_INCIDENTS = {
    EventKind.REPLICA_CRASHED: (
        "replica.crashed",
        "Replica crashes",
        "its server process ended by itself: read its log",
    ),
    EventKind.REPLICA_KILLED: (
        "replica.killed",
        "Replicas killed",
        "it did not stop within its grace period: lengthen it",
    ),
    EventKind.PART_DIED: ("part.died", "Parts of the stack that died", "a process ended by itself: read its log"),
    EventKind.COLLECT_GAP: (
        "collect.gap",
        "Gaps of the collection",
        "nothing was collected from a source: read its log",
    ),
}


def incidents(run: Observed) -> list[Finding]:
    """Crashes, kills, dead parts and gaps of the collection, counted and named."""
    found = []
    for kind, (code, title, what) in _INCIDENTS.items():
        events = run.of_kind(kind)
        if not events:
            continue
        by_name: dict[str, list[Event]] = {}
        for event in events:
            name = str(event.pod or event.data.get("part") or event.data.get("source") or "?")
            by_name.setdefault(name, []).append(event)
        window = window_of(events)
        names = ", ".join(_named(name, own, alone=len(by_name) == 1) for name, own in sorted(by_name.items()))
        advice = f"{names}: {what} in logs/."
        count = float(sum(_times(own) for own in by_name.values()))
        found.append(warn(code, title, count, 0.0, "count", window, advice))
    return found


def _named(name: str, events: Sequence[Event], *, alone: bool) -> str:
    """A source with its watches, and its window if there are others."""
    watches = ", ".join(sorted({str(event.data["watch"]) for event in events if "watch" in event.data}))
    about = [each for each in (watches, "" if alone else window_of(events)) if each]
    return f"{name} ({'; '.join(about)})" if about else name


def _times(events: Sequence[Event]) -> int:
    """How often it happened: gaps of one source that overlap, as of several watches of one API, are one."""
    times, until_s = 0, -math.inf
    for event in events:
        times += event.until_s == event.t_s or event.t_s > until_s
        until_s = max(until_s, event.until_s)
    return times


def window_of(events: Sequence[Event]) -> str:
    """Window of events, as text: from the first to the end of the last."""
    start, end = events[0].t_s, max(event.until_s for event in events)
    return span_text(start, end) if end > start else f"at {start:.1f} s"
