"""Setups for the pitfalls of autoscalers: with a pitfall, and close to one."""

import copy

from support.lint.changes import (
    BLS,
    SECOND_HPA,
    Change,
    Setup,
    add,
    behavior,
    both,
    external,
    hpa,
    keda,
    metric_is,
    of_service,
    pods_metric,
    record,
    target_is,
    trigger,
    without,
)

FROM_GATEWAY = trigger(
    1, {"query": "sum(rate(traefik_service_requests_total[1m]))", "threshold": "2"}, metricType="AverageValue"
)
"""A trigger that exists without replicas."""


def in_v2beta1(setup: Setup) -> None:
    """The same HPA in the version that has its targets beside the names of the metrics."""
    setup["HorizontalPodAutoscaler"].update(apiVersion="autoscaling/v2beta1")
    hpa(setup)["metrics"] = [
        {"type": "Pods", "pods": {"metricName": "triton:queue_compute:ratio", "targetAverageValue": "150m"}},
        {"type": "Pods", "pods": {"metricName": "triton:busy:ratio", "targetAverageValue": "800m"}},
    ]


HAS: list[tuple[str, Change]] = [
    (
        "metric.ratio_divided",
        metric_is(1, of_service("triton:busy:ratio", {"type": "AverageValue", "averageValue": "800m"})),
    ),
    (
        "metric.ratio_divided",
        metric_is(1, of_service("gpu_utilization", {"type": "AverageValue", "averageValue": "50"})),
    ),
    ("metric.ratio_divided", both(keda(), trigger(1, {}, metricType="AverageValue"))),
    (
        "metric.total_undivided",
        both(keda(), trigger(1, {"query": "sum(nv_inference_pending_request_count{model='m'})"})),
    ),
    (
        "metric.total_undivided",
        both(
            record("fleet:waiting:requests", f"sum(nv_inference_pending_request_count{{{BLS}}})"),
            metric_is(1, of_service("fleet:waiting:requests", {"type": "Value", "value": "4"})),
        ),
    ),
    ("metric.external_sum", metric_is(1, external("triton:busy:ratio", {"type": "Value", "value": "800m"}))),
    ("metric.cpu", lambda s: hpa(s).update(metrics=[])),
    (
        "metric.cpu",
        metric_is(
            1,
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
            },
        ),
    ),
    (
        "metric.cpu",
        both(
            keda(),
            lambda s: s["ScaledObject"]["spec"]["triggers"].append(
                {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "80"}}
            ),
        ),
    ),
    ("metric.gpu_utilization", both(keda(), trigger(1, {"query": "avg(DCGM_FI_DEV_GPU_UTIL)", "threshold": "80"}))),
    ("metric.unreachable", target_is("950m", 1)),
    ("metric.unreachable", both(target_is("800m", 1), behavior(scaleUp={"tolerance": "0.25"}))),
    (
        "metric.unreachable",
        both(
            keda(),
            trigger(
                1, {"query": 'max(nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction"})', "threshold": "2"}
            ),
        ),
    ),
    ("metric.target_default", target_is("1000m")),
    ("metric.target_default", target_is("1")),
    ("metric.target_noise", target_is("10m")),
    ("metric.ratio_only", lambda s: hpa(s)["metrics"].pop()),
    ("metric.ratio_only", both(keda(), lambda s: s["ScaledObject"]["spec"]["triggers"].pop())),
    ("metric.unrecorded", metric_is(1, pods_metric("triton:busy:share", "1"))),
    ("metric.zero_blind", keda(minReplicaCount=0)),
    ("metric.zero_blind", keda(minReplicaCount=1, idleReplicaCount=0)),
    ("keda.null_as_zero", both(keda(), trigger(0, {"ignoreNullValues": "true"}))),
    (
        "keda.activation",
        both(keda(minReplicaCount=0), FROM_GATEWAY, trigger(0, {"activationThreshold": "0.15"})),
    ),
    ("keda.polling", both(keda(minReplicaCount=0, pollingInterval=60), FROM_GATEWAY)),
    ("keda.polling", both(keda(idleReplicaCount=0, pollingInterval=300), FROM_GATEWAY)),
    ("keda.cooldown", both(keda(minReplicaCount=0, cooldownPeriod=30), FROM_GATEWAY)),
    (
        "keda.cached",
        both(keda(), lambda s: s["ScaledObject"]["spec"]["triggers"][0].update(useCachedMetrics=True)),
    ),
    ("hpa.invalid", lambda s: hpa(s).update(minReplicas=9)),
    (
        "hpa.invalid",
        metric_is(0, {"type": "Pods", "pods": {"metricName": "triton:busy:ratio", "targetAverageValue": "1"}}),
    ),
    ("hpa.version", in_v2beta1),
    ("hpa.version", lambda s: s["HorizontalPodAutoscaler"].update(apiVersion="autoscaling/v2beta2")),
    (
        "hpa.version",
        lambda s: [
            s["HorizontalPodAutoscaler"].update(apiVersion="autoscaling/v1"),
            hpa(s).update(targetCPUUtilizationPercentage=50),
        ],
    ),
    ("hpa.no_behavior", without(hpa, "behavior")),
    ("hpa.no_behavior", keda(advanced={})),
    ("hpa.scale_down_at_once", lambda s: hpa(s).update(behavior={"scaleUp": {}})),
    (
        "hpa.scale_down_at_once",
        behavior(
            scaleDown={
                "policies": [
                    {"type": "Percent", "value": 100, "periodSeconds": 15},
                    {"type": "Pods", "value": 1, "periodSeconds": 60},
                ]
            }
        ),
    ),
    ("hpa.scale_down_window", behavior(scaleDown={"stabilizationWindowSeconds": 30})),
    ("hpa.scale_down_disabled", behavior(scaleDown={"selectPolicy": "Disabled"})),
    ("hpa.scale_up_window", behavior(scaleUp={"stabilizationWindowSeconds": 240})),
    ("hpa.tolerance_narrow", behavior(scaleUp={"tolerance": "0"})),
    ("hpa.tolerance_wide", behavior(scaleDown={"tolerance": "0.5"})),
    ("hpa.fixed", lambda s: hpa(s).update(maxReplicas=2)),
    ("hpa.fixed", keda(maxReplicaCount=2)),
    ("autoscaler.several", add(SECOND_HPA)),
    ("autoscaler.keda_with_hpa", both(lambda s: s.update(Kept=s["HorizontalPodAutoscaler"]), keda())),
    ("autoscaler.replicas_field", lambda s: s["Deployment"]["spec"].update(replicas=3)),
    ("autoscaler.no_target", lambda s: hpa(s)["scaleTargetRef"].update(name="lm")),
]
"""A change for each pitfall, often several: the good setup with it has this pitfall and no other."""

HAS_NOT: dict[str, Change | None] = {
    "KEDA with means and Value": keda(),
    "KEDA with a sum and AverageValue": both(
        keda(), trigger(1, {"query": "sum(triton:busy:ratio)"}, metricType="AverageValue")
    ),
    "KEDA from zero by the gateway": both(
        keda(minReplicaCount=0),
        trigger(1, {"query": "sum(rate(traefik_service_requests_total[1m]))"}, metricType="AverageValue"),
    ),
    "KEDA with one replica at least: activation, polling and cooldown are of no account": both(
        keda(pollingInterval=60, cooldownPeriod=10), trigger(0, {"activationThreshold": "5"})
    ),
    "KEDA from zero with an activation below the threshold": both(
        keda(minReplicaCount=0), FROM_GATEWAY, trigger(1, {"activationThreshold": "0.5"})
    ),
    "KEDA with a cache that is polled in each sync": both(
        keda(pollingInterval=15),
        lambda s: s["ScaledObject"]["spec"]["triggers"][0].update(useCachedMetrics=True),
    ),
    "the sum of External series, divided": metric_is(
        1, external("triton:busy:ratio", {"type": "AverageValue", "averageValue": "800m"})
    ),
    "a bounded metric with a target below its bound": target_is("900m", 1),
    "an HPA of KEDA beside its ScaledObject": lambda s: [
        s.update(Kept=s["HorizontalPodAutoscaler"]),
        keda()(s),
        s["Kept"]["metadata"].update(name="keda-hpa-llm"),
    ],
    "two HPAs for two workloads": both(
        add(SECOND_HPA, "Second"),
        lambda s: s["Second"].update(
            spec={**hpa(s), "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "second"}}
        ),
        lambda s: s.update(
            Other={**copy.deepcopy(s["Deployment"]), "metadata": {"name": "second", "namespace": "serving"}}
        ),
    ),
    "the HPA of a workload that serves no model": both(
        add(SECOND_HPA, "Second"),
        lambda s: s["Second"].update(
            spec={
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                "minReplicas": 2,
                "maxReplicas": 2,
            }
        ),
        add(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "web", "namespace": "serving"},
                "spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "web", "image": "nginx"}]}}},
            },
            "Web",
        ),
    ),
    "replicas in a manifest that the API server wrote": lambda s: [
        s["Deployment"]["spec"].update(replicas=3),
        s["Deployment"]["metadata"].update(uid="1", resourceVersion="2"),
    ],
    "a workload of a kind that is not read": lambda s: hpa(s)["scaleTargetRef"].update(
        kind="Rollout", apiVersion="argoproj.io/v1alpha1"
    ),
}
"""None of these has a pitfall."""
