"""Metrics of an HPA that KEDA created, with the ScaledObject that the chart renders."""

from typing import Any

import pytest

from loadgen.autoscale.manifest import parse_hpa
from loadgen.kube.discover.autoscaler import ScalingMetric, autoscaler_of, manifest_of, primary_metric
from loadgen.kube.discover.keda import (
    judged_metric,
    no_trigger_metric,
    not_per_pod,
    other_scaling,
    scaled_object,
    trigger_metrics,
)
from loadgen.kube.discover.prometheus import RuleTiming
from support.kube.keda_hpa import hpa_of

NAME, RATIO = "demo-triton-trtllm", "triton:queue_compute:ratio"
LABELS = '{namespace="serving",release="demo-triton-trtllm"}'


def test_the_chart_s_scaled_object_is_judged_like_a_pods_metric(scaled: dict[str, Any]) -> None:
    """Among ratio, busy and activation the ratio's trigger is used: its series, threshold and KEDA's name for it."""
    hpa = hpa_of(scaled)
    assert scaled_object(hpa) == NAME
    metrics, others = trigger_metrics(hpa, scaled)
    assert [each.series for each in metrics] == [RATIO, "triton:busy:ratio"]
    assert primary_metric(metrics) == ScalingMetric(RATIO, "s0-prometheus", "1", LABELS)
    assert len(others) == 1  # the trigger that scales from zero is not a mean over pods
    discovered = autoscaler_of(hpa, metrics[0], RuleTiming(60.0, 15.0), 15.0)
    found = discovered.value
    assert found is not None
    assert (found.metric, found.target) == (RATIO, 1.0)
    assert (found.min_replicas, found.max_replicas, found.scale_down_window_s) == (1, 4, 300.0)
    assert len(discovered.assumptions) == 1


def test_the_trigger_is_found_by_the_number_in_the_metric_s_name(scaled: dict[str, Any]) -> None:
    """Triggers of other types count, too; the ratio is found at any position."""
    scaled["spec"]["triggers"].insert(0, {"type": "cron", "metadata": {"threshold": "1"}})
    hpa = hpa_of(scaled)
    hpa["spec"]["metrics"].reverse()
    assert primary_metric(trigger_metrics(hpa, scaled)[0]) == ScalingMetric(RATIO, "s1-prometheus", "1", LABELS)


def prometheus(query: str, **trigger: Any) -> dict[str, Any]:
    return {"type": "prometheus", "metricType": "Value", "metadata": {"query": query, "threshold": "3"}, **trigger}


@pytest.mark.parametrize("position", [0, 3])
def test_triggers_of_the_user_do_not_take_the_place_of_the_ratio(idle: dict[str, Any], position: int) -> None:
    """Not even a mean over pods whose name says ratio; their cpu, cron and kafka are beside it in the HPA."""
    idle["spec"]["triggers"].insert(position, prometheus("avg(cache:hit:ratio)", name="cache"))
    hpa = hpa_of(idle)
    assert [each["type"] for each in hpa["spec"]["metrics"]] == ["External"] * 6 + ["Resource"]
    metrics, _ = trigger_metrics(hpa, idle)
    assert len(metrics) == 3
    name = f"s{0 if position else 1}-prometheus"
    assert judged_metric(metrics, idle) == ScalingMetric(RATIO, name, "1", LABELS)
    found = autoscaler_of(hpa, metrics[0], RuleTiming(60.0, 15.0), 15.0).value
    assert found is not None
    assert (found.min_replicas, found.max_replicas) == (2, 4)
    parsed = parse_hpa(manifest_of(hpa))  # what the simulated HPA reads
    assert (parsed.lowest, len(parsed.metrics)) == (2, 7)


def test_the_chart_s_own_triggers_are_judged_under_any_series_name(idle: dict[str, Any]) -> None:
    """A ratio that the values call otherwise, and the busy slots of a release without the ratio."""
    idle["spec"]["triggers"] = [prometheus("avg(mine:load)", name="ratio"), prometheus("avg(cache:hit:ratio)")]
    metrics, _ = trigger_metrics(hpa_of(idle), idle)
    assert judged_metric(metrics, idle) == ScalingMetric("mine:load", "s0-prometheus", "3", "")
    idle["spec"]["triggers"] = [prometheus("avg(cache:hit:ratio)"), prometheus("avg(triton:busy:ratio)", name="busy")]
    metrics, _ = trigger_metrics(hpa_of(idle), idle)
    assert judged_metric(metrics, idle) == ScalingMetric("triton:busy:ratio", "s1-prometheus", "3", "")


def test_a_scaled_object_of_another_chart_is_judged_by_the_names_of_its_series(idle: dict[str, Any]) -> None:
    """Triggers without names: the first ratio, else the first mean; none, if there is no mean over pods."""
    idle["spec"]["triggers"] = [prometheus("avg(a:load)"), prometheus(f"avg({RATIO})")]
    metrics, _ = trigger_metrics(hpa_of(idle), idle)
    assert judged_metric(metrics, idle) == ScalingMetric(RATIO, "s1-prometheus", "3", "")
    assert judged_metric(metrics[:1], idle) == metrics[0]
    assert judged_metric([], idle) is None


@pytest.mark.parametrize(
    ("query", "kind", "record"),
    [
        (f"avg({RATIO})", "Value", RATIO),
        (f" sum ( {RATIO}{LABELS} ) ", "AverageValue", RATIO),
        (f'avg({RATIO}{{pod=~"a{{2}}.*\\"\\\\)"}})', "Value", RATIO),
        (f"sum({RATIO})", "Value", None),  # grows with the replicas
        (f"avg({RATIO})", "AverageValue", None),  # is divided by them once more
        (f"max({RATIO})", "Value", None),
        (f"avg({RATIO}) * 2", "Value", None),
        (f"avg by (pod) ({RATIO})", "Value", None),
        (f"avg(rate({RATIO}[1m]))", "Value", None),
        (f"avg({RATIO}) + sum({RATIO})", "Value", None),
    ],
)
def test_only_a_mean_over_pods_is_judged(scaled: dict[str, Any], query: str, kind: str, record: str | None) -> None:
    """For any other query the sentence has that query."""
    scaled["spec"]["triggers"] = [
        {"type": "prometheus", "metricType": kind, "metadata": {"query": query, "threshold": "0.15"}}
    ]
    hpa = hpa_of(scaled)
    metrics, others = trigger_metrics(hpa, scaled)
    if record is None:
        assert metrics == []
        assert f"(s0-prometheus is the {kind} of {query}): its signal is not judged" in no_trigger_metric(hpa, others)
    else:
        assert [(each.series, each.target) for each in metrics] == [(record, "150m")]


def test_what_an_hpa_of_keda_does_not_show_is_said(idle: dict[str, Any]) -> None:
    """KEDA itself scales to zero, and a fallback looks like a load."""
    zero, fallback = other_scaling(idle)
    assert zero == f"by the ScaledObject {NAME} KEDA scales to zero, below the minReplicas of its HPA"
    assert f"{NAME} fails, its HPA reads the value for a fallback of 3 replicas (currentReplicasIfHigher)" in fallback
    del idle["spec"]["fallback"]["behavior"]
    assert "of 3 replicas (static)" in other_scaling(idle)[1]
    del idle["spec"]["idleReplicaCount"], idle["spec"]["fallback"]
    assert other_scaling(idle) == []
    idle["spec"]["minReplicaCount"] = 0
    assert other_scaling(idle) == [zero]


def test_other_triggers_are_not_judged(scaled: dict[str, Any]) -> None:
    """A formula over triggers, an index without a trigger, no Prometheus trigger."""
    hpa = hpa_of(scaled)
    hpa["spec"]["metrics"] = hpa["spec"]["metrics"][:1]
    hpa["spec"]["metrics"][0]["external"]["metric"]["name"] = "composite-metric"
    assert trigger_metrics(hpa, scaled) == ([], [])
    assert "does not scale on the mean of a per-pod series (no Prometheus trigger)" in no_trigger_metric(hpa, [])
    assert trigger_metrics(hpa_of(scaled), {"spec": {"triggers": []}}) == ([], [])


def test_an_external_metric_of_the_user_is_not_keda_s() -> None:
    """Its selector does not name a ScaledObject."""
    metric = {"type": "External", "external": {"metric": {"name": "s0-prometheus", "selector": {}}}}
    assert scaled_object({"metadata": {"name": "h"}, "spec": {"metrics": [metric]}}) is None
    assert scaled_object({"metadata": {"name": "h"}, "spec": {}}) is None


def test_a_query_must_have_one_series_for_each_pod_of_the_namespace() -> None:
    """Otherwise the mean is not that of the pods under test; an empty result proves nothing."""
    metric = ScalingMetric(RATIO, "s0-prometheus", "1", "{}")
    one, two = {"pod": "a", "namespace": "llm"}, {"pod": "b", "namespace": "llm"}
    assert not_per_pod(metric, [], "llm") is None
    assert not_per_pod(metric, [one, two], "llm") is None
    assert "several series for one pod" in str(not_per_pod(metric, [one, one], "llm"))
    assert "without the label pod" in str(not_per_pod(metric, [one, {"namespace": "llm"}], "llm"))
    assert "of other namespaces, such as llm" in str(not_per_pod(metric, [one], "other"))
