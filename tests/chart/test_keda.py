"""The ScaledObject: how KEDA logs in to Prometheus, what it does without it, scale to zero, the user's own triggers."""

from typing import Any

import pytest

from support.charts.cases import TRITON_CASES
from support.charts.helm import objects, rejection
from support.charts.leaves import EMULATED, KEDA, merged
from support.charts.structural import schemas, violations

OLDEST = schemas("keda-2.18")["ScaledObject"]
SCALED = [name for name, values in TRITON_CASES.items() if values.get("autoscaling", {}).get("kind") == "keda"]
OFFICE_HOURS: dict[str, Any] = {"type": "cron", "metadata": {"start": "0 8 * * *", "end": "0 18 * * *"}}
CPU: dict[str, Any] = {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "80"}}
NO_METRICS = {name: {"enabled": False} for name in ("ratio", "busy")}


def spec_of(values: Any) -> dict[str, Any]:
    spec: dict[str, Any] = objects(values)["ScaledObject", "demo-triton-trtllm"]["spec"]
    return spec


def triggers(values: Any) -> list[dict[str, Any]]:
    return list(spec_of(values)["triggers"])


def autoscaling(keda: Any, **values: Any) -> dict[str, Any]:
    return merged(KEDA, {"autoscaling": {**values, "keda": keda}})


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


@pytest.mark.parametrize("name", SCALED)
def test_scaled_objects_are_valid_in_the_oldest_version(name: str) -> None:
    """No field and no behavior that KEDA 2.18 does not know; the newest version is in tests/kube/chart."""
    assert list(violations(spec_of(TRITON_CASES[name]), OLDEST)) == []


def test_the_check_finds_what_that_version_refuses() -> None:
    """A behavior of 2.20, a fallback without a number, metadata that are no strings, a field that does not exist."""
    spec = {
        "fallback": {"replicas": 2, "behavior": "scalingModifiers"},
        "triggers": [{"type": "cron", "metadata": {"desiredReplicas": 3}, "weight": 1}],
    }
    assert set(violations(spec, OLDEST)) == {
        "spec.scaleTargetRef: missing",
        "spec.fallback.failureThreshold: missing",
        "spec.fallback.behavior: scalingModifiers",
        "spec.triggers[0].metadata.desiredReplicas: 3 is not a string",
        "spec.triggers[0].weight: unknown",
    }


def test_the_defaults_have_no_fallback_and_no_idle_replicas() -> None:
    """The fields are not there, so the HPA keeps the replicas while Prometheus is down."""
    assert not {"fallback", "idleReplicaCount"} & spec_of(KEDA).keys()


def test_a_value_is_unset_by_null() -> None:
    """As values of an umbrella chart do it."""
    null = dict.fromkeys(("fallback", "idleReplicaCount", "triggers"))
    assert spec_of(autoscaling(null)) == spec_of(KEDA)


def test_a_fallback_has_all_its_fields() -> None:
    """KEDA requires the threshold beside the replicas; a series that is missing counts as a failure."""
    spec = spec_of(autoscaling({"fallback": {"replicas": 2}}))
    assert spec["fallback"] == {"replicas": 2, "failureThreshold": 3, "behavior": "static"}
    assert {each["metadata"]["ignoreNullValues"] for each in spec["triggers"]} == {"false"}


def test_idle_replicas_leave_the_minimum_as_it_is() -> None:
    """From zero to minReplicas at once. Without pods a missing series is 0, not an error on which KEDA falls back."""
    spec = spec_of(TRITON_CASES["emulated-keda-idle"])
    assert (spec["idleReplicaCount"], spec["minReplicaCount"], spec["cooldownPeriod"]) == (0, 2, 1800)
    own = [each for each in spec["triggers"] if each["type"] == "prometheus"]
    assert [each["name"] for each in own] == ["ratio", "busy", "activation"]
    assert {each["metadata"]["ignoreNullValues"] for each in own} == {"true"}


def test_triggers_of_the_user_follow_the_chart_s() -> None:
    """They are rendered as they are, and the numbers in KEDA's names of the chart's own metrics stay."""
    values = TRITON_CASES["emulated-keda-idle"]
    assert triggers(values)[3:] == values["autoscaling"]["keda"]["triggers"]


def test_triggers_of_the_user_can_be_the_only_ones() -> None:
    """Then neither Prometheus nor the recording rules are needed."""
    values = {
        **EMULATED,
        "autoscaling": {"kind": "keda", "metrics": NO_METRICS, "keda": {"triggers": [OFFICE_HOURS]}},
        "rules": {"enabled": False},
        "metrics": {"monitor": "none"},
    }
    assert triggers(values) == [OFFICE_HOURS]


def test_a_trigger_of_the_user_may_start_the_first_pod() -> None:
    """Any type but cpu and memory, which are measured on pods."""
    values = autoscaling({"idleReplicaCount": 0, "triggers": [OFFICE_HOURS]})
    assert spec_of(values)["idleReplicaCount"] == 0
    assert "set autoscaling.activation.query, or leave idleReplicaCount null" in rejection(
        autoscaling({"idleReplicaCount": 0, "triggers": [CPU]})
    )


REJECTED = {
    "idle replicas that KEDA does not support": (
        autoscaling({"idleReplicaCount": 1, "triggers": [OFFICE_HOURS]}, minReplicas=2),
        "autoscaling.keda.idleReplicaCount is 1, and KEDA supports only 0",
    ),
    "idle replicas that are not below the minimum": (
        autoscaling({"idleReplicaCount": 0, "triggers": [OFFICE_HOURS]}, minReplicas=0),
        "must be below minReplicas",
    ),
    "idle replicas and an idle ratio": (
        {**autoscaling({"idleReplicaCount": 0, "triggers": [OFFICE_HOURS]}), "rules": {"ratio": {"idleRatio": 0.1}}},
        "rules.ratio.idleRatio 0.1 makes an idle pod look busy",
    ),
    "an activation query without scaling to zero": (
        autoscaling({}, activation={"query": "vector(1)"}),
        "set minReplicas 0 or keda.idleReplicaCount 0, or leave activation.query empty",
    ),
    "a fallback above the maximum": (
        autoscaling({"fallback": {"replicas": 5}}),
        "autoscaling.keda.fallback.replicas 5 is not between minReplicas 1 and maxReplicas 4",
    ),
    "a fallback below the minimum": (
        autoscaling({"fallback": {"replicas": 1}}, minReplicas=2),
        "autoscaling.keda.fallback.replicas 1 is not between minReplicas 2 and maxReplicas 4",
    ),
    "a fallback of cpu alone": (
        autoscaling({"fallback": {"replicas": 2}, "triggers": [CPU]}, metrics=NO_METRICS),
        "autoscaling.keda.fallback does not apply to triggers of type cpu and memory",
    ),
    "a trigger with a name of the chart's own": (
        autoscaling({"triggers": [{**OFFICE_HOURS, "name": "ratio"}]}),
        "autoscaling.keda.triggers[0] has the name ratio",
    ),
    "two triggers with one name": (
        autoscaling({"triggers": [{**OFFICE_HOURS, "name": "day"}, {**OFFICE_HOURS, "name": "day"}]}),
        "autoscaling.keda.triggers[1] has the name day",
    ),
    "a trigger of cpu without its metric type": (
        autoscaling({"triggers": [{"type": "cpu", "metadata": {"value": "80"}}]}),
        "autoscaling.keda.triggers[0] is of type cpu, for which KEDA needs a metricType",
    ),
    "a utilization of something else": (
        autoscaling({"triggers": [{**OFFICE_HOURS, "metricType": "Utilization"}]}),
        "metricType Utilization is only for cpu and memory",
    ),
    "a cache that KEDA does not have": (
        autoscaling({"triggers": [{**OFFICE_HOURS, "useCachedMetrics": True}]}),
        "for which KEDA has no useCachedMetrics",
    ),
    "settings of KEDA for an HPA": (
        {**EMULATED, "autoscaling": {"keda": {"fallback": {"replicas": 2}}}},
        "autoscaling.keda.fallback.replicas is set, and autoscaling.kind hpa has no such setting: use kind keda",
    ),
    "metadata that KEDA would refuse": (
        autoscaling({"triggers": [{"type": "cron", "metadata": {"desiredReplicas": 3}}]}),
        "desiredReplicas",
    ),
    "a behavior that needs a formula": (autoscaling({"fallback": {"behavior": "scalingModifiers"}}), "behavior"),
    "a fallback to nothing": (autoscaling({"fallback": {"replicas": 0}}), "replicas"),
}


@pytest.mark.parametrize("case", REJECTED)
def test_contradictory_values_are_rejected(case: str) -> None:
    """KEDA's webhook may not be installed, and some of it KEDA would ignore."""
    values, message = REJECTED[case]
    assert message in rejection(values)
