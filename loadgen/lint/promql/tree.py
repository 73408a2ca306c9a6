"""The tree of a PromQL expression, and which labels its result may have."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

LEVELS = ({"or"}, {"and", "unless"}, {"==", "!=", ">", "<", ">=", "<="}, {"+", "-"}, {"*", "/", "%", "atan2"}, {"^"})
"""Operators by how tightly they bind, the loosest first."""

COMPARISONS = LEVELS[2]
"""Without `bool` they drop the samples for which they are false."""


class Matcher(NamedTuple):
    """A label matcher of a selector."""

    label: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number; one of NaN for a text, which no rule reads."""

    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A selector; `range_s` is the length of a range vector, None for an instant vector."""

    name: str
    matchers: tuple[Matcher, ...] = ()
    range_s: float | None = None

    def __str__(self) -> str:
        return self.name or "a selector without a name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call of a function; a sign before an expression is the function `-`, and a subquery the function `[]`."""

    function: str
    arguments: tuple["Node", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """An aggregation; without `by` and `without` it has no labels and `without` is false."""

    operator: str
    labels: frozenset[str]
    without: bool
    arguments: tuple["Node", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary:
    """An operator between two expressions; `on` is None without a list of labels to match on."""

    operator: str
    left: "Node"
    right: "Node"
    is_bool: bool = False
    on: frozenset[str] | None = None
    ignoring: frozenset[str] = frozenset()
    group: str = ""


Node = Number | Series | Call | Aggregate | Binary


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """The labels that the series of an expression may have: those named, or all but those named."""

    names: frozenset[str]
    all_but: bool = False

    def has(self, label: str) -> bool:
        """Whether a series may have the label."""
        return (label in self.names) != self.all_but


def children(node: Node) -> Sequence[Node]:
    """Return the parts of an expression."""
    match node:
        case Call() | Aggregate():
            return node.arguments
        case Binary():
            return node.left, node.right
    return ()


def walk(node: Node, above: tuple[Node, ...] = ()) -> Iterator[tuple[Node, tuple[Node, ...]]]:
    """Yield every part of an expression with the parts around it, the innermost last."""
    yield node, above
    for each in children(node):
        yield from walk(each, (*above, node))


def series_in(node: Node) -> list[Series]:
    """Return the selectors of an expression."""
    return [each for each, _ in walk(node) if isinstance(each, Series)]


def labels_of(node: Node) -> Labels:
    """Return the labels that the result of an expression may have."""
    match node:
        case Aggregate(operator="topk" | "bottomk" | "limitk"):
            return labels_of(node.arguments[-1])
        case Aggregate():
            inner = labels_of(node.arguments[-1])
            if node.without:
                names = inner.names | node.labels if inner.all_but else inner.names - node.labels
                return Labels(names=names, all_but=inner.all_but)
            return Labels(names=frozenset(each for each in node.labels if inner.has(each)))
        case Binary() if is_scalar(node.left):
            return labels_of(node.right)
        case Binary():
            many = node.right if node.group == "right" else node.left
            labels = labels_of(many)
            if node.operator in LEVELS[0] | LEVELS[1] or node.group or is_scalar(node.right):
                return labels
            if node.on is not None:
                return Labels(names=frozenset(each for each in node.on if labels.has(each)))
            names = labels.names | node.ignoring if labels.all_but else labels.names - node.ignoring
            return Labels(names=names, all_but=labels.all_but)
        case Call(function="vector" | "time" | "scalar" | "pi"):
            return Labels(names=frozenset())
        case Call(function="label_replace" | "label_join") | Series():
            return Labels(names=frozenset(), all_but=True)
        case Call() if vectors := [each for each in node.arguments if not is_scalar(each)]:
            return labels_of(vectors[0])
    return Labels(names=frozenset())


def is_scalar(node: Node) -> bool:
    """Whether the result of an expression is one number without labels."""
    match node:
        case Number():
            return True
        case Call():
            return node.function in ("scalar", "time", "pi") or (
                node.function == "-" and all(map(is_scalar, node.arguments))
            )
        case Binary():
            return is_scalar(node.left) and is_scalar(node.right)
    return False
