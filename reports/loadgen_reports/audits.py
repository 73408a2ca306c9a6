"""Presents the audit of the autoscaler as tables: its decisions, and all syncs by rule."""

from loadgen.analyze.results import Analysis, AuditDecision, AuditLink, AuditSpan, ScalingEvent
from loadgen_reports import format as fmt
from loadgen_reports.audit_text import held_phrase, metric_phrase, rule_phrase
from loadgen_reports.finding_text import sentence
from loadgen_reports.tables import Cell, Column, Table, capped

MAX_OPEN_ROWS = 12
"""A longer table of syncs is collapsed on the page."""


def decisions(analysis: Analysis) -> Table:
    """The syncs that changed the replicas: by which rule, and what every metric proposed."""
    rows, more = capped([_decision_row(each) for each in analysis.audit.decisions], "decisions")
    return Table(
        key="decisions",
        title="HPA decisions",
        columns=(
            Column(label="At"),
            Column(label="Replicas"),
            Column(label="Rule"),
            Column(label="Metrics"),
            Column(label="Held before"),
        ),
        rows=rows,
        notes=more,
    )


def syncs(analysis: Analysis) -> Table:
    """All syncs of the autoscaler in order, consecutive ones with the same rule as one row."""
    rows, more = capped([_span_row(each) for each in analysis.audit.spans], "spans")
    return Table(
        key="syncs",
        title="HPA syncs by rule",
        columns=(
            Column(label="From"),
            Column(label="To"),
            Column(label="Syncs", numeric=True),
            Column(label="Replicas"),
            Column(label="Rule"),
        ),
        rows=rows,
        notes=(*_notes(analysis), *more),
    )


_LINKS = (
    ("signal", "True signal"),
    ("scrape", "In Prometheus"),
    ("rule", "Rule"),
    ("adapter", "Adapter"),
    ("sync", "First sync"),
    ("decided", "Decided"),
)


def links(analysis: Analysis) -> Table:
    """When each link from the signal over its target to the decision ended, how long it took, and how exactly."""
    linked = [each for each in analysis.audit.decisions if each.links]
    rows, more = capped([_link_row(each) for each in linked], "decisions")
    missing: dict[str, list[str]] = {}
    for each in linked:
        for link in each.links:
            labels = missing.setdefault(link.why_missing or "", [])
            if dict(_LINKS)[link.name] not in labels:
                labels.append(dict(_LINKS)[link.name])
    reasons = [f"{', '.join(labels)}: not observed, because {why}." for why, labels in missing.items() if why]
    return Table(
        key="links",
        title="From signal to decision",
        columns=(Column(label="Decision"), *(Column(label=label, numeric=True) for _, label in _LINKS)),
        rows=rows,
        notes=(*reasons[:6], *more),
    )


def _link_row(decision: AuditDecision) -> tuple[Cell, ...]:
    by_name = {link.name: link for link in decision.links}
    return (
        Cell(text=f"{decision.sync.before} → {decision.sync.after}"),
        *(_link_cell(by_name[name]) for name, _ in _LINKS),
    )


def _link_cell(link: AuditLink) -> Cell:
    if not fmt.known(link.at_s):
        return Cell(text="not observed", style="muted")
    took = fmt.time_difference(link.took_s) if fmt.known(link.took_s) else ""
    resolution = f"± {fmt.tenths(link.resolution_s)}" if fmt.known(link.resolution_s) and link.resolution_s else ""
    return Cell(text=fmt.clock(link.at_s), note=" ".join(part for part in (took, resolution) if part) or None)


def held_sentences(analysis: Analysis, event: ScalingEvent) -> list[str]:
    """Which rules held the syncs before a scaling event, in one sentence; empty if none did."""
    decision = next((each for each in analysis.audit.decisions if _is_of(analysis, each, event)), None)
    if decision is None or not decision.held:
        return []
    number = sum(each.syncs for each in decision.held)
    noun = "scale-up" if event.direction == "up" else "scale-down"
    held = fmt.join_list(held_phrase(each) for each in decision.held)
    return [f"{fmt.count(number)} HPA {fmt.plural(number, 'sync')} held the {noun}: {held}."]


def _is_of(analysis: Analysis, decision: AuditDecision, event: ScalingEvent) -> bool:
    index, replicas = decision.event, (decision.sync.before, decision.sync.after)
    known = index is not None and index < len(analysis.scaling) and analysis.scaling[index] is event
    return known and replicas == (event.before, event.after)


def _decision_row(decision: AuditDecision) -> tuple[Cell, ...]:
    span = decision.sync
    held = fmt.join_list(held_phrase(each) for each in decision.held)
    return (
        Cell(text=fmt.clock(span.from_s)),
        Cell(text=f"{span.before} → {span.after}"),
        Cell(text=sentence(rule_phrase(span))),
        Cell(text="; ".join(metric_phrase(each) for each in decision.metrics) or fmt.MISSING),
        Cell(text=held or fmt.MISSING, style="" if held else "muted"),
    )


def _span_row(span: AuditSpan) -> tuple[Cell, ...]:
    inferred = f"{fmt.count(span.inferred)} inferred" if span.inferred else None
    replicas = str(span.before) if span.before == span.after else f"{span.before} → {span.after}"
    return (
        Cell(text=fmt.clock(span.from_s)),
        Cell(text=fmt.clock(span.to_s)),
        Cell(text=fmt.count(span.syncs), note=inferred),
        Cell(text=replicas),
        Cell(text=sentence(rule_phrase(span))),
    )


def _notes(analysis: Analysis) -> tuple[str, ...]:
    audit = analysis.audit
    notes = []
    if audit.source == "status" and analysis.run.cluster is not None:
        notes.append(
            "Known from the status that the controller wrote. A sync that changes nothing writes nothing: such syncs "
            "are inferred from the sync period."
        )
    for each in audit.mismatches[:5]:
        reason = each.explanation or "nothing recorded explains it"
        notes.append(
            f"At {fmt.clock(each.t_s)} the algorithm gives {each.expected}, the HPA set {each.recorded}: {reason}."
        )
    if audit.mismatch_count > 5:
        notes.append(f"{fmt.count(audit.mismatch_count - 5)} more differences in analysis.json.")
    return tuple(notes)
