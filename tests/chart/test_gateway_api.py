"""Routes stay within the oldest supported version of the Gateway API, 1.2; the newest is in tests/kube/chart."""

import pytest

from support.charts.helm import objects
from support.charts.leaves import GATEWAY, merged
from support.charts.structural import schemas, violations

OLDEST = schemas("gateway-api-1.2")
BOTH = merged(GATEWAY, {"ingress": {"gateway": {"httpHost": "http.llm.example.com", "sectionName": "https"}}})


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
