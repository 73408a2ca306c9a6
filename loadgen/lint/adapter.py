"""Reads the rules of prometheus-adapter: from its own ConfigMap, or from one with values of its chart."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import Field, ValidationError

from loadgen.base.yaml_text import parse_yaml
from loadgen.kube.objects.fields.parts import Part
from loadgen.lint.objects import Object, Objects
from loadgen.lint.promql.parse import parse
from loadgen.lint.promql.tree import Node, Series

_MAX_PATTERN = 500
_NESTED = re.compile(r"\)[*+{]")
"""A repeated group: such a pattern may take for ever."""


class _Filter(Part):
    is_: str = Field(default="", alias="is")
    isNot: str = ""


class _Name(Part):
    matches: str = ""
    as_: str = Field(default="", alias="as")


class _Resource(Part):
    resource: str = ""


class _Resources(Part):
    template: str = ""
    overrides: dict[str, _Resource] = {}  # noqa: RUF012 - Pydantic copies defaults
    namespaced: bool = True


class _Rule(Part):
    seriesQuery: str
    seriesFilters: list[_Filter] = []  # noqa: RUF012 - Pydantic copies defaults
    resources: _Resources = _Resources()
    name: _Name = _Name()
    metricsQuery: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterRule:
    """A rule of the adapter.

    Attributes:
        object: The ConfigMap.
        field: Path of the rule.
        external: Whether it serves External metrics.
        selector: Its seriesQuery; None where that cannot be read.
        metrics_query: Its metricsQuery.
        resources: Resources that the labels of its series name; None where a template tells.
    """

    object: Object[Any]
    field: str
    external: bool
    selector: Series | None
    metrics_query: str
    resources: frozenset[str] | None
    filters: tuple[tuple[str, str], ...]
    name: tuple[str, str]

    def serves(self, metric: str, series: str) -> bool | None:
        """Whether it serves a series under the name of a metric; None where that cannot be told."""
        if self.selector is None:
            return None
        own = self.selector.name
        checks: list[bool | None] = [own == series] if own else []
        checks += [
            _matches(each.operator, each.value, series) for each in self.selector.matchers if each.label == "__name__"
        ]
        for is_, is_not in self.filters:
            checks += [_matches("=~*", is_, series)] if is_ else []
            checks += [_matches("!~*", is_not, series)] if is_not else []
        if False in checks:
            return False
        renamed = self._renamed(series)
        return None if None in checks or renamed is None else renamed == metric

    def query(self, series: str) -> Node | None:
        """Return its metricsQuery for a series; None where that cannot be read."""
        labels = 'namespace="x"' if self.external else 'namespace="x",pod=~"y"'
        text = self.metrics_query.replace("<<.Series>>", series).replace("<<.LabelMatchers>>", labels)
        return parse(text.replace("<<.GroupBy>>", "namespace" if self.external else "namespace,pod"))

    def _renamed(self, series: str) -> str | None:
        matches, as_ = self.name
        if not matches and not as_:
            return series
        pattern = _pattern(matches or ".*")
        found = None if pattern is None else pattern.search(series)
        if found is None:
            return None
        if not as_:
            return found[1] if found.re.groups == 1 else found[0]
        try:
            return re.sub(r"\$\{?([0-9])\}?", lambda group: found[int(group[1])] or "", as_)
        except IndexError:
            return None


def adapter_rules(objects: Objects) -> Iterator[AdapterRule]:
    """Yield the rules of the adapter in the ConfigMaps of an input."""
    for config in objects.of("ConfigMap"):
        for key, text in config.fields.data.items():
            if "seriesQuery" in text:
                for path, external, rule in _rules(text):
                    yield _rule_of(config, f"data[{key}].{path}", rule, external=external)


def _rules(text: str) -> Iterator[tuple[str, bool, _Rule]]:
    try:
        document = parse_yaml(text)
    except ValueError:
        return
    if not isinstance(document, dict):
        return
    yield from _rules_of(document)
    for key, part in document.items():  # values of a chart that contains the adapter's
        if isinstance(part, dict) and key != "rules":
            yield from ((f"{key}.{path}", external, rule) for path, external, rule in _rules_of(part))


def _rules_of(document: dict[str, Any]) -> Iterator[tuple[str, bool, _Rule]]:
    rules = document.get("rules")
    of_chart = rules if isinstance(rules, dict) else {}
    lists = [
        ("rules", False, rules),
        ("rules.custom", False, of_chart.get("custom")),
        ("rules.external", True, of_chart.get("external")),
        ("externalRules", True, document.get("externalRules")),
    ]
    for path, external, each in lists:
        for number, rule in enumerate(each if isinstance(each, list) else ()):
            try:
                yield f"{path}[{number}]", external, _Rule.model_validate(rule)
            except ValidationError:
                continue


def _rule_of(config: Object[Any], field: str, rule: _Rule, *, external: bool) -> AdapterRule:
    selector = parse(rule.seriesQuery)
    resources = {each.resource for each in rule.resources.overrides.values()}
    return AdapterRule(
        object=config,
        field=field,
        external=external,
        selector=selector if isinstance(selector, Series) else None,
        metrics_query=rule.metricsQuery,
        resources=None if rule.resources.template else frozenset(resources),
        filters=tuple((each.is_, each.isNot) for each in rule.seriesFilters),
        name=(rule.name.matches, rule.name.as_),
    )


def _matches(operator: str, pattern: str, name: str) -> bool | None:
    """Whether a name passes a matcher; with `*` a match of a part is enough, as in the adapter's filters."""
    if operator in ("=", "!="):
        return (pattern == name) == (operator == "=")
    compiled = _pattern(pattern)
    if compiled is None:
        return None
    found = compiled.search(name) if operator.endswith("*") else compiled.fullmatch(name)
    return (found is not None) == operator.startswith("=")


def _pattern(text: str) -> re.Pattern[str] | None:
    if len(text) > _MAX_PATTERN or _NESTED.search(text):
        return None
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError):
        return None
