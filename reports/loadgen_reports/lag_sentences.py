"""Describes the longest lag of a scale-up: its length and its steps."""

import re

from loadgen.analyze.results import Analysis, Estimate, Headline, ScalingEvent
from loadgen_reports import format as fmt
from loadgen_reports.audits import held_sentences
from loadgen_reports.finding_text import sentence, uncapitalize

NARROW_S = 0.5
"""Intervals up to this width do not change a duration that is shown in tenths of a second."""
_SYNC_SLACK_S = 2.0
"""A sync can start this much late: the controller waits its period after the last one has ended."""


def event_name(event: ScalingEvent) -> str:
    """Name of a scaling event: `1 → 3`."""
    return f"{event.before} → {event.after}"


def worst_scale_up(analysis: Analysis) -> ScalingEvent | None:
    """The scale-up with the longest lag; None without a scale-up."""
    index = analysis.headline.worst_event
    return analysis.scaling[index] if index is not None and 0 <= index < len(analysis.scaling) else None


def _stage_of(analysis: Analysis, event: ScalingEvent) -> str | None:
    if len(analysis.stage_spans) < 2:
        return None
    at = event.trigger_s if fmt.known(event.trigger_s) else event.decided_s
    return next((span.name for span in analysis.stage_spans if span.start_s <= at < span.end_s), None)


def lag_statement(analysis: Analysis, suffix: str) -> str:
    """How long the worst scale-up lagged the load, and in which stage; without a capital or a full stop.

    There must be a scale-up.
    """
    event = worst_scale_up(analysis)
    assert event is not None
    stage = _stage_of(analysis, event)
    place = f"in {stage}, scale-up" if stage else "scale-up"
    lag = analysis.headline.lag_s
    if fmt.known(lag) and lag < 0:
        return f"{place} was ready {_lag_text(analysis)} before it was needed{suffix}"
    if analysis.headline.lag_at_least:
        reason = "its replicas did not serve while they were needed"
        return f"{place} lagged the load by at least {_lag_text(analysis)}{suffix}; {reason}"
    return f"{place} lagged the load by {_lag_text(analysis)}{suffix}"


def _wide(analysis: Analysis) -> Estimate | None:
    """The worst lag with its interval, if that is too wide for tenths of a second."""
    if analysis.headline.lag_at_least:
        return None
    lags = [each.lag for each in analysis.demand.lags if each.lag is not None]
    own = next((lag for lag in lags if lag.value == analysis.headline.lag_s), None)
    return own if own is not None and own.high - own.low > NARROW_S else None


def _lag_text(analysis: Analysis) -> str:
    """The length of the worst lag, early or late: in whole seconds with its interval where that is wide."""
    lag, wide = analysis.headline.lag_s, _wide(analysis)
    if wide is None:
        return fmt.tenths(abs(lag) if fmt.known(lag) else lag)
    low, high = (wide.low, wide.high) if wide.value >= 0 else (-wide.high, -wide.low)
    return f"{fmt.count(abs(wide.value))} s (95 % interval {fmt.count(low)} … {fmt.count(high)} s)"


def lag_sentence(analysis: Analysis) -> list[str]:
    """The lag of the worst scale-up, or why it was not measured; empty without a scale-up."""
    ups = _scale_ups(analysis)
    if fmt.known(analysis.headline.lag_s) and worst_scale_up(analysis) is not None:
        early = fmt.known(analysis.headline.lag_s) and analysis.headline.lag_s < 0
        longest = (
            ("the later" if early else "the longer") if len(ups) == 2 else "the latest" if early else "the longest"
        )
        suffix = f", {longest} of {fmt.number_word(len(ups))} scale-ups" if len(ups) > 1 else ""
        return [sentence(lag_statement(analysis, suffix))]
    if ups:
        subject = {1: "the scale-up", 2: "both scale-ups"}.get(len(ups), f"all {fmt.number_word(len(ups))} scale-ups")
        reason = _missing_reason(worst_scale_up(analysis) or ups[0]) or ", because its chain of events is incomplete"
        return [f"The lag of {subject} was not measured{reason}."]
    return []


def _scale_ups(analysis: Analysis) -> list[ScalingEvent]:
    return [event for event in analysis.scaling if event.direction == "up"]


def _missing_reason(event: ScalingEvent) -> str:
    """Why the first missing step is missing, as the end of a sentence."""
    if not event.missing:
        return ""
    reason = re.sub(r"^[a-z ]+: ", "", event.missing[0].strip().rstrip("."))
    return f", because {uncapitalize(reason)}"


def lag_breakdown(analysis: Analysis) -> list[str]:
    """The durations of the measured steps of the lag, what held the syncs before the decision, and gaps in samples."""
    event = worst_scale_up(analysis)
    if event is None:
        return []
    steps = _steps(analysis, event)
    return [*steps, *(sentence(gap.split(": ", 1)[-1]) for gap in event.gaps)] if steps else []


def _steps(analysis: Analysis, event: ScalingEvent) -> list[str]:
    head = analysis.headline
    held = held_sentences(analysis, event)
    replicas = "the new replica" if abs(event.after - event.before) == 1 else "the last new replica"
    steps = [
        (head.signal_s, "{} until the signal crossed its target"),
        (head.decide_s, f"{{}} until {_decision(analysis, held)}"),
        (head.start_s, "{} in start-up"),
        (head.traffic_s, f"{{}} until traffic reached {replicas}"),
    ]
    measured = [(value, text) for value, text in steps if fmt.known(value)]
    if not measured:
        return []
    if any(value < 0 for value in (*(value for value, _ in measured), head.lag_s) if fmt.known(value)):
        return [_out_of_order(head, replicas), *held]
    complete = fmt.known(head.lag_s) and len(measured) == len(steps)
    wide = _wide(analysis) is not None
    total = f"{fmt.count(head.lag_s)} s" if wide else fmt.tenths(head.lag_s)
    # The load step is as uncertain as the lag, and so is the first part.
    texts = [f"{fmt.count(value)} s" if wide and value == head.signal_s else fmt.tenths(value) for value, _ in measured]
    parts = [text.format(value) for value, (_, text) in zip(texts, measured, strict=True)]
    if not fmt.known(head.lag_s) or head.lag_at_least:
        return [f"Measured for {event_name(event)}: {', '.join(parts)}.", *held]
    parts[0] = parts[0].replace(texts[0], f"{texts[0]} passed", 1)
    breakdown = f"Of the {total}, {', '.join(parts)}"
    end = "." if complete else f"; the rest was not measured{_missing_reason(event)}."
    return [f"{breakdown}{end}", *held]


def _decision(analysis: Analysis, held: list[str]) -> str:
    """What ended the wait for the decision: the next sync, if no sync before it held."""
    waited_s, period_s = analysis.headline.decide_s, analysis.run.sync_period_s
    longer = fmt.known(waited_s) and fmt.known(period_s) and waited_s > period_s + _SYNC_SLACK_S
    return "the HPA decided" if held or longer else "the next HPA sync"


def _out_of_order(head: Headline, replicas: str) -> str:
    """The steps one by one, where a step came before its cause, so that they do not add up to the lag."""
    steps = []
    if fmt.known(head.signal_s):
        order = "before" if head.signal_s < 0 else "after"
        steps.append(f"the signal crossed its target {fmt.tenths(abs(head.signal_s))} {order} the load step")
    if fmt.known(head.decide_s):
        order = "before" if head.decide_s < 0 else "after"
        steps.append(f"the HPA decided {fmt.tenths(abs(head.decide_s))} {order} that")
    if fmt.known(head.start_s):
        steps.append(f"start-up took {fmt.tenths(head.start_s)}")
    if fmt.known(head.traffic_s):
        order = "before it was ready" if head.traffic_s < 0 else "later"
        steps.append(f"traffic reached {replicas} {fmt.tenths(abs(head.traffic_s))} {order}")
    return f"Step by step: {fmt.join_list(steps)}."
