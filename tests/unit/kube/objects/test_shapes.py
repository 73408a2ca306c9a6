"""Objects of the Kubernetes API with a field of another type are refused in one sentence; null means missing."""

from typing import Any

import pytest

from loadgen.base.errors import StackError
from loadgen.kube.objects.shapes import checked, source_of

META = {"name": "a", "namespace": "n", "uid": "u"}
TEMPLATE = {"spec": {"containers": [{"name": "triton"}]}}


@pytest.mark.parametrize(
    ("kind", "content", "where"),
    [
        ("pods", None, "its top"),
        ("pods", {"metadata": None}, "metadata"),
        ("pods", {"metadata": {**META, "creationTimestamp": "yesterday"}}, "metadata.creationTimestamp"),
        ("pods", {"metadata": {**META, "deletionTimestamp": "2026-11-30T10:00:00"}}, "metadata.deletionTimestamp"),
        ("pods", {"metadata": META, "status": {"conditions": [{"status": "True"}]}}, "status.conditions.0.type"),
        (
            "pods",
            {"metadata": META, "status": {"containerStatuses": [{"name": "a", "state": 1}]}},
            "containerStatuses.0",
        ),
        ("deployments", {"metadata": META, "spec": {}}, "spec.selector"),
        (
            "deployments",
            {"metadata": META, "spec": {"selector": {}, "template": {"spec": {"containers": []}}}},
            "containers",
        ),
        (
            "deployments",
            {"metadata": META, "spec": {"replicas": 1e999, "selector": {}, "template": TEMPLATE}},
            "replicas",
        ),
        ("nodes", {"metadata": META, "status": {"addresses": [{"type": "InternalIP"}]}}, "addresses.0.address"),
        ("horizontalpodautoscalers", {"metadata": META, "spec": {"maxReplicas": 3}}, "spec.scaleTargetRef"),
        ("services", {"metadata": {"name": "a"}, "spec": {}}, "metadata.namespace"),
        ("services", {"metadata": META, "spec": {"ports": [{"port": 10**400}]}}, "spec.ports.0.port"),
    ],
)
def test_another_type_is_refused(kind: str, content: Any, where: str) -> None:
    """The sentence names kind, object and field."""
    with pytest.raises(StackError, match=f"an invalid object .{kind}.*{where}") as raised:
        checked(kind, content)
    assert len(str(raised.value).splitlines()) == 1


def test_deep_nesting_is_refused() -> None:
    """An object that the decoder can read, and nothing after it, is refused as well."""
    content: Any = META
    for _ in range(2000):
        content = [content]
    with pytest.raises(StackError, match="nested too deeply"):
        checked("pods", {"metadata": META, "annotations": content})


def test_null_is_missing() -> None:
    """An aggregated API or a CRD may write null for an empty list."""
    pod = {"metadata": {**META, "labels": None}, "status": {"conditions": None, "phase": "Running"}}
    assert checked("pods", pod) == {"metadata": META, "status": {"phase": "Running"}}


@pytest.mark.parametrize("kind", ["", "type", "Type", "metadata", None])
def test_a_metric_of_an_unknown_type_has_no_source(kind: str | None) -> None:
    """The type is no name of a field."""
    assert source_of({"type": kind, "metadata": 1}) == {}
