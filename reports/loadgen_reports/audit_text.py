"""Describes the rules by which the HPA decided, as phrases."""

from loadgen.analyze.results import AuditMetric, AuditSpan, Rule
from loadgen_reports import format as fmt

_HELD = {
    Rule.MAX: "at maxReplicas",
    Rule.MIN: "at minReplicas",
    Rule.DOUBLING: "held by the limit of twice the replicas, or 4",
    Rule.METRIC_UNAVAILABLE: "metric not available: no change",
    Rule.DISABLED: "scaling is disabled at 0 replicas",
    Rule.SCALE_UNAVAILABLE: "the scale could not be read: no change",
    Rule.SELECTOR_INVALID: "the selector is unusable: no change",
    Rule.WRITE_FAILED: "the scale could not be written: no change",
}
_LIMITED = {
    Rule.MAX: "limited by maxReplicas",
    Rule.MIN: "limited by minReplicas",
    Rule.DOUBLING: "limited to twice the replicas, or 4",
}
_WINDOWS = {
    Rule.DOWN_WINDOW: "the scale-down stabilization window",
    Rule.UP_WINDOW: "the scale-up stabilization window",
}
_LACKING = "the record lacks what the sync read"
_POLICIES = {Rule.UP_POLICY: "scale-up", Rule.DOWN_POLICY: "scale-down"}


def quantity(value: int | None, unit: str) -> str:
    """A value as the HPA shows it: `161m`, `2`, `80 %`."""
    if value is None:
        return fmt.MISSING
    if unit == "percent":
        return f"{value} %"
    text = str(value // 1000) if value % 1000 == 0 else f"{value}m"
    return text.replace("-", fmt.MINUS)


def rule_phrase(span: AuditSpan) -> str:
    """What determined the replicas of these syncs: `held by the tolerance: 161m against 165m`."""
    if span.rule is None:
        return _undetermined(span)
    held = span.before == span.after
    if span.rule == Rule.TOLERANCE:
        return f"held by the tolerance{_numbers(span)}"
    if span.rule == Rule.RATIO:
        if held:
            return f"the value gives no other count{_numbers(span)}"
        return f"value over target{_numbers(span)}"
    if span.rule == Rule.PODS:
        return f"{'held' if held else 'reduced'} by {_pods(span)}{_numbers(span)}"
    if window := _WINDOWS.get(span.rule):
        until = f" until {fmt.clock(span.until_s)}" if fmt.known(span.until_s) else ""
        return f"{'held' if held else f'limited to {span.after}'} by {window}{until}"
    if direction := _POLICIES.get(span.rule):
        if span.policy is None:
            return f"{direction} is disabled by selectPolicy"
        change = f"{span.after - span.before:+d}".replace("-", fmt.MINUS)
        return f"{'held' if held else f'limited to {change}'} by the policy: {span.policy}"
    return _HELD.get(span.rule, span.rule.label) if held else _LIMITED.get(span.rule, span.rule.label)


def held_phrase(span: AuditSpan) -> str:
    """By what these syncs held, after their number: `3 by the tolerance (161m against 165m)`."""
    number = fmt.count(span.syncs)
    numbers = _range(span)
    because = f" ({numbers})" if numbers else ""
    if span.rule is None:
        names = " or ".join(each.label for each in span.candidates)
        if names:
            return f"{number} by {names} (the record does not tell which)"
        return f"{number} for an unknown reason ({span.why_undetermined or _LACKING})"
    if span.rule == Rule.TOLERANCE:
        return f"{number} by the tolerance{because}"
    if span.rule == Rule.RATIO:
        return f"{number} because the value gave no other count{because}"
    if span.rule == Rule.PODS:
        return f"{number} by {_pods(span)}{because}"
    if window := _WINDOWS.get(span.rule):
        until = f" (until {fmt.clock(span.until_s)})" if fmt.known(span.until_s) else ""
        return f"{number} by {window}{until}"
    if direction := _POLICIES.get(span.rule):
        return f"{number} by the {direction} policy{f' of {span.policy}' if span.policy else ''}"
    if span.rule == Rule.METRIC_UNAVAILABLE:
        return f"{number} because the metric was not available"
    return f"{number} by {span.rule.label}"


def metric_phrase(metric: AuditMetric) -> str:
    """What a metric proposed: `pods metric load: 3200m against 1 → 4`."""
    if metric.replicas is None:
        return f"{metric.name}: not available{f' ({metric.fault})' if metric.fault else ''}"
    values = f"{quantity(metric.value, metric.unit)} against {quantity(metric.target, metric.unit)}"
    return f"{metric.name}: {values} → {metric.replicas}"


def _undetermined(span: AuditSpan) -> str:
    if not span.candidates:
        return f"not determined: {span.why_undetermined or _LACKING}"
    return f"{' or '.join(each.label for each in span.candidates)}: the record does not tell which"


def _pods(span: AuditSpan) -> str:
    """The pods without a metric, and what they count as."""
    rising = span.highest is not None and span.target is not None and span.highest > span.target
    return (
        f"{fmt.count(span.without_metric)} {fmt.plural(span.without_metric, 'pod')} without a metric, counted as "
        + ("0" if rising else "the target")
    )


def _range(span: AuditSpan) -> str:
    if span.lowest is None or span.highest is None or span.target is None:
        return ""
    lowest, highest = quantity(span.lowest, span.unit), quantity(span.highest, span.unit)
    values = lowest if lowest == highest else f"{lowest} to {highest}"
    if span.edges is None:
        return f"{values} against {quantity(span.target, span.unit)}"
    low, high = (quantity(edge, span.unit) for edge in span.edges)
    if span.lowest >= span.target:
        return f"{values} against {high}"
    if span.highest < span.target:
        return f"{values} against {low}"
    return f"{values} between {low} and {high}"


def _numbers(span: AuditSpan) -> str:
    numbers = _range(span)
    return f": {numbers}" if numbers else ""
