"""Properties of an HPA spec."""

from loadgen.autoscale.spec import LabelRequirement, LabelSelector
from support.hpa.builders import external_metric, object_metric, pods_metric, resource_metric, spec


def test_the_lower_bound_is_1_unless_set():
    """`minReplicas` is a pointer upstream."""
    assert (spec(lowest=None).lowest, spec(lowest=3).lowest) == (1, 3)


def test_object_and_external_metrics_exist_without_pods():
    """`hasObjectOrExternalMetrics`: only with one of them can an HPA leave zero."""
    assert spec(pods_metric(), external_metric(value_milli=1)).has_object_or_external
    assert spec(object_metric(value_milli=1)).has_object_or_external
    assert not spec(pods_metric(), resource_metric(50)).has_object_or_external


def test_a_selector_prints_as_in_go():
    """Labels are sorted by key, with a comma after every entry, as in `LabelSelector.String` of generated.pb.go."""
    selector = LabelSelector(
        match_labels={"model": "llm", "app": "triton"},
        match_expressions=(
            LabelRequirement(key="zone", operator="In", values=("a", "b")),
            LabelRequirement(key="gpu", operator="Exists"),
        ),
    )
    assert str(selector) == (
        "&LabelSelector{MatchLabels:map[string]string{app: triton,model: llm,},"
        "MatchExpressions:[]LabelSelectorRequirement{"
        "LabelSelectorRequirement{Key:zone,Operator:In,Values:[a b],},"
        "LabelSelectorRequirement{Key:gpu,Operator:Exists,Values:[],},},}"
    )
    assert str(LabelSelector()) == (
        "&LabelSelector{MatchLabels:map[string]string{},MatchExpressions:[]LabelSelectorRequirement{},}"
    )
