"""Presents the links of the scaling events as tables, and names the one to fix first."""

from loadgen.analyze.results import Analysis, ChainLink, EventChain, PodStart, ScalingEvent
from loadgen.analyze.results.chain import DOWN_LINKS, UP_LINKS
from loadgen_reports import format as fmt
from loadgen_reports.finding_text import sentence
from loadgen_reports.lag_sentences import event_name
from loadgen_reports.lags import event_lag
from loadgen_reports.tables import Cell, Column, Table, capped

MOST_EVENTS = 8
"""Events of each direction whose links are on the page, those with the longest lag; `analysis.json` has all."""
MOST_IN_MARKDOWN = 2
_ADVICE = {
    "signal": "lower the target, or scale on a signal that rises before requests end",
    "scrape": "shorten the scrape interval",
    "rule": "lower the target, or shorten the rate window and the interval of the rule",
    "adapter": "shorten the intervals at which the adapter reads Prometheus",
    "sync": "shorten the sync period of the HPA controller",
    "decided": "see which rule held the syncs: a tolerance, a stabilization window or a policy of the HPA",
    "created": "see why the controllers create pods late: quota, a rollout, or a busy API server",
    "scheduled": "keep spare nodes, or pods that give way to replicas",
    "image": "pull the images to the nodes before they are needed, or make them smaller",
    "started": "shorten what comes before the server: init containers, volumes",
    "engine": "load the engine faster: build it before, and keep it on fast local storage",
    "ready": "shorten the period and the delay of the readiness probe, or load the engine faster",
    "routed": "see how long the gateway takes to send requests to a new replica",
    "first_request": "balance requests and not connections, so that new replicas are reached at once",
}
_NAMES = {
    "signal": "the true signal over its target",
    "scrape": "the scrape",
    "rule": "the recording rule",
    "adapter": "the adapter",
    "sync": "the HPA sync",
    "decided": "the decision",
    "created": "the creation of pods",
    "scheduled": "the scheduling of pods",
    "image": "the image pull",
    "started": "the start of the containers",
    "engine": "the load of the engine",
    "ready": "the readiness of the replicas",
    "routed": "the gateway",
    "first_request": "the first answer",
}


def fix_sentence(analysis: Analysis) -> str | None:
    """The link to fix first, its cost and what to do; None without a late scale-up."""
    fix = analysis.fix_first
    if fix is None:
        return None
    timely = analysis.headline.in_time
    if timely is not None and timely.answer == "in_time":
        return "No link has to be fixed: the fleet was in time."
    where = f"{fmt.number_word(fix.events)} {fmt.plural(fix.events, 'scale-up')}"
    cost = f"{fmt.tenths(fix.total_s)} of {fmt.tenths(fix.of_total_s)} in {where}"
    merged = fmt.join_list(_name(name) for name in fix.merged)
    with_ = f", with {merged}, which {'was' if len(fix.merged) == 1 else 'were'} not observed" if merged else ""
    return fmt.clean(f"Fix first: {_name(fix.link)} ({cost}){with_}. {sentence(_ADVICE.get(fix.link, ''))}".strip())


def _name(link: str) -> str:
    return _NAMES.get(link, link)


def chain_tables(analysis: Analysis, most: int = MOST_EVENTS) -> tuple[Table, ...]:
    """The links of scale-ups and scale-downs, and the starts of the new replicas; tables without rows are left out.

    Args:
        analysis: The run.
        most: Events of each direction whose links are shown.
    """
    made = (_links(analysis, "up", most), _links(analysis, "down", most), _starts(analysis))
    return tuple(table for table in made if table.rows)


def _links(analysis: Analysis, direction: str, most: int) -> Table:
    chains = [(each, analysis.scaling[each.event]) for each in analysis.chains if each.event < len(analysis.scaling)]
    chains = [(chain, event) for chain, event in chains if event.direction == direction]
    longest = sorted(chains, key=lambda each: -(event_lag(each[1]) or 0.0))[:most]
    shown = [each for each in chains if each in longest]
    rows = [row for chain, event in shown for row in _event_rows(chain, event)]
    links = len(UP_LINKS if direction == "up" else DOWN_LINKS)
    omitted = len(chains) - len(shown)
    notes = [f"{fmt.count(omitted)} more events in analysis.json."] if omitted else []
    return Table(
        key=f"chain-{direction}",
        title=f"Links of the scale-{direction}s",
        columns=(
            Column(label="Event"),
            Column(label="Link"),
            Column(label="At", numeric=True),
            Column(label="Took", numeric=True),
            Column(label="Known to", numeric=True),
            Column(label="From"),
            Column(label="To"),
        ),
        rows=tuple(rows),
        notes=tuple(notes),
        group_starts=tuple(range(links, len(rows), links)),
    )


def _event_rows(chain: EventChain, event: ScalingEvent) -> list[tuple[Cell, ...]]:
    name = f"{chain.event + 1}: {event_name(event)}"
    return [_link_row(name, link, event) for link in chain.links]


def _link_row(name: str, link: ChainLink, event: ScalingEvent) -> tuple[Cell, ...]:
    declared = (UP_LINKS if event.direction == "up" else DOWN_LINKS)[link.name]
    note = "chance" if link.kind == "phase" else None
    if link.at_s is None:
        missing = Cell(text=fmt.MISSING, style="muted")
        why = Cell(text=sentence(link.why_missing or ""))
        return (
            Cell(text=name),
            Cell(text=declared.label, note=note),
            Cell(text="not observed", style="muted"),
            missing,
            missing,
            missing,
            why,
        )
    took = Cell(text=fmt.time_difference(link.took_s)) if fmt.known(link.took_s) else Cell(text=fmt.MISSING)
    return (
        Cell(text=name),
        Cell(text=declared.label, note=note),
        Cell(text=fmt.clock(link.at_s, 1)),
        took,
        Cell(text=fmt.seconds(link.resolution_s) if fmt.known(link.resolution_s) else fmt.MISSING),
        Cell(text=link.since_source or fmt.MISSING),
        Cell(text=link.source),
    )


def _starts(analysis: Analysis) -> Table:
    pods = [pod for chain in analysis.chains for pod in chain.pods]
    rows, more = capped([_start_row(pod) for pod in pods], "replicas")
    reasons: dict[str, list[str]] = {}
    for pod in pods:
        if pod.why_missing:
            reasons.setdefault(pod.why_missing, []).append(pod.pod)
    notes = [
        sentence(f"{reason} ({fmt.count(len(names))} {fmt.plural(len(names), 'replica')})")
        for reason, names in reasons.items()
    ]
    return Table(
        key="pod-starts",
        title="Start of each new replica",
        columns=(
            Column(label="Replica"),
            Column(label="Node"),
            Column(label="Images"),
            Column(label="Pull", numeric=True),
            Column(label="Load", numeric=True),
            Column(label="Probe", numeric=True),
        ),
        rows=rows,
        notes=(*notes, *more),
    )


def _start_row(pod: PodStart) -> tuple[Cell, ...]:
    images = {True: "warm: on the node", False: "cold: pulled", None: "not observed"}[pod.warm_node]
    return (
        Cell(text=pod.pod, literal=True),
        Cell(text=pod.node, literal=True) if pod.node else Cell(text="not observed", style="muted"),
        Cell(text=images, style="muted" if pod.warm_node is None else ""),
        *(
            Cell(text=fmt.tenths(value)) if fmt.known(value) else Cell(text="not observed", style="muted")
            for value in (pod.pull_s, pod.load_s, pod.probe_s)
        ),
    )
