"""The metric and settings of an HPA, the timing of its metric in Prometheus, and which Prometheus that is."""

from typing import Any

import pytest

from loadgen.base.errors import TargetError
from loadgen.kube.discover import autoscaler
from loadgen.kube.discover.autoscaler import manifest_of, no_pods_metric, pods_metrics, primary_metric
from loadgen.kube.discover.prometheus import (
    PrometheusService,
    RuleTiming,
    choose_prometheus,
    named_service,
    rule_timing,
    scrape_interval_s,
)

RATIO = "triton:queue_compute:ratio"


def pods(name: str, target: str) -> dict[str, Any]:
    return {"type": "Pods", "pods": {"metric": {"name": name}, "target": {"averageValue": target}}}


def hpa(*metrics: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "h"}, "spec": {"maxReplicas": 4, "metrics": list(metrics), **spec}}


def autoscaler_of(raw: dict[str, Any], timing: RuleTiming, interval_s: float | None) -> Any:
    metric = primary_metric(pods_metrics(raw))
    assert metric is not None
    discovered = autoscaler.autoscaler_of(raw, metric, timing, interval_s)
    return discovered.value, list(discovered.assumptions)


def test_the_ratio_is_preferred_among_several_metrics() -> None:
    """The busy fraction does not count, though its name has "ratio"; without a ratio the first Pods metric is used."""
    several = hpa(pods("triton:busy:ratio", "800m"), pods(RATIO, "1"), pods("triton:waiting:requests", "4"))
    assert primary_metric(pods_metrics(several)).name == RATIO
    assert primary_metric(pods_metrics(hpa(pods("waiting", "4"), pods("other", "1")))).name == "waiting"
    assert primary_metric(pods_metrics(hpa({"type": "Resource", "resource": {}}))) is None


def test_every_setting_of_the_hpa_is_read() -> None:
    """Target as a quantity, window and tolerance of its behavior; only the sync period of the controller is assumed."""
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 0}, "scaleUp": {"tolerance": "50m"}}
    found, assumed = autoscaler_of(hpa(pods(RATIO, "150m"), minReplicas=2, behavior=behavior), RuleTiming(30.0, 5), 5.0)
    assert found is not None
    assert found.model_dump() == {
        "metric": RATIO,
        "target": 0.15,
        "min_replicas": 2,
        "max_replicas": 4,
        "sync_period_s": 15.0,
        "tolerance": 0.05,
        "rate_window_s": 30.0,
        "scrape_interval_s": 5.0,
        "scale_down_window_s": 0.0,
    }
    assert assumed == ["the sync period of the HPA controller is assumed to be 15 s, Kubernetes' default"]


def test_missing_settings_are_kubernetes_defaults_and_missing_timing_is_assumed() -> None:
    """Each assumption is a sentence."""
    found, assumed = autoscaler_of(hpa(pods(RATIO, "1")), RuleTiming(None, None), None)
    assert found is not None
    assert (found.min_replicas, found.tolerance, found.scale_down_window_s) == (1, 0.1, 300.0)
    assert (found.rate_window_s, found.scrape_interval_s) == (60.0, 30.0)
    assert len(assumed) == 3
    assert assumed[1] == f"no recording rule of {RATIO} was found: its window is assumed to be 60 s"


def test_an_hpa_without_a_pods_metric_is_not_judged() -> None:
    """The sentence lists its metrics."""
    external = {"type": "External", "external": {"metric": {"name": "queue_depth"}}}
    others = hpa(external, {"type": "Resource", "resource": {"name": "cpu"}})
    assert primary_metric(pods_metrics(others)) is None
    assert no_pods_metric(others) == (
        "the HPA h has no metric of type Pods (External queue_depth, Resource cpu): its signal is not judged"
    )
    assert "(none)" in no_pods_metric(hpa())


def test_a_target_that_cannot_be_parsed_is_never_zero() -> None:
    """The HPA is not judged, with a sentence that says so."""
    found, said = autoscaler_of(hpa(pods(RATIO, "1e3")), RuleTiming(30, 5), 5)
    assert found is None
    assert said == ["the HPA h has the target 1e3, which cannot be parsed: it is not judged"]


def test_the_manifest_is_whole_but_for_status_and_managed_fields() -> None:
    """What-if and audits need every setting, but neither the owners of fields nor the current state."""
    behavior = {"scaleDown": {"policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}]}}
    raw = hpa(pods(RATIO, "150m"), minReplicas=2, behavior=behavior)
    raw["metadata"] |= {"annotations": {"team": "serving"}, "managedFields": [{"manager": "helm"}]}
    raw["status"] = {"currentReplicas": 2}
    assert manifest_of(raw) == {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h", "annotations": {"team": "serving"}},
        "spec": {"maxReplicas": 4, "minReplicas": 2, "behavior": behavior, "metrics": [pods(RATIO, "150m")]},
    }
    assert "status" in raw, "the object itself is unchanged"


def rule(name: str, query: str) -> dict[str, Any]:
    return {"name": name, "query": query, "type": "recording"}


def test_the_window_is_read_from_the_rule_of_this_namespace() -> None:
    """Several releases record the same name; the longest window of an expression counts."""
    groups = [
        {"interval": 15, "rules": [rule(RATIO, 'rate(q{job="other/llm"}[5m]) / rate(c{job="other/llm"}[5m])')]},
        {"interval": 5, "rules": [rule("x", "y"), rule(RATIO, 'rate(q{job="llm/a"}[1m30s]) / rate(c[500ms])')]},
    ]
    assert rule_timing(groups, RATIO, "llm") == RuleTiming(90.0, 5.0)
    assert rule_timing(groups, RATIO, "elsewhere") == RuleTiming(300.0, 15.0)
    assert rule_timing(groups, "unknown", "llm") == RuleTiming(None, None)
    assert rule_timing([{"rules": [rule("x", "up")]}], "x", "llm") == RuleTiming(None, None)


def test_the_scrape_interval_is_read_from_the_targets_of_the_pods() -> None:
    """Only pods of this namespace count; None where Prometheus does not scrape them."""

    def target(namespace: str, pod: str, interval: str) -> dict[str, Any]:
        return {"labels": {"namespace": namespace, "pod": pod}, "scrapeInterval": interval}

    targets = [target("llm", "a", "15s"), target("llm", "b", "1m"), target("x", "a", "1s"), {"labels": {}}]
    assert scrape_interval_s(targets, "llm", ["a", "b"]) == 15.0
    assert scrape_interval_s(targets, "llm", ["c"]) is None


def service(namespace: str, name: str, port: int = 9090, *, ip: str = "10.0.0.1", **labels: str) -> dict[str, Any]:
    meta = {"namespace": namespace, "name": name, "labels": labels}
    return {"metadata": meta, "spec": {"clusterIP": ip, "ports": [{"port": port}]}}


def test_the_service_of_the_operator_is_preferred_over_a_name() -> None:
    """It is headless, so it has no address; a Service with another port is not Prometheus."""
    operated = service("mon", "prometheus-operated", ip="None", **{"operated-prometheus": "true"})
    other = service("mon", "prometheus", **{"app.kubernetes.io/name": "prometheus"})
    grafana = service("mon", "grafana", 80)
    assert choose_prometheus([grafana, other, operated]) == PrometheusService("mon", "prometheus-operated", 9090, None)
    assert choose_prometheus([grafana, other]) == PrometheusService("mon", "prometheus", 9090, "10.0.0.1")
    assert choose_prometheus([grafana, service("mon", "prometheus", 1234)]) is None


def test_several_servers_are_listed() -> None:
    """One may scrape the workload and the other not."""
    both = [service(each, "prometheus-server", 80) for each in ("a", "b")]
    with pytest.raises(TargetError, match=r"2 Prometheus servers on this cluster: a/prometheus-server:80, b/prom"):
        choose_prometheus(both)


def test_a_named_service_need_not_be_listed() -> None:
    """Without permission to list Services it is reached through the API server."""
    assert named_service("mon/prom:9091", [service("mon", "prom")]) == PrometheusService(
        "mon", "prom", 9091, "10.0.0.1"
    )
    assert named_service("mon/prom:9091", []) == PrometheusService("mon", "prom", 9091, None)


@pytest.mark.parametrize(("name", "port", "tls"), [("web", 9090, False), ("https", 9090, True), ("web", 443, True)])
def test_https_is_recognized_by_the_port_of_the_service(name: str, port: int, tls: bool) -> None:
    """By its name or its number."""
    one = service("mon", "prometheus", port)
    one["spec"]["ports"][0]["name"] = name
    assert choose_prometheus([one]) == named_service(f"mon/prometheus:{port}", [one])
    assert choose_prometheus([one]) == PrometheusService("mon", "prometheus", port, "10.0.0.1", tls)
