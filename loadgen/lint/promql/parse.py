"""Reads a PromQL expression as far as the rules need it: series, ranges, functions, aggregations and operators.

An expression that this grammar does not cover, such as one with a variable of Grafana, is unknown: `parse` returns
None, and nothing is said about it.
"""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from loadgen.lint.promql.tree import LEVELS, Aggregate, Binary, Call, Matcher, Node, Number, Series

_MAX_CHARACTERS = 20_000
_MAX_DEPTH = 60
_MAX_OPERATORS = 200
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}
_DURATION = re.compile(r"(?:[0-9]+(?:ms|[smhdwy]))+")
_TOKEN = re.compile(
    r"\s+|#[^\n]*|(?P<duration>(?:[0-9]+(?:ms|[smhdwy]))+)(?![0-9a-zA-Z_])"
    r"|(?P<number>0x[0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r'|(?P<text>"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`)'
    r"|(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)|(?P<range>\[[^\]]*\])|(?P<sign>==|!=|=~|!~|>=|<=|[-+*/%^(){},=<>@])"
)
_AGGREGATORS = {
    "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "topk", "bottomk", "limitk", "quantile",
    "count_values",
}  # fmt: skip
_CONSTANTS = {"inf": math.inf, "nan": math.nan}


def parse(text: str) -> Node | None:
    """Return the tree of an expression; None if it is empty, too long or beyond this grammar."""
    if len(text) > _MAX_CHARACTERS:
        return None
    try:
        reader = _Reader(_tokens(text))
        node = reader.expression(0, 0)
    except (_UnknownError, ValueError, OverflowError, RecursionError):
        return None
    return node if reader.at_end else None


def duration_s(text: str) -> float | None:
    """Return a duration of Prometheus, such as `1m30s`, in seconds; None if it is not one."""
    if not _DURATION.fullmatch(text) or len(text) > 100:
        return None
    total = math.fsum(float(number) * _UNITS_S[unit] for number, unit in re.findall(r"([0-9]+)(ms|[smhdwy])", text))
    return total if total > 0 else None


class _UnknownError(Exception):
    """The expression is beyond this grammar."""


class _Token(NamedTuple):
    kind: str
    text: str


def _tokens(text: str) -> list[_Token]:
    tokens, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.end() == at:
            raise _UnknownError
        if match.lastgroup:
            tokens.append(_Token(match.lastgroup, match[0]))
        at = match.end()
    return tokens


class _Reader:
    """Reads tokens by recursive descent."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = [*tokens, _Token("end", "")]
        self._at = 0
        self._operators = 0

    @property
    def at_end(self) -> bool:
        return self._tokens[self._at].kind == "end"

    def _take(self, *texts: str) -> bool:
        """Step over the next token if it is one of these signs or words."""
        token = self._tokens[self._at]
        if token.kind not in ("sign", "name") or token.text.lower() not in texts:
            return False
        self._at += 1
        return True

    def _need(self, kind: str) -> str:
        token = self._tokens[self._at]
        if token.kind != kind:
            raise _UnknownError
        self._at += 1
        return token.text

    def _need_sign(self, sign: str) -> None:
        if not self._take(sign):
            raise _UnknownError

    def expression(self, level: int, depth: int) -> Node:
        """Read an expression whose operators bind at least as tightly as those of a level."""
        if depth > _MAX_DEPTH:
            raise _UnknownError
        if level == len(LEVELS):
            return self._unary(depth)
        node = self.expression(level + 1, depth)
        while self._take(*LEVELS[level]):
            operator = self._tokens[self._at - 1].text.lower()
            self._operators += 1
            if self._operators > _MAX_OPERATORS:
                raise _UnknownError
            is_bool = self._take("bool")
            on, ignoring, group = self._matching()
            # `^` binds to the right
            right = self.expression(level if operator == "^" else level + 1, depth + (operator == "^"))
            node = Binary(
                operator=operator, left=node, right=right, is_bool=is_bool, on=on, ignoring=ignoring, group=group
            )
        return node

    def _matching(self) -> tuple[frozenset[str] | None, frozenset[str], str]:
        on, ignoring, group = None, frozenset[str](), ""
        if self._take("on"):
            on = self._labels()
        elif self._take("ignoring"):
            ignoring = self._labels()
        for side in ("left", "right"):
            if self._take(f"group_{side}"):
                group = side
                if self._tokens[self._at].text == "(":
                    self._labels()
        return on, ignoring, group

    def _unary(self, depth: int) -> Node:
        if self._take("-"):
            inner = self.expression(len(LEVELS) - 1, depth + 1)
            if isinstance(inner, Number):
                return Number(value=-inner.value)
            return Call(function="-", arguments=(inner,))
        if self._take("+"):
            return self.expression(len(LEVELS) - 1, depth + 1)
        return self._modified(self._primary(depth))

    def _modified(self, node: Node) -> Node:
        """Read what may follow an expression: a range, a subquery, an offset, a time."""
        while True:
            token = self._tokens[self._at]
            if token.kind == "range":
                self._at += 1
                span = token.text[1:-1].strip()
                if ":" in span:
                    node = Call(function="[]", arguments=(node,))
                    continue
                range_s = duration_s(span)
                if range_s is None or not isinstance(node, Series):
                    raise _UnknownError
                node = Series(name=node.name, matchers=node.matchers, range_s=range_s)
            elif self._take("offset"):
                self._take("-")
                self._need("duration")
            elif self._take("@"):
                if not self._take("start", "end"):
                    self._need("number")
                    continue
                self._need_sign("(")
                self._need_sign(")")
            else:
                return node

    def _primary(self, depth: int) -> Node:
        token = self._tokens[self._at]
        if token.kind == "number":
            self._at += 1
            return Number(value=float(int(token.text, 16)) if token.text.startswith("0x") else float(token.text))
        if token.kind == "text":
            self._at += 1
            return Number(value=math.nan)
        if self._take("("):
            node = self.expression(0, depth + 1)
            self._need_sign(")")
            return node
        if token.text == "{":
            return self._selector("")
        name = self._need("name")
        following = self._tokens[self._at].text
        if name.lower() in _AGGREGATORS and following.lower() in ("(", "by", "without"):
            return self._aggregate(name.lower(), depth)
        if following == "(":
            return Call(function=name, arguments=self._arguments(depth))
        if name.lower() in _CONSTANTS:
            return Number(value=_CONSTANTS[name.lower()])
        return self._selector(name)

    def _aggregate(self, operator: str, depth: int) -> Node:
        labels, without = self._grouping() or (frozenset[str](), False)
        arguments = self._arguments(depth)
        labels, without = self._grouping() or (labels, without)
        if not arguments:
            raise _UnknownError
        return Aggregate(operator=operator, labels=labels, without=without, arguments=arguments)

    def _grouping(self) -> tuple[frozenset[str], bool] | None:
        if self._take("by"):
            return self._labels(), False
        return (self._labels(), True) if self._take("without") else None

    def _labels(self) -> frozenset[str]:
        self._need_sign("(")
        names = set()
        while not self._take(")"):
            names.add(self._need("name"))
            if not self._take(","):
                self._need_sign(")")
                break
        return frozenset(names)

    def _arguments(self, depth: int) -> tuple[Node, ...]:
        self._need_sign("(")
        arguments: list[Node] = []
        while not self._take(")"):
            arguments.append(self.expression(0, depth + 1))
            if not self._take(","):
                self._need_sign(")")
                break
        return tuple(arguments)

    def _selector(self, name: str) -> Series:
        matchers: list[Matcher] = []
        if self._take("{"):
            while not self._take("}"):
                label = self._need("name")
                operator = self._need("sign")
                if operator not in ("=", "!=", "=~", "!~"):
                    raise _UnknownError
                matchers.append(Matcher(label, operator, self._need("text")[1:-1]))
                if not self._take(","):
                    self._need_sign("}")
                    break
        named = [each.value for each in matchers if each.label == "__name__" and each.operator == "="]
        return Series(name=name or next(iter(named), ""), matchers=tuple(matchers))
