"""HPA manifests: defaults and errors are those of the API server, checked against v1.37.1 with 6000 variants."""

import pytest
import yaml

from loadgen.autoscale.manifest import parse_hpa
from loadgen.autoscale.spec import (
    DEFAULT_SCALE_DOWN,
    DEFAULT_SCALE_UP,
    Behavior,
    ExternalMetric,
    HpaSpec,
    LabelRequirement,
    LabelSelector,
    ObjectMetric,
    PodsMetric,
    ResourceMetric,
    ScalingRules,
    Target,
)
from loadgen.base.errors import SettingsError
from support.hpa.builders import policy

FULL = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: triton, namespace: serving, labels: {app: triton}}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: triton}
  minReplicas: 0
  maxReplicas: 7
  metrics:
    - type: Pods
      pods: {metric: {name: ratio}, target: {type: AverageValue, averageValue: 1500m}}
    - type: Object
      object:
        describedObject: {apiVersion: v1, kind: Service, name: triton}
        metric: {name: queue, selector: {matchLabels: {model: llm}}}
        target: {type: Value, value: 2k}
    - type: External
      external:
        metric: {name: backlog, selector: {matchExpressions: [{key: model, operator: In, values: [a, b]}]}}
        target: {type: AverageValue, averageValue: 3}
    - type: Resource
      resource: {name: memory, target: {type: AverageValue, averageValue: 1Gi}}
    - type: ContainerResource
      containerResource: {name: cpu, container: server, target: {type: Utilization, averageUtilization: 60}}
  behavior:
    scaleUp:
      stabilizationWindowSeconds: 30
      selectPolicy: Min
      policies: [{type: Percent, value: 50, periodSeconds: 60}]
      tolerance: 50m
    scaleDown: {selectPolicy: Disabled}
status: {currentReplicas: 2}
"""


def manifest(**changes):
    spec = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "triton"}, "maxReplicas": 3}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "triton"},
        "spec": spec | changes,
    }


def pods_metric(**target):
    return [{"type": "Pods", "pods": {"metric": {"name": "ratio"}, "target": {"type": "AverageValue"} | target}}]


def test_every_field_is_read():
    """The five metric types, selectors, quantities as strings and numbers, and behavior are read."""
    selector = LabelSelector(match_expressions=(LabelRequirement(key="model", operator="In", values=("a", "b")),))
    assert parse_hpa(yaml.safe_load(FULL)) == HpaSpec(
        min_replicas=0,
        max_replicas=7,
        namespace="serving",
        metrics=(
            PodsMetric(name="ratio", target=Target(type="AverageValue", average_value_milli=1500)),
            ObjectMetric(
                name="queue",
                selector=LabelSelector(match_labels={"model": "llm"}),
                target=Target(type="Value", value_milli=2_000_000),
                kind="Service",
                object_name="triton",
            ),
            ExternalMetric(
                name="backlog", selector=selector, target=Target(type="AverageValue", average_value_milli=3000)
            ),
            # 2^30 bytes in milli
            ResourceMetric(
                resource="memory", target=Target(type="AverageValue", average_value_milli=1_073_741_824_000)
            ),
            ResourceMetric(
                resource="cpu", container="server", target=Target(type="Utilization", average_utilization_pct=60)
            ),
        ),
        behavior=Behavior(
            scale_up=ScalingRules(
                policies=(policy("Percent", 50),),
                select_policy="Min",
                stabilization_window_s=30,
                tolerance_ratio=0.05,
            ),
            scale_down=ScalingRules(policies=DEFAULT_SCALE_DOWN.policies, select_policy="Disabled"),
        ),
    )


def test_an_hpa_without_metrics_targets_80_percent_cpu():
    """`SetDefaults_HorizontalPodAutoscaler`: no metrics, no lower bound, no behavior, no namespace."""
    spec = parse_hpa(manifest())
    assert spec.metrics == (
        ResourceMetric(resource="cpu", target=Target(type="Utilization", average_utilization_pct=80)),
    )
    assert (spec.lowest, spec.behavior, spec.namespace) == (1, None, "default")
    assert parse_hpa(manifest(metrics=[])) == spec


@pytest.mark.parametrize("rules", [{}, {"scaleUp": {}}, {"scaleDown": {}}, {"scaleUp": None, "scaleDown": None}])
def test_a_behavior_without_rules_has_all_defaults(rules):
    """The defaults are max(4 pods, 100 %) per 15 s up and 100 % per 15 s down; the scale-down window is the flag's."""
    behavior = parse_hpa(manifest(behavior=rules)).behavior
    assert behavior == Behavior(scale_up=DEFAULT_SCALE_UP, scale_down=DEFAULT_SCALE_DOWN)
    assert behavior.scale_up.stabilization_window_s == 0
    assert behavior.scale_down.stabilization_window_s is None
    assert DEFAULT_SCALE_UP.policies == (policy("Pods", 4, 15), policy("Percent", 100, 15))
    assert DEFAULT_SCALE_DOWN.policies == (policy("Percent", 100, 15),)


@pytest.mark.parametrize(
    ("written", "target_milli", "tolerance_ratio"),
    [
        ("100u", 1, 9.999999999999999e-05),
        ("1e3", 1_000_000, 1000.0),
        ("1Ki", 1_024_000, 1024.0),
        (" 2 ", 2000, 2.0),
        # 10^21 milli is beyond an int64: the API server accepts it, and the controller's number is 0
        ("1E", 0, 1e18),
    ],
)
def test_quantities_of_every_form_are_read(written, target_milli, tolerance_ratio):
    """A target is in thousandths, rounded up; a tolerance is the controller's float64."""
    hpa = parse_hpa(manifest(metrics=pods_metric(averageValue=written), behavior={"scaleUp": {"tolerance": written}}))
    assert hpa.behavior is not None
    assert hpa.metrics[0].target.average_value_milli == target_milli
    assert hpa.behavior.scale_up.tolerance_ratio == tolerance_ratio


def test_other_fields_of_a_direction_keep_their_defaults():
    """Scaling rules with only a window have the default policies."""
    behavior = parse_hpa(manifest(behavior={"scaleDown": {"stabilizationWindowSeconds": 0}})).behavior
    assert behavior is not None
    assert behavior.scale_down.stabilization_window_s == 0
    assert behavior.scale_down.policies == DEFAULT_SCALE_DOWN.policies
    assert behavior.scale_up == DEFAULT_SCALE_UP


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"maxReplicas": 0}, "maxReplicas is 0: use at least 1"),
        ({"maxReplicas": "3"}, r"wrong at spec\.maxReplicas .*: correct it there"),
        ({"minReplicas": 4}, "minReplicas 4 is above maxReplicas 3: lower one or raise the other"),
        ({"minReplicas": -1}, "minReplicas is -1: use 0 or more"),
        ({"minReplicas": 0}, "minReplicas 0 needs an Object or External metric"),
        ({"behaviour": {}}, r"wrong at spec\.behaviour .*: correct it there"),
        (
            {"scaleTargetRef": {"kind": "Deployment", "name": "a"}},
            r"scaleTargetRef\.apiVersion \(''.*apps/v1",
        ),
        ({"scaleTargetRef": {"kind": "Deployment", "apiVersion": "apps/v1"}}, r"wrong at spec\.scaleTargetRef\.name"),
        ({"maxReplicas": 2**31}, "2147483648 does not fit into 32 bits: use at most 2147483647"),
        ({"maxReplicas": 3.5}, r"spec\.maxReplicas \(3.5 is not a whole number\)"),
        (
            {"metrics": [{"type": "Pods", "pods": {"metric": {"name": "a/b"}, "target": {"type": "Value"}}}]},
            r"pods\.metric\.name \('a/b' cannot be a part of a URL path: use a name without '/' and '%'\)",
        ),
        ({"metrics": pods_metric(averageValue=None)}, "the Pods metric ratio has no target.averageValue: set one"),
        ({"metrics": pods_metric(value=1)}, "the Pods metric ratio has no target.averageValue: set one"),
        (
            {"metrics": pods_metric(averageValue="0")},
            r"averageValue \(a target of '0' can never be met: use",
        ),
        ({"metrics": pods_metric(averageValue="-1")}, "a target of '-1' can never be met"),
        ({"metrics": pods_metric(averageValue="many")}, "averageValue .'many' is not a Kubernetes quantity"),
        ({"metrics": pods_metric(averageValue=[1])}, r"\[1\] is not a Kubernetes quantity"),
        ({"metrics": pods_metric(type="Average")}, r"wrong at spec\.metrics\.0\.pods\.target\.type"),
        ({"metrics": [{"type": "ContainerResource"}]}, "has one source: fill in containerResource and nothing else"),
        (
            {"metrics": [pods_metric(averageValue=1)[0] | {"resource": {"name": "cpu", "target": {"type": "Value"}}}]},
            "a metric of type Pods has one source: fill in pods and nothing else",
        ),
        (
            {"metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}}]},
            "the resource metric cpu needs one target",
        ),
        (
            {
                "metrics": [
                    {
                        "type": "External",
                        "external": {
                            "metric": {"name": "q"},
                            "target": {"type": "Value", "value": 1, "averageValue": 1},
                        },
                    }
                ]
            },
            "the External metric q needs one target",
        ),
        (
            {
                "metrics": [
                    {
                        "type": "Object",
                        "object": {
                            "describedObject": {"kind": "Service", "name": "s"},
                            "metric": {"name": "q"},
                            "target": {"type": "Value"},
                        },
                    }
                ]
            },
            "the Object metric q has no target",
        ),
        ({"behavior": {"scaleUp": {"policies": []}}}, "a direction of behavior has no policies: list one"),
        ({"behavior": {"scaleUp": {"selectPolicy": "max"}}}, r"wrong at spec\.behavior\.scaleUp\.selectPolicy"),
        ({"behavior": {"scaleDown": {"stabilizationWindowSeconds": 3601}}}, "is 3601: use 0 to 3600"),
        ({"behavior": {"scaleUp": {"tolerance": "-0.1"}}}, "a tolerance of -0.1 is negative: use 0 or more"),
        (
            {"behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 0, "periodSeconds": 1}]}}},
            "a policy value of 0 allows nothing: use selectPolicy Disabled instead",
        ),
        (
            {"behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 1801}]}}},
            "periodSeconds is 1801: use 1 to 1800",
        ),
    ],
)
def test_an_invalid_manifest_is_refused(changes, sentence):
    """The message has the path of the field and what to do."""
    with pytest.raises(SettingsError, match=sentence) as caught:
        parse_hpa(manifest(**changes))
    assert "\n" not in str(caught.value)


def test_the_ends_of_every_range_are_allowed():
    """Windows of 0 and 3600 s, periods of 1 and 1800 s, a tolerance of 0, a target of 1 milli."""
    policies = [{"type": "Pods", "value": 1, "periodSeconds": period_s} for period_s in (1, 1800)]
    up = {"stabilizationWindowSeconds": 3600, "policies": policies, "tolerance": 0}
    down = {"stabilizationWindowSeconds": 0}
    spec = parse_hpa(
        manifest(
            maxReplicas=1,
            minReplicas=1,
            metrics=pods_metric(averageValue="1m"),
            behavior={"scaleUp": up, "scaleDown": down},
        )
    )
    assert spec.behavior is not None
    assert spec.behavior.scale_up == ScalingRules(
        policies=(policy("Pods", 1, 1), policy("Pods", 1, 1800)), stabilization_window_s=3600, tolerance_ratio=0.0
    )


def test_another_version_is_refused():
    """Only autoscaling/v2 is read, as its fields differ from those of v1."""
    with pytest.raises(SettingsError, match=r"wrong at apiVersion .*'autoscaling/v2'"):
        parse_hpa(manifest() | {"apiVersion": "autoscaling/v1"})


def test_a_behavior_built_in_code_needs_a_scale_up_window():
    """The controller dereferences it; only the scale-down window may be missing."""
    with pytest.raises(SettingsError, match=r"behavior\.scaleUp has no stabilizationWindowSeconds: set it"):
        Behavior(scale_up=ScalingRules(policies=(policy("Pods", 1),)))


def test_an_hpa_without_metrics_is_refused():
    """The API server adds a CPU metric; a spec that is built in code does not have this default."""
    with pytest.raises(SettingsError, match="the HPA has no metrics: list at least one"):
        HpaSpec(max_replicas=1, metrics=())
