"""Rules for the metrics of autoscalers: their types, their targets, and what their values mean."""

import re
from collections.abc import Iterator

from loadgen.lint.autoscalers import Autoscaler, Metric
from loadgen.lint.codes import scaling
from loadgen.lint.pitfall import Pitfall, Severity
from loadgen.lint.promql.tree import Aggregate, Binary, Call, Node, Number, Series, is_scalar, labels_of, series_in
from loadgen.lint.rule_files import rule_groups
from loadgen.lint.setup import TRITON_SERIES, Setup

_DEFAULT_TOLERANCE = 0.1
_TUTORIAL_TARGET = 1.0
_NOISE_TARGET = 0.05
_RATIO_NAME = re.compile(r"(^|[_:])(ratio|fraction|utili[sz]ation|quantile|latency|average|p9[0-9])([_:]|$)")
_GPU_UTILIZATION = re.compile(r"DCGM_FI_DEV_GPU_UTIL|nv_gpu_utilization|.*accelerator.*duty_cycle.*")
_OF_REPLICAS = (*TRITON_SERIES, "DCGM_FI_")
_MAX_RULES = 20
_SAME_VALUE = ("clamp_min", "clamp_max", "clamp", "round", "ceil", "floor", "abs", "sort", "sort_desc")


def check(setup: Setup) -> Iterator[Pitfall]:
    """Yield the pitfalls of every metric."""
    for each in setup.autoscalers:
        for metric in each.metrics:
            yield from _of_type(setup, each, metric)
            yield from _of_target(setup, each, metric)
        yield from _of_all(setup, each)


def _of_type(setup: Setup, autoscaler: Autoscaler, metric: Metric) -> Iterator[Pitfall]:
    object_, node = autoscaler.object, setup.node_of(autoscaler, metric)
    if metric.type == "Resource":
        severity: Severity | None = None if len(autoscaler.metrics) == 1 else "warning"
        yield object_.pitfall(scaling.CPU, metric.field, f"{metric.name}, {metric.target_type}", severity=severity)
        return
    names = {metric.name} | {each.name for each in series_in(node)} if node else {metric.name}
    if used := next((name for name in sorted(names) if _GPU_UTILIZATION.fullmatch(name)), None):
        yield object_.pitfall(scaling.GPU_UTILIZATION, metric.field, used)
    shown = f"{metric.target_type} of {metric.query or metric.name}"
    if metric.type == "Pods" or (metric.type == "External" and node is None):
        return
    if metric.type == "External" and node and labels_of(node).has("pod") and not _is_aggregated(setup, metric):
        # divided by the replicas, the sum of all series is their mean
        if metric.target_type == "Value" and _is_ratio(setup, node, metric.name):
            yield object_.pitfall(scaling.EXTERNAL_SUM, f"{metric.field}.external.target", shown)
        return
    field = metric.field if metric.type == "Trigger" else f"{metric.field}.{metric.type.lower()}.target"
    series = "" if metric.type == "Trigger" else metric.name
    if metric.target_type == "AverageValue" and _is_ratio(setup, node, series):
        yield object_.pitfall(scaling.RATIO_DIVIDED, field, shown)
    if metric.target_type == "Value" and node is not None and _is_total(node):
        yield object_.pitfall(scaling.TOTAL_UNDIVIDED, field, shown)


def _is_aggregated(setup: Setup, metric: Metric) -> bool:
    """Whether a rule of the adapter makes one value of the series other than their sum."""
    for rule in setup.adapter:
        if rule.external and (series := setup.series_of(metric, rule)):
            node = rule.query(series)
            return isinstance(node, Aggregate) and node.operator != "sum"
    return False


def _is_ratio(setup: Setup, node: Node | None, name: str) -> bool:
    """Whether a value does not add up over replicas, by its name or its expression."""
    return bool(_RATIO_NAME.search(name)) or (node is not None and _is_intensive(setup, node))


def _is_intensive(setup: Setup, node: Node, rules: int = 0) -> bool:
    """Whether an expression is a quotient, a mean or a quantile."""
    match node:
        case Binary(operator="/"):
            return not is_scalar(node.right) or _is_intensive(setup, node.left, rules)
        case Binary():
            left, right = node.left, node.right
            if node.operator not in ("+", "-", "*", "or", "and", ">", ">=", "<", "<=", "!="):
                return False
            return not node.is_bool and any(
                _is_intensive(setup, each, rules) for each in (left, right) if not is_scalar(each)
            )
        case Aggregate(operator="avg" | "quantile"):
            return True
        case Aggregate(operator="max" | "min" | "topk" | "bottomk"):
            return _is_intensive(setup, node.arguments[-1], rules)
        case Call(function="histogram_quantile"):
            return True
        case Call() if node.function in _SAME_VALUE and node.arguments:
            return _is_intensive(setup, node.arguments[0], rules)
        case Series():
            rule = setup.rule(node.name, "") if rules < _MAX_RULES else None
            return bool(_RATIO_NAME.search(node.name)) or (
                rule is not None and _is_intensive(setup, rule.node, rules + 1)
            )
    return False


def _is_total(node: Node) -> bool:
    """Whether a value is the sum over the fleet: without a label of the replica, and of no quotient."""
    return (
        isinstance(node, Aggregate)
        and node.operator in ("sum", "count")
        and not labels_of(node).has("pod")
        and not any(isinstance(each, Binary) and each.operator == "/" for each in node.arguments)
    )


def _of_target(setup: Setup, autoscaler: Autoscaler, metric: Metric) -> Iterator[Pitfall]:
    target, node = metric.target, setup.node_of(autoscaler, metric)
    if target is None or metric.type == "Resource":
        return
    bound = _bound(setup, node) if node else None
    tolerance = (
        autoscaler.spec.behavior.scale_up.tolerance_ratio if autoscaler.spec and autoscaler.spec.behavior else None
    )
    highest = target * (1 + (_DEFAULT_TOLERANCE if tolerance is None else tolerance))
    if bound is not None and highest >= bound:
        value = f"a target of {target:g}, with the tolerance {highest:g}, for {metric.name}, which is at most {bound:g}"
        yield autoscaler.object.pitfall(scaling.UNREACHABLE, metric.field, value)
    if not _is_queue_ratio(setup, autoscaler, metric):
        return
    if target == _TUTORIAL_TARGET:
        yield autoscaler.object.pitfall(scaling.TARGET_DEFAULT, metric.field, f"{target:g} for {metric.name}")
    if target < _NOISE_TARGET:
        yield autoscaler.object.pitfall(scaling.TARGET_NOISE, metric.field, f"{target:g} for {metric.name}")


def _bound(setup: Setup, node: Node, rules: int = 0) -> float | None:
    """Return the upper bound of a value; None where it has none that can be seen."""
    match node:
        case Call(function="clamp_max", arguments=(_, Number(value=bound))):
            return bound
        case Call(function="clamp", arguments=(_, _, Number(value=bound))):
            return bound
        case Aggregate(operator="avg" | "max" | "min"):
            return _bound(setup, node.arguments[-1], rules)
        case Series():
            fraction = any(each.label == "kv_cache_block_type" and each.value == "fraction" for each in node.matchers)
            if fraction:
                return 1.0
            rule = setup.rule(node.name, "") if rules < _MAX_RULES else None
            return _bound(setup, rule.node, rules + 1) if rule else None
    return None


def _is_queue_ratio(setup: Setup, autoscaler: Autoscaler, metric: Metric) -> bool:
    """Whether a metric is the queue-to-compute ratio, by its expression or else by its name."""
    node = setup.node_of(autoscaler, metric)
    names = [metric.name, *(_all_series(setup, node) if node else ())]
    if node is None or len(names) == 1:
        return "queue" in metric.name and "ratio" in metric.name
    is_divided = any("queue_duration_us" in name for name in names) and any("compute" in name for name in names)
    return is_divided and _is_intensive(setup, node)


def _all_series(setup: Setup, node: Node) -> set[str]:
    """Return the names of the series behind an expression, through recording rules."""
    found: set[str] = set()
    waiting = [each.name for each in series_in(node)]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        rule = setup.rule(name, "")
        waiting += [each.name for each in series_in(rule.node)] if rule else []
    return found


def _of_all(setup: Setup, autoscaler: Autoscaler) -> Iterator[Pitfall]:
    metrics = autoscaler.metrics
    if metrics and all(_is_queue_ratio(setup, autoscaler, each) for each in metrics):
        value = f"only {', '.join(each.query or each.name for each in metrics)}"
        yield autoscaler.object.pitfall(scaling.RATIO_ONLY, metrics[0].field.partition("[")[0], value)
    for metric in metrics:
        records = _records(setup)
        is_missing = metric.type == "Pods" and ":" in metric.name and setup.node_of(autoscaler, metric) is None
        if is_missing and records and metric.name not in records:
            yield autoscaler.object.pitfall(scaling.UNRECORDED, metric.field, f"{metric.name}, which no rule records")
    yield from _from_zero(setup, autoscaler)


def _records(setup: Setup) -> set[str]:
    """Return the names of all recorded series, also of rules whose expression could not be read."""
    return {rule.record for each in rule_groups(setup.objects) for rule in each.group.rules if rule.record}


def _from_zero(setup: Setup, autoscaler: Autoscaler) -> Iterator[Pitfall]:
    triggers = [each for each in autoscaler.metrics if each.type == "Trigger"]
    if autoscaler.least == 0 and triggers and all(_is_of_replicas(setup, autoscaler, each) for each in triggers):
        value = "0 replicas, and every trigger reads series of the replicas"
        yield autoscaler.object.pitfall(scaling.ZERO_BLIND, "spec.triggers", value)
    if autoscaler.least > 0 and autoscaler.object.kind == "ScaledObject":
        for number, trigger in enumerate(autoscaler.object.fields.spec.triggers):
            if trigger.type == "prometheus" and trigger.metadata.get("ignoreNullValues", "true") != "false":
                field = f"spec.triggers[{number}].metadata.ignoreNullValues"
                given = trigger.metadata.get("ignoreNullValues", "not set, which means true")
                yield autoscaler.object.pitfall(scaling.NULL_AS_ZERO, field, given)


def _is_of_replicas(setup: Setup, autoscaler: Autoscaler, metric: Metric) -> bool:
    node = setup.node_of(autoscaler, metric)
    if node is None:
        return False
    recorded = {each.record for each in setup.rules}
    sources = [name for name in _all_series(setup, node) if name not in recorded]
    return bool(sources) and all(name.startswith(_OF_REPLICAS) for name in sources)
