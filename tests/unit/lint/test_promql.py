"""Reading of PromQL: trees of expressions, labels of results, and what is left unknown."""

import pytest

from loadgen.lint.promql.parse import duration_s, parse
from loadgen.lint.promql.tree import Aggregate, Binary, Call, Matcher, Number, Series, labels_of, series_in

LABELS = ("namespace", "pod", "model")


def test_a_quotient_of_sums() -> None:
    """Operators, aggregations, functions, matchers and ranges are all in the tree."""
    node = parse('sum by (pod) (rate(queue_us{model="a", job!~"b"}[1m30s])) / clamp_min(x, 1e-3)')
    queue = Series(name="queue_us", matchers=(Matcher("model", "=", "a"), Matcher("job", "!~", "b")), range_s=90.0)
    rate = Call(function="rate", arguments=(queue,))
    assert node == Binary(
        operator="/",
        left=Aggregate(operator="sum", labels=frozenset({"pod"}), without=False, arguments=(rate,)),
        right=Call(function="clamp_min", arguments=(Series(name="x"), Number(value=0.001))),
    )


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("a + b * c", "a + (b * c)"),
        ("a - b - c", "(a - b) - c"),
        ("a ^ b ^ c", "a ^ (b ^ c)"),
        ("a or b and c > d", "a or (b and (c > d))"),
        ("sum(x) by (a)", "sum by (a) (x)"),
        ("x[5m] offset 1h", "x[5m]"),
        ("x @ 1609746000 + y @ end()", "x + y"),
        ("x # a comment\n+ y", "x + y"),
        ('{__name__="x"}', 'x{__name__="x"}'),
        ("0x10 + .5e1", "16 + 5"),
        ("(((x)))", "x"),
        ("sum by (a, b,) (x)", "sum by (b, a) (x)"),
    ],
)
def test_two_ways_to_write_an_expression(text: str, same: str) -> None:
    """Precedence, the place of `by`, offsets, times, comments and brackets do not change what a rule reads."""
    assert parse(text) is not None
    assert parse(text) == parse(same)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("x", "namespace pod model"),
        ("rate(x[1m])", "namespace pod model"),
        ("sum(x)", ""),
        ("sum by (namespace, pod) (x)", "namespace pod"),
        ("sum without (model) (x)", "namespace pod"),
        ("sum without (model) (sum by (pod, model) (x))", "pod"),
        ("sum by (pod) (sum by (model) (x))", ""),
        ("topk by (pod) (3, x)", "namespace pod model"),
        ("a / b", "namespace pod model"),
        ("sum by (pod) (a) / 5", "pod"),
        ("5 * sum by (pod) (a)", "pod"),
        ("a / on (pod) b", "pod"),
        ("a / ignoring (model) b", "namespace pod"),
        ("sum by (pod) (a) * on (pod) group_right (model) b", "namespace pod model"),
        ("sum by (pod) (a) * on (pod) group_left (model) b", "pod"),
        ("sum by (pod) (a) or b", "pod"),
        ("vector(1)", ""),
        ("-sum by (pod) (x)", "pod"),
        ('label_replace(sum(x), "pod", "$1", "instance", "(.*)")', "namespace pod model"),
        ("max_over_time(sum by (pod) (x)[10m:1m])", "pod"),
    ],
)
def test_labels_of_a_result(text: str, labels: str) -> None:
    """Aggregations and matching decide which labels the series of a result have."""
    node = parse(text)
    assert node is not None
    assert [each for each in LABELS if labels_of(node).has(each)] == labels.split()


@pytest.mark.parametrize(
    "text",
    [
        "", "   ", "a b", "a +", "sum by pod (x)", "rate(x[$__rate_interval])", "rate(x[5])", "(x", "x)", "x{",
        "x{a=b}", 'x{a=="b"}', "[5m]", "{{ .Values.window }}", "(" * 100 + "x" + ")" * 100, "-" * 500 + "x",
        "x + " * 500 + "x",
        "x" * 30_000, "1m", 'x{a="b" c="d"}', "sum()",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_unknown(text: str) -> None:
    """There is no partial reading: None means that no rule says anything."""
    assert parse(text) is None


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("1m30s", 90), ("500ms", 0.5), ("1h", 3600), ("1d", 86400)])
def test_durations(text: str, seconds: float) -> None:
    """Durations of Prometheus have units and may be composed."""
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "1m x", "-5s", "0s", "9" * 200 + "s"])
def test_what_is_no_duration(text: str) -> None:
    """Anything else is unknown."""
    assert duration_s(text) is None


def test_series_of_an_expression() -> None:
    """Every selector is found, in the order of the text."""
    node = parse("(a > 0 or 0 * max by (pod) (b)) / on (pod) histogram_quantile(0.9, sum by (le) (rate(c[1m])))")
    assert node is not None
    assert [each.name for each in series_in(node)] == ["a", "b", "c"]
