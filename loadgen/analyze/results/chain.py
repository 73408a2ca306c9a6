"""The links of every scaling event, from the load that outgrows the fleet until latency is back within the SLO."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

LinkKind = Literal["load", "settings", "phase", "start_up", "traffic", "drain", "result"]


class Link(NamedTuple):
    """A link by name: what ends it, and what can change how long it takes."""

    label: str
    kind: LinkKind


UP_LINKS: Mapping[str, Link] = {
    "load": Link("Load outgrows the fleet", "load"),
    "signal": Link("True signal over target", "settings"),
    "scrape": Link("Visible in Prometheus", "settings"),
    "rule": Link("Recording rule", "settings"),
    "adapter": Link("Adapter", "settings"),
    "sync": Link("HPA sync", "phase"),
    "decided": Link("Decided", "settings"),
    "created": Link("Pod created", "start_up"),
    "scheduled": Link("Scheduled", "start_up"),
    "image": Link("Image pulled", "start_up"),
    "started": Link("Containers started", "start_up"),
    "engine": Link("Engine answers", "start_up"),
    "ready": Link("Ready", "start_up"),
    "routed": Link("First request sent to it", "traffic"),
    "first_request": Link("First request answered", "traffic"),
    "fair_share": Link("Fair share of the requests", "traffic"),
    "backlog": Link("Backlog gone", "result"),
    "slo": Link("Latency within the SLO", "result"),
}
"""The links of a scale-up, in order."""

DOWN_LINKS: Mapping[str, Link] = {
    "load": Link("Load no longer needs the fleet", "load"),
    "signal": Link("True signal below target", "settings"),
    "scrape": Link("Visible in Prometheus", "settings"),
    "rule": Link("Recording rule", "settings"),
    "adapter": Link("Adapter", "settings"),
    "sync": Link("HPA sync", "phase"),
    "decided": Link("Decided", "settings"),
    "terminating": Link("Termination began", "start_up"),
    "unrouted": Link("Last request sent to it", "drain"),
    "last_request": Link("Last request answered", "drain"),
    "terminated": Link("Terminated", "drain"),
}
"""The links of a scale-down, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainLink:
    """One link of a scaling event; of several replicas it is that of the last.

    Attributes:
        name: A key of `UP_LINKS` or `DOWN_LINKS`.
        kind: What can change it: the `load`, `settings`, the `phase` of the HPA (chance), `start_up`, `traffic`
            (gateway and clients), `drain`; or nothing, as it is a `result` of the others.
        at_s: When it ended; None if that was not observed.
        took_s: Seconds since the last link before it that was observed; negative if it ended before that. None for the
            first, and if it was not observed.
        resolution_s: How exactly `at_s` is known, seconds.
        since_source: What the time at which it began was read from; None for the first.
        source: What the time at which it ended was, or would be, read from.
        why_missing: Why it was not observed; its time is then part of the next link that was.
    """

    name: str
    kind: LinkKind
    at_s: float | None
    took_s: float | None
    resolution_s: float | None
    since_source: str | None
    source: str
    why_missing: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PodStart:
    """How one new replica started; a duration is None where it was not observed.

    Attributes:
        pod: Its name.
        node: The node; None if it is unknown.
        warm_node: Whether all images were on the node already; None if no image pull was observed.
        pull_s: From the first pull of an image until the last was there.
        load_s: From the start of its containers until its server answered. On the local stack, which emulates pull and
            load as one delay, the length of that.
        probe_s: From then until it was ready.
        why_missing: Why durations are missing.
    """

    pod: str
    node: str | None
    warm_node: bool | None
    pull_s: float | None
    load_s: float | None
    probe_s: float | None
    why_missing: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventChain:
    """The links of one scaling event.

    Attributes:
        event: Index into `Analysis.scaling`.
        links: All links in order, those that were not observed included.
        pods: How its new replicas started; empty for a scale-down.
    """

    event: int
    links: tuple[ChainLink, ...]
    pods: tuple[PodStart, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FixFirst:
    """The link that costs most of those before the first answer that settings, start-up or traffic can change.

    Attributes:
        link: Its name.
        merged: Links whose time is part of it, because they were not observed.
        total_s: Its time in all scale-ups, seconds.
        events: Number of these scale-ups.
        of_total_s: Time of all links of these scale-ups until their first answer.
    """

    link: str
    merged: tuple[str, ...]
    total_s: float
    events: int
    of_total_s: float
