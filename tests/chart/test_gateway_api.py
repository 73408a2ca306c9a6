"""Routes stay within the oldest supported version of the Gateway API, 1.2; the newest is in tests/kube/chart."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import support.charts
from support.charts.helm import objects
from support.charts.leaves import GATEWAY, merged

OLDEST: dict[str, Any] = yaml.safe_load((Path(support.charts.__file__).parent / "gateway-api-1.2.yaml").read_text())
BOTH = merged(GATEWAY, {"ingress": {"gateway": {"httpHost": "http.llm.example.com", "sectionName": "https"}}})


def violations(value: Any, schema: Mapping[str, Any], path: str = "spec") -> Iterator[str]:
    """What a structural schema says against a value: unknown and missing fields, too many items, other strings."""
    if isinstance(value, Mapping):
        known = schema.get("properties", {})
        yield from (f"{path}.{name}: unknown" for name in value if name not in known)
        yield from (f"{path}.{name}: missing" for name in schema.get("required", ()) if name not in value)
        for name in value.keys() & known.keys():
            yield from violations(value[name], known[name], f"{path}.{name}")
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{path}: {len(value)} items"
        for number, each in enumerate(value):
            yield from violations(each, schema["items"], f"{path}[{number}]")
    elif isinstance(value, str):
        if value not in schema.get("enum", [value]) or len(value) > schema.get("maxLength", len(value)):
            yield f"{path}: {value}"
        if not re.search(schema.get("pattern", ""), value):
            yield f"{path}: {value}"


@pytest.mark.parametrize("host", ["llm.example.com", "*.example.com"])
def test_routes_are_valid_in_the_oldest_version(host: str) -> None:
    """No unknown field, and at most eight matches a rule."""
    found = objects(merged(BOTH, {"ingress": {"host": host}}))
    for kind, schema in OLDEST.items():
        spec = found[kind, "demo-triton-trtllm"]["spec"]
        assert list(violations(spec, schema)) == []


def test_the_check_finds_what_that_version_refuses() -> None:
    """Nine matches in one rule, a field of a later version, a value that is not allowed."""
    spec = {"rules": [{"matches": [{"method": {"type": "exact"}}] * 9, "retry": {}}], "hostnames": ["*"]}
    found = list(violations(spec, OLDEST["GRPCRoute"]))
    assert "spec.rules[0].matches: 9 items" in found
    assert "spec.rules[0].retry: unknown" in found
    assert "spec.rules[0].matches[0].method.type: exact" in found
    assert "spec.hostnames[0]: *" in found


def test_the_rules_together_have_every_method() -> None:
    """Methods are spread over rules with the same backend."""
    rules = objects(BOTH)["GRPCRoute", "demo-triton-trtllm"]["spec"]["rules"]
    methods = [match["method"]["method"] for rule in rules for match in rule["matches"]]
    assert len(methods) == len(set(methods)) == 10
    assert {"ModelStreamInfer", "RepositoryIndex", "ServerReady"} <= set(methods)
    assert {str(rule["backendRefs"]) for rule in rules} == {str(rules[0]["backendRefs"])}
