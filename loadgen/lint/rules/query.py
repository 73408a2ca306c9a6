"""Rules for expressions, wherever they are: in recording rules, in rules of the adapter, and in triggers of KEDA."""

import re
from collections.abc import Iterator

from loadgen.lint.codes import signal
from loadgen.lint.pitfall import Pitfall, PitfallCode
from loadgen.lint.promql.parse import parse
from loadgen.lint.promql.tree import (
    COMPARISONS,
    Aggregate,
    Binary,
    Call,
    Matcher,
    Node,
    Number,
    Series,
    is_scalar,
    labels_of,
    series_in,
    walk,
)
from loadgen.lint.setup import TRITON_SERIES, Query, Setup

_RATES = ("rate", "irate", "increase", "delta", "idelta")
_COUNTERS = re.compile(
    r"nv_inference_(request_success|request_failure|count|exec_count|request_duration_us|queue_duration_us"
    r"|compute_(input|infer|output)_duration_us)|llmapi_(queue|compute)_duration_us"
)
_GAUGES = re.compile(
    r"nv_inference_pending_request_count|nv_gpu_utilization|nv_gpu_memory_\w+|nv_gpu_power_usage|llmapi_requests"
    r"|nv_trt_llm_(request|runtime_memory|kv_cache_block|inflight_batcher|v1|general)_metrics"
)
_COUNTS = re.compile(r"\w*(request_success|request_failure|inference_count|exec_count|_count|_total)")
_OF_EACH_MODEL = "nv_inference_"
_BLIND_MODELS = {"tensorrt_llm", "ensemble"}
_PLAIN_NAMES = re.compile(r"[\w|-]*")
_MIN_SAMPLES, _GOOD_SAMPLES = 2, 4
_LONG_S = 120.0
_MAX_FLOOR_PER_S = 0.01
_MAX_FLOOR_US_PER_S = 10_000.0

Found = Iterator[tuple[PitfallCode, str]]


def check(setup: Setup) -> Iterator[Pitfall]:
    """Yield the pitfalls of every query over the servers' series."""
    for query in _queries(setup):
        for declared, value in _pitfalls(query.node, setup.scrape_interval_s):
            named = f"{value} (rule {query.record})" if query.record else value
            yield query.object.pitfall(declared, query.field, named, severity=None if query.is_read else "warning")


def _queries(setup: Setup) -> Iterator[Query]:
    yield from setup.rules
    for rule in setup.adapter:
        if "<<.Series>>" not in rule.metrics_query or rule.selector is None:
            node = rule.query("")
        else:
            names = {rule.selector.name, *(metric.name for each in setup.autoscalers for metric in each.metrics)}
            names = {name for name in names if name.startswith(TRITON_SERIES) and rule.serves(name, name) is not False}
            node = rule.query(min(names)) if names else None
        if node is not None:
            is_read = any(setup.series_of(metric, rule) for each in setup.autoscalers for metric in each.metrics)
            yield Query(object=rule.object, field=f"{rule.field}.metricsQuery", node=node, is_read=is_read)
    for autoscaler in setup.autoscalers:
        for metric in autoscaler.metrics:
            node = parse(metric.query) if metric.query else None
            if node is not None:
                yield Query(object=autoscaler.object, field=f"{metric.field}.metadata.query", node=node)


def _pitfalls(node: Node, scrape_interval_s: float | None) -> Found:
    """Yield the pitfalls of an expression, each code once."""
    found: dict[str, tuple[PitfallCode, str]] = {}
    for declared, value in (
        *_windows(node, scrape_interval_s),
        *_models(node),
        *_divisions(node),
        *_functions(node),
    ):
        found.setdefault(declared.code, (declared, value))
    yield from found.values()


def _windows(node: Node, scrape_interval_s: float | None) -> Found:
    for series in series_in(node):
        if series.range_s is None or not series.name.startswith(TRITON_SERIES):
            continue
        window = f"[{series.range_s:g}s] of {series.name}"
        if scrape_interval_s is not None:
            samples = series.range_s / scrape_interval_s
            scraped = f"{window}, scraped every {scrape_interval_s:g} s"
            if samples < _MIN_SAMPLES:
                yield signal.WINDOW_EMPTY, scraped
            elif samples < _GOOD_SAMPLES:
                yield signal.WINDOW_SHORT, scraped
        if series.range_s > _LONG_S:
            yield signal.WINDOW_LONG, window


def _models(node: Node) -> Found:
    for each, above in walk(node):
        if not isinstance(each, Series) or not each.name.startswith(_OF_EACH_MODEL):
            continue
        models = [matcher for matcher in each.matchers if matcher.label == "model" and matcher.operator in ("=", "=~")]
        if each.name == "nv_inference_queue_duration_us" and models and _selected(models[0]) <= _BLIND_MODELS:
            yield signal.ENGINE_QUEUE, f'model{models[0].operator}"{models[0].value}"'
        if models:
            continue
        if mean := _mean_over_models(each, above):
            yield signal.MEAN_OF_RATIOS, f"{mean.operator} of a quotient with a series for each model"
        elif labels_of(node).has("model"):
            yield signal.PER_MODEL, f"{each.name} of every model, not aggregated"
        elif any(isinstance(around, Aggregate) for around in above):
            yield signal.ALL_MODELS, f"{each.name} of every model"


def _selected(matcher: Matcher) -> set[str]:
    """Return the models that a matcher selects; a name that is none where that cannot be told."""
    if matcher.operator == "=~" and not _PLAIN_NAMES.fullmatch(matcher.value):
        return {""}
    return set(matcher.value.split("|")) if matcher.operator == "=~" else {matcher.value}


def _mean_over_models(series: Series, above: tuple[Node, ...]) -> Aggregate | None:
    """Return the mean that takes a quotient of each model together; None if a sum comes first."""
    divided = False
    for each in reversed(above):
        if isinstance(each, Aggregate):
            return each if divided and each.operator == "avg" else None
        divided = divided or (isinstance(each, Binary) and each.operator == "/" and not is_scalar(each.right))
    return None


def _divisions(node: Node) -> Found:
    for each, above in walk(node):
        if isinstance(each, Call) and each.function == "histogram_quantile" and _is_undefined(each, above):
            yield signal.UNDEFINED_WHEN_IDLE, "histogram_quantile() without a value for an idle replica"
        if not isinstance(each, Binary) or each.operator != "/" or is_scalar(each.right):
            continue
        if (floor := _floor(each.right)) is not None:
            yield signal.FLOOR, floor
        if not _has_rate(each.right):
            continue
        if _filters(each.right):
            if not _is_completed(each, above):
                yield signal.ABSENT_WHEN_IDLE, "a divisor that a comparison drops"
        elif not _is_guarded(each.right):
            if _is_undefined(each, above):
                yield signal.UNDEFINED_WHEN_IDLE, "a divisor that is 0 without requests"
            elif not _is_completed(each, above):
                yield signal.ABSENT_WHEN_IDLE, "a quotient that a comparison drops when it is NaN"


def _has_rate(node: Node) -> bool:
    return any(isinstance(each, Call) and each.function in _RATES for each, _ in walk(node))


def _is_guarded(divisor: Node) -> bool:
    """Whether a divisor is above 0 without requests: by a floor, a constant that is added, or an alternative."""
    match divisor:
        case Call(function="clamp_min", arguments=(_, Number(value=floor))):
            return floor > 0
        case Call(function="clamp", arguments=(_, Number(value=floor), _)):
            return floor > 0
        case Binary(operator="+"):
            return any(isinstance(each, Number) and each.value > 0 for each in (divisor.left, divisor.right)) or (
                _is_guarded(divisor.left) or _is_guarded(divisor.right)
            )
        case Binary(operator="or"):
            return True
        case Binary(operator="*" | "/"):
            return all(isinstance(each, Number) or _is_guarded(each) for each in (divisor.left, divisor.right))
    return False


def _filters(node: Node) -> bool:
    """Whether an expression drops samples by a comparison."""
    return isinstance(node, Binary) and (
        (node.operator in COMPARISONS and not node.is_bool)
        or node.operator == "and"
        or (node.operator in "+-*/" and (_filters(node.left) or _filters(node.right)))
    )


def _is_undefined(node: Node, above: tuple[Node, ...]) -> bool:
    """Whether a NaN of an expression reaches the result: no comparison drops it, and nothing replaces it."""
    return not any(isinstance(each, Binary) and (_filters(each) or each.operator == "or") for each in above)


def _is_completed(node: Node, above: tuple[Node, ...]) -> bool:
    """Whether something replaces the samples that an expression lacks."""
    inner = node
    for each in reversed(above):
        if isinstance(each, Binary) and each.operator == "or" and each.left is inner:
            return True
        inner = each
    return False


def _floor(divisor: Node) -> str | None:
    """Return the floor of a divisor that is too high for real rates, in words; None if it has none."""
    match divisor:
        case Call(function="clamp_min", arguments=(inner, Number(value=floor))):
            shown = f"clamp_min(…, {floor:g})"
        case Binary(operator="+", left=Number(value=floor), right=inner):
            shown = f"{floor:g} + …"
        case Binary(operator="+", left=inner, right=Number(value=floor)):
            shown = f"… + {floor:g}"
        case _:
            return None
    if not _has_rate(inner):
        return None
    names = [series.name for series in series_in(inner)]
    if any(_COUNTS.fullmatch(name) for name in names) and floor > _MAX_FLOOR_PER_S:
        return f"{shown} of requests per second"
    if any(name.endswith("_us") for name in names) and floor > _MAX_FLOOR_US_PER_S:
        return f"{shown} of microseconds per second"
    return None


def _functions(node: Node) -> Found:
    for each, above in walk(node):
        if not isinstance(each, Series):
            continue
        function = next((around.function for around in reversed(above) if isinstance(around, Call)), "")
        if each.range_s is not None and function in ("rate", "irate", "increase") and _GAUGES.fullmatch(each.name):
            yield signal.RATE_OF_GAUGE, f"{function}({each.name})"
        is_counted = any(
            (isinstance(around, Aggregate) and around.operator in ("count", "group"))
            or (isinstance(around, Call) and around.function in ("absent", "timestamp", "[]"))
            for around in above
        )
        if each.range_s is None and _COUNTERS.fullmatch(each.name) and not is_counted:
            yield signal.COUNTER_WITHOUT_RATE, each.name
