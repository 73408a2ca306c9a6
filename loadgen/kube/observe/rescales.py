"""Attributes changes of the replica count to the HPA or to something else, with their time and reason.

The workload shows only that its replica count has changed. The HPA reports its own changes a moment later and in whole
seconds: by an event (`New size: 3; reason: …`) and by `status.lastScaleTime`. A change that it does not report was made
by something else.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from loadgen.dataset.names import EventKind, RescaleReason
from loadgen.kube.objects.events import RunEvent
from loadgen.kube.objects.raw import Raw, parse_time

_REPORT_TIMEOUT_S = 5.0
"""How long after a change the HPA's event and status may arrive."""
_DISCONNECTED_TIMEOUT_S = 60.0
"""The same while their watches are disconnected."""
_WATCH_DELAY_S = 2.0
"""A connected watch reports a change at most that late."""
_TIMESTAMP_S = 1.0
"""The API stamps whole seconds: a timestamp stands for any moment of its second."""
_OTHER_ACTOR = "changed by something other than the autoscaler"


@dataclass(frozen=True, slots=True)
class _Report:
    """A rescale that the HPA reported; reports from its status have no message."""

    replicas: int
    at_s: float
    message: str | None = None


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of the replica count that happened between `since_s` and `observed_s`.

    With `in_gap` the watch was disconnected in between, so the change may consist of several.
    """

    before: int
    after: int
    since_s: float
    observed_s: float
    in_gap: bool


class RescaleTracker:
    """Matches changes of the replica count with the HPA's reports; all times are Unix times in seconds.

    Args:
        has_hpa: Whether the workload has an HPA.

    Attributes:
        replicas: The desired replica count; None until it is known.
    """

    def __init__(self, *, has_hpa: bool) -> None:
        self.replicas: int | None = None
        self._has_hpa = has_hpa
        self._pending: list[_Change] = []
        self._events: list[_Report] = []
        self._statuses: list[_Report] = []
        self._processed: set[tuple[Any, ...]] = set()

    def set_replicas(self, replicas: int, now_s: float, disconnected_since_s: float | None = None) -> None:
        """Record the desired replica count of the workload.

        Args:
            replicas: The count.
            now_s: Time of observation.
            disconnected_since_s: When the watch was interrupted, if this is observed after an interruption.
        """
        before, self.replicas = self.replicas, replicas
        if before is None:
            return
        if disconnected_since_s is not None:  # an unchanged count may hide several changes
            self._pending.append(_Change(before, replicas, disconnected_since_s, now_s, in_gap=True))
        elif before != replicas:
            self._pending.append(_Change(before, replicas, now_s - _WATCH_DELAY_S, now_s, in_gap=False))

    def add_event(self, raw: Raw, now_s: float) -> None:
        """Record an event of the HPA; repeated events and events about anything but a rescale are ignored."""
        size = new_size(raw)
        times = (parse_time(raw.get(name)) for name in ("lastTimestamp", "eventTime"))
        at_s = next((at_s for at_s in times if at_s is not None), now_s)
        key = (raw.get("metadata", {}).get("uid"), raw.get("count"), at_s)
        if size is not None and key not in self._processed:
            self._processed.add(key)
            self._events.append(_Report(size[0], at_s, size[1]))

    def add_status(self, hpa: Raw) -> None:
        """Record the last rescale in the status of the HPA."""
        status = hpa.get("status", {})
        at_s, replicas = parse_time(status.get("lastScaleTime")), status.get("desiredReplicas")
        if at_s is not None and isinstance(replicas, int) and (at_s,) not in self._processed:
            self._processed.add((at_s,))
            self._statuses.append(_Report(replicas, at_s))

    def flush(self, now_s: float, *, disconnected: bool = False, final: bool = False) -> Iterator[RunEvent]:
        """Yield the changes that are matched with a report, or whose report is overdue.

        Args:
            now_s: The current time.
            disconnected: Whether the watches of the HPA are disconnected, so that a missing report proves nothing.
            final: Whether to yield all changes now.
        """
        while self._pending:
            change = self._pending[0]
            timeout_s = _DISCONNECTED_TIMEOUT_S if disconnected else _REPORT_TIMEOUT_S
            overdue = now_s > change.observed_s + timeout_s or not self._has_hpa
            if not (overdue or final or (not change.in_gap and self._find(self._events, change))):
                return
            del self._pending[0]
            unreported = self._has_hpa and overdue and not disconnected
            yield from self._in_gap(change, unreported) if change.in_gap else [self._matched(change, unreported)]

    def _find(self, reports: list[_Report], change: _Change) -> _Report | None:
        """Return the latest report that matches a change."""
        return max(
            (each for each in reports if each.replicas == change.after and self._in_time(each, change)),
            key=lambda report: report.at_s,
            default=None,
        )

    def _in_time(self, report: _Report, change: _Change) -> bool:
        until_s = change.observed_s if change.in_gap else change.observed_s + _REPORT_TIMEOUT_S
        return change.since_s - _TIMESTAMP_S <= report.at_s <= until_s

    def _matched(self, change: _Change, unreported: bool) -> RunEvent:
        """Return one change with the reports that match it; each report is used once."""
        event, status = self._find(self._events, change), self._find(self._statuses, change)
        for reports, used in ((self._events, event), (self._statuses, status)):
            if used is not None:
                reports.remove(used)
        report = event or status
        if report is None:
            uncertainty_s = change.observed_s - change.since_s if change.in_gap else None
            reason, message = (RescaleReason.NOT_BY_AUTOSCALER, _OTHER_ACTOR) if unreported else (None, None)
            return _rescale_event(change, change.observed_s, reason, message, uncertainty_s)
        # within the second of the timestamp, the time of observation is more precise
        at_s = change.observed_s if change.observed_s < report.at_s + _TIMESTAMP_S else report.at_s
        return _rescale_event(change, at_s, RescaleReason.BY_AUTOSCALER, report.message)

    def _in_gap(self, change: _Change, unreported: bool) -> Iterator[RunEvent]:
        """Yield the changes in a gap of the watch: first those that events report, then what remains."""
        reports = sorted((each for each in self._events if self._in_time(each, change)), key=lambda each: each.at_s)
        matching = (number for number, report in enumerate(reports) if report.replicas == change.after)
        last = max(matching, default=len(reports) - 1)
        for report in reports[: last + 1]:
            if report.replicas != change.before:
                end_s = report.at_s + _TIMESTAMP_S
                step = _Change(change.before, report.replicas, report.at_s, end_s, in_gap=True)
                yield self._matched(step, unreported)
                change = _Change(report.replicas, change.after, report.at_s, change.observed_s, in_gap=True)
        if change.before != change.after:
            yield self._matched(change, unreported)


def new_size(event: Raw) -> tuple[int, str] | None:
    """Return the replica count and the message of an HPA's SuccessfulRescale event; None for any other event."""
    if event.get("reason") != RescaleReason.BY_AUTOSCALER:
        return None
    message = str(event.get("message") or event.get("note") or "")
    match = re.match(r"New size: (\d+);", message)
    return (int(match[1]), message) if match else None


def _rescale_event(
    change: _Change, at_s: float, reason: str | None, message: str | None, uncertainty_s: float | None = None
) -> RunEvent:
    data: dict[str, Any] = {"before": change.before, "after": change.after}
    if uncertainty_s is not None:
        message = f"{message or 'the replica count changed'} (during the {uncertainty_s:.0f} s before it was observed)"
        data["late_s"] = round(uncertainty_s, 3)
    elif change.in_gap:
        message = f"{message or 'reported by the HPA status'} (while the watch was disconnected)"
    return RunEvent(unix_s=at_s, kind=EventKind.HPA_RESCALE, reason=reason, message=message, data=data)
