"""Describes the lag of the worst scale-up: how long it was, and which steps it consists of."""

import re

from loadgen.analyze.results import Analysis, Headline, ScalingEvent
from loadgen_reports import format as fmt
from loadgen_reports.finding_text import mid, sentence


def event_name(event: ScalingEvent) -> str:
    """A scaling event in short: `1 → 3`."""
    return f"{event.before} → {event.after}"


def worst(analysis: Analysis) -> ScalingEvent | None:
    """The scale-up with the longest lag, None without one."""
    index = analysis.headline.worst_event
    return analysis.scaling[index] if index is not None and 0 <= index < len(analysis.scaling) else None


def _stage_of(analysis: Analysis, event: ScalingEvent) -> str | None:
    if len(analysis.stage_spans) < 2:
        return None
    at = event.trigger_s if fmt.known(event.trigger_s) else event.decided_s
    return next((span.name for span in analysis.stage_spans if span.start_s <= at < span.end_s), None)


def lag_statement(analysis: Analysis, extra: str) -> str:
    """Where scale-up lagged the load and by how much, without a capital or a full stop; needs a worst scale-up."""
    event = worst(analysis)
    assert event is not None
    stage = _stage_of(analysis, event)
    place = f"in {stage}, scale-up" if stage else "scale-up"
    return f"{place} lagged the load by {fmt.lag(analysis.headline.lag_s)}{extra}"


def lag(analysis: Analysis) -> list[str]:
    """The lag of the worst scale-up, or why it was not measured; nothing without a scale-up."""
    ups = _ups(analysis)
    if fmt.known(analysis.headline.lag_s) and worst(analysis) is not None:
        longest = "the longer" if len(ups) == 2 else "the longest"
        extra = f", {longest} of {fmt.word(len(ups))} scale-ups" if len(ups) > 1 else ""
        return [sentence(lag_statement(analysis, extra))]
    if ups:
        which = {1: "the scale-up", 2: "both scale-ups"}.get(len(ups), f"all {fmt.word(len(ups))} scale-ups")
        reason = _because(worst(analysis) or ups[0]) or ", because its chain of events is incomplete"
        return [f"The lag of {which} was not measured{reason}."]
    return []


def _ups(analysis: Analysis) -> list[ScalingEvent]:
    return [event for event in analysis.scaling if event.direction == "up"]


def _because(event: ScalingEvent) -> str:
    """Why a step of the chain is missing, as the end of a sentence, without the step's name before the colon."""
    if not event.missing:
        return ""
    reason = re.sub(r"^[a-z ]+: ", "", event.missing[0].strip().rstrip("."))
    return f", because {mid(reason)}"


def lag_parts(analysis: Analysis) -> list[str]:
    """The steps that the lag consists of; of a chain with a gap, the steps that were measured."""
    head = analysis.headline
    event = worst(analysis)
    if event is None:
        return []
    replicas = "the new replica" if abs(event.after - event.before) == 1 else "the last new replica"
    parts = [
        (head.signal_s, "{} until the signal crossed its target"),
        (head.decide_s, "{} until the next HPA sync"),
        (head.start_s, "{} in start-up"),
        (head.traffic_s, f"{{}} until traffic reached {replicas}"),
    ]
    measured = [(value, text) for value, text in parts if fmt.known(value)]
    if not measured:
        return []
    if any(value < 0 for value, _ in measured):
        return [_out_of_order(head, replicas)]
    whole = fmt.known(head.lag_s) and len(measured) == len(parts)
    total, texts = fmt.lag(head.lag_s), [fmt.lag(value) for value, _ in measured]
    shares = [text.format(value) for value, (_, text) in zip(texts, measured, strict=True)]
    if not fmt.known(head.lag_s):
        return [f"Measured for {event_name(event)}: {', '.join(shares)}."]
    shares[0] = shares[0].replace(texts[0], f"{texts[0]} passed", 1)
    parts_text = f"Of the {total}, {', '.join(shares)}"
    return [f"{parts_text}." if whole else f"{parts_text}; the rest was not measured{_because(event)}."]


def _out_of_order(head: Headline, replicas: str) -> str:
    """The chain as separate steps, for a chain in which a step came before its cause: they do not add up to the lag."""
    steps = []
    if fmt.known(head.signal_s):
        order = "before" if head.signal_s < 0 else "after"
        steps.append(f"the signal crossed its target {fmt.lag(abs(head.signal_s))} {order} the load step")
    if fmt.known(head.decide_s):
        order = "before" if head.decide_s < 0 else "after"
        steps.append(f"the HPA decided {fmt.lag(abs(head.decide_s))} {order} that")
    if fmt.known(head.start_s):
        steps.append(f"start-up took {fmt.lag(head.start_s)}")
    if fmt.known(head.traffic_s):
        order = "before it was ready" if head.traffic_s < 0 else "later"
        steps.append(f"traffic reached {replicas} {fmt.lag(abs(head.traffic_s))} {order}")
    return f"Step by step: {fmt.join(steps)}."
