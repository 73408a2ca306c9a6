"""Reads the groups of recording rules: from PrometheusRules, and from rule files in ConfigMaps."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import ValidationError

from loadgen.base.yaml_text import parse_yaml
from loadgen.kube.objects.fields.monitoring import RuleGroup
from loadgen.lint.objects import Object, Objects


class PlacedGroup(NamedTuple):
    """A group of rules: its object, its path in it, and its fields."""

    object: Object[Any]
    path: str
    group: RuleGroup


def rule_groups(objects: Objects) -> Iterator[PlacedGroup]:
    """Yield the groups of an input; a ConfigMap holds rule files as Prometheus without an operator loads them."""
    for rule in objects.of("PrometheusRule"):
        for number, group in enumerate(rule.fields.spec.groups):
            yield PlacedGroup(rule, f"spec.groups[{number}]", group)
    for config in objects.of("ConfigMap"):
        for key, text in config.fields.data.items():
            if "record" in text and "groups" in text:
                for number, found in _groups(text):
                    yield PlacedGroup(config, f"data[{key}].groups[{number}]", found)


def _groups(text: str) -> Iterator[tuple[int, RuleGroup]]:
    try:
        document = parse_yaml(text)
    except ValueError:
        return
    groups = document.get("groups") if isinstance(document, dict) else None
    for number, each in enumerate(groups if isinstance(groups, list) else ()):
        try:
            yield number, RuleGroup.model_validate(each)
        except ValidationError:
            continue
