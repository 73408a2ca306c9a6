"""Findings about crashes, kills, exited processes and collection gaps."""

import math
from collections.abc import Sequence

from loadgen.analyze.findings import codes
from loadgen.analyze.findings.windows import window_of
from loadgen.analyze.observed import Event, Observed
from loadgen.analyze.results import Finding
from loadgen.base.display import listed
from loadgen.dataset.names import EventKind

_INCIDENTS = (
    (EventKind.REPLICA_CRASHED, codes.REPLICA_CRASHED, "the server process exited unexpectedly; see its log in {logs}"),
    (
        EventKind.REPLICA_KILLED,
        codes.REPLICA_KILLED,
        "it did not exit within its grace period; lengthen it or see its log in {logs}",
    ),
    (EventKind.PART_DIED, codes.PART_DIED, "the process exited unexpectedly; see its log in logs/"),
    (EventKind.COLLECT_GAP, codes.COLLECT_GAP, "no data was collected from this source; see the log in logs/"),
)
_POD_LOGS = "the cluster (`kubectl logs --namespace {namespace} POD --previous`)"


def incidents(run: Observed) -> list[Finding]:
    """One warning per kind of incident, with the count and the names of the sources."""
    findings = []
    cluster = run.info.cluster
    logs = "logs/"
    if cluster is not None:  # a sandbox is gone after its run, and its logs are in the run folder
        logs = "logs/sandbox" if run.info.target == "sandbox" else _POD_LOGS.format(namespace=cluster.namespace)
    for kind, declared, cause in _INCIDENTS:
        events = run.of_kind(kind)
        if not events:
            continue
        by_name: dict[str, list[Event]] = {}
        for event in events:
            name = str(event.pod or event.data.get("part") or event.data.get("source") or "?")
            by_name.setdefault(name, []).append(event)
        window = window_of(events)
        described = [_describe(name, group, alone=len(by_name) == 1) for name, group in sorted(by_name.items())]
        names = listed(described, ", ")
        advice = f"{names}: {cause.format(logs=logs)}."
        count = float(sum(_count(group) for group in by_name.values()))
        findings.append(declared.finding(measured=count, limit=0.0, window=window, advice=advice))
    return findings + _recording_delays(run)


def _recording_delays(run: Observed) -> list[Finding]:
    """A warning with the longest time for which the run folder could not be written; none otherwise."""
    events = run.of_kind(EventKind.RECORDING_DELAYED)
    if not events:
        return []
    longest_s = max(event.until_s - event.t_s for event in events)
    advice = (
        "The run folder could not be written during this time, as on a full disk. Every row stayed in memory and was "
        "written later; a crash would have lost them. Free space, or set LOADGEN_RUNS_DIR to another disk."
    )
    window = window_of(events)
    return [codes.RECORDING_DELAYED.finding(measured=longest_s, limit=0.0, window=window, advice=advice)]


def _describe(name: str, events: Sequence[Event], *, alone: bool) -> str:
    """The name of a source with its watches, and with its window unless it is the only source."""
    watches = listed(sorted({str(event.data["watch"]) for event in events if "watch" in event.data}), ", ")
    details = [each for each in (watches, "" if alone else str(window_of(events))) if each]
    return f"{name} ({'; '.join(details)})" if details else name


def _count(events: Sequence[Event]) -> int:
    """The number of incidents: overlapping gaps of one source, as of several watches of one API, count once."""
    count, until_s = 0, -math.inf
    for event in events:
        count += event.until_s == event.t_s or event.t_s > until_s
        until_s = max(until_s, event.until_s)
    return count
