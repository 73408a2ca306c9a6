"""Setups for the pitfalls of queries, recording rules, the adapter and monitors: with a pitfall, and close to one."""

import copy

from support.lint.changes import (
    BLS,
    COMPUTE,
    GOOD,
    QUEUE,
    SUM,
    Change,
    Setup,
    adapter,
    add,
    both,
    endpoint,
    metric_is,
    pods_metric,
    quotient,
    rate,
    ratio,
    ratio_is,
    record,
    scraped_by,
)


def windows_of(window: str) -> Change:
    """A change of the window of every rate."""

    def change(setup: Setup) -> None:
        for rule in setup["PrometheusRule"]["spec"]["groups"][0]["rules"]:
            rule["expr"] = rule["expr"].replace("[30s]", f"[{window}]")

    return change


JOB = "job_name: pods, kubernetes_sd_configs: [{role: pod}]"

HAS: list[tuple[str, Change]] = [
    ("query.window_empty", ratio_is(ratio(window="9s"))),
    (
        "query.window_empty",
        adapter("max(<<.Series>>", "sum(rate(nv_inference_exec_count{model='m'}[5s])) by (pod) + max(x"),
    ),
    ("query.window_short", ratio_is(ratio(window="15s"))),
    ("query.window_long", ratio_is(ratio(window="5m"))),
    (
        "query.per_model",
        lambda s: [ratio_is(f"rate({QUEUE}[30s]) / clamp_min(rate({COMPUTE}[30s]), 1)")(s), s.pop("ConfigMap")],
    ),
    ("query.per_model", ratio_is(ratio(model="", by="by (namespace, pod, model) "))),
    ("query.all_models", ratio_is(ratio(model=""))),
    (
        "query.mean_of_ratios",
        ratio_is(f"avg by (namespace, pod) (rate({QUEUE}[30s]) / clamp_min(rate({COMPUTE}[30s]), 1))"),
    ),
    ("query.undefined_when_idle", ratio_is(quotient(rate(QUEUE), SUM))),
    (
        "query.undefined_when_idle",
        record(
            "triton:busy:ratio",
            "histogram_quantile(0.95, sum by (namespace, pod, le) "
            f"(rate(nv_inference_first_response_histogram_ms_bucket{{{BLS}}}[30s])))",
        ),
    ),
    ("query.absent_when_idle", ratio_is(quotient(rate(QUEUE), f"({SUM} > 0)"))),
    ("query.absent_when_idle", ratio_is(f"({quotient(rate(QUEUE), SUM)}) >= 0")),
    (
        "query.floor",
        ratio_is(
            quotient(rate(QUEUE), f"clamp_min(sum by (namespace, pod) ({rate('nv_inference_request_success')}), 1)")
        ),
    ),
    (
        "query.floor",
        ratio_is(quotient(rate(QUEUE), f"(1 + sum by (namespace, pod) ({rate('nv_inference_exec_count')}))")),
    ),
    ("query.floor", ratio_is(quotient(rate(QUEUE), f"clamp_min({SUM}, 1e5)"))),
    (
        "query.counter_without_rate",
        ratio_is(f"sum by (namespace, pod) ({QUEUE}{{{BLS}}}) / sum by (namespace, pod) ({COMPUTE}{{{BLS}}})"),
    ),
    (
        "query.rate_of_gauge",
        ratio_is(f"sum by (namespace, pod) ({rate('nv_inference_pending_request_count')}) + {ratio()}"),
    ),
    ("query.engine_queue", ratio_is(ratio(model='model="tensorrt_llm"'))),
    ("query.engine_queue", ratio_is(ratio(model='model=~"ensemble|tensorrt_llm"'))),
    ("rule.labels", ratio_is(ratio(by=""))),
    ("rule.labels", ratio_is(ratio(by="by (pod) "))),
    ("rule.labels", ratio_is(ratio(by="without (pod) "))),
    (
        "rule.labels",
        both(
            ratio_is(ratio(by="by (pod) ")),
            adapter("    metricsQuery", '    name: {matches: "^triton:(.*)$", as: "$1"}\n    metricsQuery'),
            metric_is(0, pods_metric("queue_compute:ratio", "150m")),
            metric_is(1, pods_metric("busy:ratio", "800m")),
        ),
    ),
    ("rule.interval", lambda s: s["PrometheusRule"]["spec"]["groups"][0].update(interval="1m")),
    ("adapter.resources", adapter(", pod: {resource: pod}", "")),
    ("adapter.namespace", adapter('namespace!=""', 'namespace="default"')),
    ("adapter.unserved", adapter("^triton:.*$", "^nv_.*$")),
    ("monitor.selects_nothing", lambda s: s["PodMonitor"]["spec"]["selector"].update(matchLabels={"app": "other"})),
    (
        "monitor.selects_nothing",
        lambda s: s["PodMonitor"]["spec"].update(
            selector={"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["llm"]}]}
        ),
    ),
    ("monitor.selects_nothing", lambda s: s["PodMonitor"]["spec"].update(podMetricsEndpoints=[])),
    ("monitor.port", endpoint(port="http-metrics")),
    ("monitor.interval", lambda s: s["PodMonitor"]["spec"].update(podMetricsEndpoints=[{"port": "metrics"}])),
    ("monitor.slow", both(endpoint(interval="20s", scrapeTimeout="5s"), lambda s: s.pop("PrometheusRule"))),
    ("monitor.timeout", endpoint(scrapeTimeout="10s")),
    ("scrape.slow", both(windows_of("2m"), scraped_by(f"[{{{JOB}, scrape_interval: 20s}}]"))),
    ("scrape.slow", both(windows_of("2m"), scraped_by(f"[{{{JOB}}}]", scrape_interval="30s"))),
    ("query.window_short", both(windows_of("30s"), scraped_by(f"[{{{JOB}, scrape_interval: 10s}}]"))),
    ("scrape.timeout", scraped_by(f"[{{{JOB}}}]", scrape_interval="5s", scrape_timeout="10s")),
    (
        "scrape.evaluation",
        scraped_by(f"[{{{JOB}}}]", {"interval": None}, scrape_interval="5s", evaluation_interval="1m"),
    ),
    ("scrape.evaluation", scraped_by(f"[{{{JOB}}}]", {"interval": None}, scrape_interval="5s")),
    (
        "adapter.resources",
        both(
            adapter("rules:", "prometheus-adapter:\n rules:\n  custom:"),
            adapter("pod: {resource: pod}", "node: {resource: node}"),
        ),
    ),
]
"""A change for each pitfall, often several: the good setup with it has this pitfall and no other."""

SUMMED = both(
    ratio_is(f"rate({QUEUE}[30s]) / clamp_min(rate({COMPUTE}[30s]), 1)"), adapter("max(<<.Series>>", "sum(<<.Series>>")
)

HAS_NOT: dict[str, Change | None] = {
    "the good setup": None,
    "a window of four scrapes": ratio_is(ratio(window="20s")),
    "a window over a series that another monitor scrapes": ratio_is(
        f"{ratio()} + 0 * max by (namespace, pod) (rate(container_cpu_usage_seconds_total[5s]))"
    ),
    "an unknown scrape interval": both(ratio_is(ratio(window="5s")), lambda s: s.pop("PodMonitor")),
    "a window of two minutes": ratio_is(ratio(window="2m")),
    "a variable, which cannot be read": ratio_is(f"rate({QUEUE}[$__rate_interval])"),
    "several models in one matcher": ratio_is(ratio(model='model=~"tensorrt_llm_bls|other"')),
    "a pattern that may mean any model": ratio_is(ratio(model='model=~"tensorrt_llm.*"')),
    "the model by exclusion of labels": ratio_is(ratio(by="without (model, version) ")),
    "an alternative for idle replicas": ratio_is(f"({quotient(rate(QUEUE), SUM)}) >= 0 or 0 * {SUM}"),
    "a filter with an alternative": ratio_is(f"{quotient(rate(QUEUE), f'({SUM} > 0)')} or 0 * {SUM}"),
    "a small floor": ratio_is(
        quotient(rate(QUEUE), f"clamp_min(sum by (namespace, pod) ({rate('nv_inference_request_success')}), 0.001)")
    ),
    "a counter that is only counted": ratio_is(f"{ratio()} + 0 * count by (namespace, pod) ({QUEUE}{{{BLS}}})"),
    "a gauge without rate": ratio_is(
        f"{ratio()} + 0 * sum by (namespace, pod) (nv_inference_pending_request_count{{{BLS}}})"
    ),
    "the namespace as a label of the rule": ratio_is(ratio(by="by (pod) "), labels={"namespace": "serving"}),
    "an adapter that uses a template": adapter(
        "{overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}", '{template: "<<.Resource>>"}'
    ),
    "a series that the adapter renames": both(
        adapter("    metricsQuery", '    name: {matches: "^triton:(.*)$", as: "$1"}\n    metricsQuery'),
        metric_is(0, pods_metric("queue_compute:ratio", "150m")),
        metric_is(1, pods_metric("busy:ratio", "800m")),
    ),
    "a job that scrapes often, and a slow one": scraped_by(
        f"[{{{JOB}}}, {{{JOB}, scrape_interval: 5m}}]", scrape_interval="5s"
    ),
    "a slow job for nodes": scraped_by(
        f"[{{{JOB}, scrape_interval: 5s}}, {{job_name: n, kubernetes_sd_configs: [{{role: node}}]}}]"
    ),
    "rules with an interval of their own": scraped_by(f"[{{{JOB}}}]", {}, scrape_interval="5s"),
    "an adapter whose rules are values of a chart that contains its chart": adapter(
        "rules:", "prometheus-adapter:\n rules:\n  custom:"
    ),
    "an adapter whose rules are values of its chart": adapter("rules:", "rules:\n  default: false\n  custom:"),
    "a monitor in another namespace": lambda s: [
        s["PodMonitor"]["metadata"].update(namespace="monitoring"),
        s["PodMonitor"]["spec"].update(namespaceSelector={"matchNames": ["serving"]}),
    ],
    "a monitor of other pods": both(
        add({**copy.deepcopy(GOOD[3]), "metadata": {"name": "other", "namespace": "serving"}}),
        lambda s: s["Other"]["spec"].update(selector={"matchLabels": {"app": "other"}}),
        add(
            {
                "apiVersion": "apps/v1",
                "kind": "DaemonSet",
                "metadata": {"name": "o", "namespace": "serving"},
                "spec": {"template": {"metadata": {"labels": {"app": "other"}}}},
            },
            "Pods",
        ),
    ),
}
"""None of these has a pitfall."""
