"""Builds the links of every scaling event, with the source and the resolution of each time."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from loadgen.analyze.audit.chain import DecisionChain
from loadgen.analyze.audit.inputs import STATUS_SLACK_S
from loadgen.analyze.chain.pods import Startup, pod_start, startup
from loadgen.analyze.chain.share import answered, named_pods, spans_by_pod
from loadgen.analyze.demand.backlog import Backlog
from loadgen.analyze.observed import Event, Observed, Series
from loadgen.analyze.results import Audit, AuditLink, Balance, Demand, ScalingEvent
from loadgen.analyze.results.chain import DOWN_LINKS, UP_LINKS, ChainLink, EventChain, Link, LinkKind
from loadgen.analyze.scaling.recovery import STEP_S, recovery_limit
from loadgen.analyze.scaling.replicas import Fleet, Replica
from loadgen.dataset.names import EventKind, SignalName

_BEFORE = ("signal", "scrape", "rule", "adapter", "sync")
_NO_NAMES = "the answers do not name their replica"


class Chains:
    """The links of the scaling events of one run.

    Args:
        run: The run.
        fleet: Its replicas.
        ratio: The fleet's ratio as the autoscaler read it.
        demand: What the load needed.
        audit: The syncs of the autoscaler, with the links before its decisions.
        backlog: Departures with and without the lag; None where they are unknown.
        balance: When new replicas got their fair share.
    """

    def __init__(
        self,
        run: Observed,
        fleet: Fleet,
        ratio: Series,
        demand: Demand,
        audit: Audit,
        backlog: Backlog | None,
        balance: Balance,
    ) -> None:
        self._run, self._fleet, self._demand, self._backlog = run, fleet, demand, backlog
        self._share_source = balance.source
        self._to_fair_share_s = {use.replica: use.to_fair_share_s for use in balance.replicas}
        self._stamp_s = 0.0 if run.info.cluster is None else STATUS_SLACK_S
        self._answered = answered(run)
        sent = named_pods(run) & np.isfinite(run.requests.sent_s)
        self._sent = spans_by_pod(run.requests.sent_s[sent], run.requests.pod[sent])
        self._served = spans_by_pod(self._answered.t_s, self._answered.pod) if self._answered else {}
        self._linked = {each.event: each.links for each in audit.decisions if each.event is not None and each.links}
        self._decisions: DecisionChain | None = None
        if run.info.autoscaler is not None:
            syncs = [event.t_s for event in run.of_kind(EventKind.HPA_SYNC)]
            self._decisions = DecisionChain(run, fleet, run.info.autoscaler, ratio, syncs)
        self._events: dict[str, list[Event]] = {}
        for event in run.events:
            if event.pod is not None:
                self._events.setdefault(event.pod, []).append(event)

    def of(self, scaling: Sequence[ScalingEvent]) -> tuple[EventChain, ...]:
        """The links of all events, in order."""
        return tuple(
            self._up(number, event) if event.direction == "up" else self._down(number, event)
            for number, event in enumerate(scaling)
        )

    def _up(self, number: int, event: ScalingEvent) -> EventChain:
        pods = [self._fleet.pods[name] for name in event.pods if name in self._fleet.pods]
        starts = [startup(self._run, self._events.get(pod.name, ()), pod) for pod in pods]
        links = _Links(UP_LINKS)
        self._until_decided(links, number, event)
        self._phase(links, "created", event, event.created_s, "replica_created")
        self._phase(links, "scheduled", event, event.scheduled_s, "replica_scheduled")
        emulated = any(start.emulated for start in starts)
        why = "the local stack emulates pull and load as one delay" if emulated else "no image pull was recorded"
        self._start(links, "image", event, starts, lambda start: start.image_s, "pod_event Pulled", why, self._stamp_s)
        self._phase(links, "started", event, event.started_s, "replica_started")
        why = "no scrape of the new replicas succeeded before they were ready"
        scrape_s = self._run.info.autoscaler.scrape_interval_s if self._run.info.autoscaler else None
        self._start(links, "engine", event, starts, lambda start: start.engine_s, "samples up", why, scrape_s)
        self._phase(links, "ready", event, event.ready_s, "replica_ready")
        sent_s = self._last(pods, lambda pod: self._sent_s(pod, last=False))
        possible = None if sent_s is None or event.ready_s is None else max(sent_s - event.ready_s, 0.0)
        links.add("routed", sent_s, possible, "requests.pod", _NO_NAMES)
        self._phase(links, "first_request", event, event.serving_s, "raw_success", label="serving")
        self._fair_share(links, pods)
        self._results(links, event)
        made = tuple(pod_start(pod, start) for pod, start in zip(pods, starts, strict=True))
        return EventChain(event=number, links=tuple(links.made), pods=made)

    def _fair_share(self, links: "_Links", pods: Sequence[Replica]) -> None:
        by_name = self._share_source == "requests"
        source = "requests.pod" if by_name else "raw_success, raw_pending"
        resolution_s = 0.0 if by_name or self._answered is None else self._answered.resolution_s
        took = [(pod.ready_s, self._to_fair_share_s.get(pod.name)) for pod in pods]
        known = [ready_s + took_s for ready_s, took_s in took if ready_s is not None and took_s is not None]
        at_s = max(known) if known and len(known) == len(pods) else None
        why = "requests were not counted by replica" if self._share_source is None else "a new replica never had it"
        links.add("fair_share", at_s, resolution_s, source, why)

    def _results(self, links: "_Links", event: ScalingEvent) -> None:
        """Add what follows the first answer of the new replicas."""
        since_s = event.serving_s
        if self._backlog is None or since_s is None:
            why = self._demand.why_missing or "the new replicas answered nothing"
            links.add("backlog", None, None, "two replays", why)
        else:
            at_s = self._backlog.gone_s(since_s, max(event.after, 1))
            links.add("backlog", at_s, 1.0, "two replays", "the backlog was not gone before the load ended")
        why = _reason(event, "recovered", "there is no limit on TTFT or E2E")
        source = "requests" if recovery_limit(self._run.info.limits) else "no limit"
        links.add("slo", event.recovered_s, STEP_S, source, why)

    def _down(self, number: int, event: ScalingEvent) -> EventChain:
        pods = [self._fleet.pods[name] for name in event.pods if name in self._fleet.pods]
        links = _Links(DOWN_LINKS)
        self._until_decided(links, number, event)
        self._phase(links, "terminating", event, event.created_s, "replica_draining")
        sent_s = self._last(pods, lambda pod: self._sent_s(pod, last=True))
        links.add("unrouted", sent_s, 0.0, "requests.pod", _NO_NAMES)
        found = self._answered
        source, resolution_s = ("raw_success", None) if found is None else (found.source, found.resolution_s)
        why = "answers were not counted by replica" if found is None else "a removed replica answered nothing"
        links.add("last_request", self._last(pods, self._last_answer_s), resolution_s, source, why)
        self._phase(links, "terminated", event, event.ready_s, "replica_stopped")
        return EventChain(event=number, links=tuple(links.made))

    def _until_decided(self, links: "_Links", number: int, event: ScalingEvent) -> None:
        source = "plan" if self._demand.source == "plan" else "requests"
        spans = [span for span in self._demand.needed if event.trigger_s is not None]
        edges = [edge for span in spans for edge in (span.start, span.end) if edge and edge.value == event.trigger_s]
        resolution_s = max((edge.high - edge.low for edge in edges), default=None)
        links.add("load", event.trigger_s, resolution_s, source, _reason(event, "load step", "it is unknown"))
        before = self._linked.get(number)
        if before is None and self._decisions is not None:
            before = self._decisions.links(event)
        known: dict[str, AuditLink] = {link.name: link for link in before or ()}
        repeated = False
        for name in _BEFORE:
            link = known.get(name)
            if link is None:
                links.add(name, None, None, "hpa_sync", "the run has no autoscaler, or its metric is unknown")
            elif name == "rule" and link.at_s is None and event.over_target_s is not None:
                # The signal was beyond its target before the last decision, from which on it counts for this one.
                links.add(name, event.over_target_s, None, link.source, "")
                repeated = True
            else:
                # Then it also met the controller at no random moment, so the wait for the sync is no chance.
                kind: LinkKind | None = "settings" if name == "sync" and repeated else None
                links.add(name, link.at_s, link.resolution_s, link.source, link.why_missing or "", kind)
        links.add("decided", event.decided_s, self._stamp_s, "hpa_rescale", "")

    def _phase(
        self, links: "_Links", name: str, event: ScalingEvent, at_s: float | None, source: str, label: str | None = None
    ) -> None:
        """Add a link that a step of the event ends."""
        resolution_s = self._stamp_s if source != "raw_success" else self._counters_s()
        links.add(name, at_s, resolution_s, source, _reason(event, label or name, "no such event was recorded"))

    def _start(
        self,
        links: "_Links",
        name: str,
        event: ScalingEvent,
        starts: Sequence[Startup],
        time: Callable[[Startup], float | None],
        source: str,
        why: str,
        resolution_s: float | None,
    ) -> None:
        """Add a link that the last of the new replicas ends, if it was observed for all of them."""
        times = [at for start in starts if (at := time(start)) is not None]
        at_s = max(times) if times and len(times) == len(event.pods) else None
        links.add(name, None if at_s is None else max(at_s, event.decided_s), resolution_s, source, why)

    def _last(self, pods: Sequence[Replica], time: Callable[[Replica], float | None]) -> float | None:
        """The latest of the times of all replicas; None if one of them has none."""
        times = [time(pod) for pod in pods]
        known = [at for at in times if at is not None]
        return max(known) if known and len(known) == len(times) else None

    def _sent_s(self, pod: Replica, *, last: bool) -> float | None:
        """When the first or the last request was sent that a replica answered, by the name in the answer."""
        return self._sent[pod.name][int(last)] if pod.name in self._sent else None

    def _last_answer_s(self, pod: Replica) -> float | None:
        return self._served[pod.name][1] if pod.name in self._served else None

    def _counters_s(self) -> float | None:
        counters = self._run.signals.get(SignalName.RAW_SUCCESS, {})
        steps = [np.diff(series.t_s) for series in counters.values() if len(series.t_s) > 1]
        return float(np.median(np.concatenate(steps))) if steps else None


class _Links:
    """Collects links in order; the time of one that was not observed is part of the next."""

    def __init__(self, declared: Mapping[str, Link]) -> None:
        self.made: list[ChainLink] = []
        self._declared = declared
        self._previous: tuple[float, str] | None = None

    def add(
        self,
        name: str,
        at_s: float | None,
        resolution_s: float | None,
        source: str,
        why: str,
        kind: LinkKind | None = None,
    ) -> None:
        """Add a link that ended at `at_s`; `why` says why that was not observed, `kind` replaces the declared one."""
        since, seen = self._previous, at_s is not None
        self.made.append(
            ChainLink(
                name=name,
                kind=kind or self._declared[name].kind,
                at_s=at_s,
                took_s=None if at_s is None or since is None else at_s - since[0],
                resolution_s=resolution_s if seen else None,
                since_source=None if since is None else since[1],
                source=source,
                why_missing=None if seen else why,
            )
        )
        if at_s is not None:
            self._previous = at_s, source


def _reason(event: ScalingEvent, step: str, otherwise: str) -> str:
    """Why a step of an event is missing."""
    own = [text.split(": ", 1)[1] for text in event.missing if text.startswith(f"{step}: ")]
    return own[0] if own else otherwise
