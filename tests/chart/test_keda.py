"""How KEDA logs in to Prometheus: by a reference, headers, and nothing secret in the manifests."""

from typing import Any

from support.charts.cases import TRITON_CASES
from support.charts.helm import objects
from support.charts.leaves import KEDA


def triggers(values: Any) -> list[dict[str, Any]]:
    spec = objects(values)["ScaledObject", "demo-triton-trtllm"]["spec"]
    return list(spec["triggers"])


def test_every_trigger_logs_in() -> None:
    """Reference, modes and headers are on each, also on the one that wakes the fleet."""
    found = triggers(TRITON_CASES["emulated-keda-from-zero"])
    assert {each["name"] for each in found} == {"ratio", "busy", "activation"}
    for each in found:
        assert each["authenticationRef"] == {"name": "prometheus", "kind": "ClusterTriggerAuthentication"}
        assert each["metadata"]["authModes"] == "bearer,tls"
        assert each["metadata"]["customHeaders"] == "X-Scope-OrgID=team-a,X-Source=keda"


def test_an_open_prometheus_needs_nothing() -> None:
    """Without the values the fields are not there."""
    for each in triggers(KEDA):
        assert "authenticationRef" not in each
        assert not {"authModes", "customHeaders"} & each["metadata"].keys()
