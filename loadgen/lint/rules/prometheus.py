"""Rules for recording rules, the metrics adapter, and the monitors by which Prometheus scrapes the servers."""

from collections.abc import Iterator
from typing import Any

from loadgen.kube.objects.workload import selector_query
from loadgen.lint.adapter import AdapterRule
from loadgen.lint.codes import signal
from loadgen.lint.objects import Object, selects
from loadgen.lint.pitfall import Pitfall
from loadgen.lint.prometheus_files import DEFAULT_S
from loadgen.lint.promql.parse import duration_s
from loadgen.lint.promql.tree import Aggregate, labels_of
from loadgen.lint.rule_files import rule_groups
from loadgen.lint.setup import Query, Setup, endpoints_of, monitored, monitors_of, services_of

_SYNC_PERIOD_S = 15.0
_POD_LABELS = ("namespace", "pod")


def check(setup: Setup) -> Iterator[Pitfall]:
    """Yield the pitfalls of rules, adapter and monitors."""
    yield from _labels(setup)
    yield from _intervals(setup)
    yield from _adapter(setup)
    yield from _monitors(setup)
    yield from _files(setup)


def _labels(setup: Setup) -> Iterator[Pitfall]:
    metrics = [metric for each in setup.autoscalers for metric in each.metrics if metric.type == "Pods"]
    read = {metric.name for metric in metrics}
    read |= {series for metric in metrics for rule in setup.adapter if (series := setup.series_of(metric, rule))}
    for query in setup.rules:
        labels = labels_of(query.node)
        missing = [each for each in _POD_LABELS if not labels.has(each) and each not in query.static_labels]
        if query.record in read and missing:
            value = f"the series {query.record} has no label {' and no label '.join(missing)}"
            yield query.object.pitfall(signal.RULE_LABELS, query.field, value)


def _intervals(setup: Setup) -> Iterator[Pitfall]:
    read = {(id(each.object), each.field.rpartition(".rules[")[0]) for each in setup.rules if each.is_read}
    for rule, path, group in rule_groups(setup.objects):
        interval_s = duration_s(group.interval)
        if (id(rule), path) in read and interval_s is not None and interval_s > _SYNC_PERIOD_S:
            yield rule.pitfall(signal.RULE_INTERVAL, f"{path}.interval", group.interval)


def _adapter(setup: Setup) -> Iterator[Pitfall]:
    metrics = {metric.name: (each, metric) for each in setup.autoscalers for metric in each.metrics}
    metrics = {name: found for name, found in metrics.items() if found[1].type in ("Pods", "External")}
    unknown = False
    served: set[str] = set()
    for rule in setup.adapter:
        for name, (autoscaler, metric) in metrics.items():
            if rule.external != (metric.type == "External"):
                continue
            unknown = unknown or rule.serves(name, name) is None
            series = setup.series_of(metric, rule)
            if series is None:
                continue
            served.add(name)
            if metric.type == "Pods":
                query = setup.rule(series, autoscaler.object.namespace)
                yield from _served_pods(rule, query, name, autoscaler.object.namespace)
    for name, (autoscaler, metric) in metrics.items():
        has_rules = any(rule.external == (metric.type == "External") for rule in setup.adapter)
        if has_rules and not unknown and name not in served and not setup.objects.live:
            value = f"{name} is not selected by the seriesQuery of any rule in the input"
            yield autoscaler.object.pitfall(signal.ADAPTER_UNSERVED, metric.field, value)


def _served_pods(rule: AdapterRule, query: Query | None, name: str, namespace: str) -> Iterator[Pitfall]:
    """Yield the pitfalls of a rule of the adapter that serves a Pods metric; `query` is what records its series."""
    if rule.resources is not None and not {"namespace", "pod"} <= rule.resources:
        value = f"overrides name {', '.join(sorted(rule.resources)) or 'no resource'}, for {name}"
        yield rule.object.pitfall(signal.ADAPTER_RESOURCES, f"{rule.field}.resources", value)
    for matcher in rule.selector.matchers if rule.selector else ():
        if matcher.label == "namespace" and matcher.operator == "=" and matcher.value not in ("", namespace):
            value = f'namespace="{matcher.value}", and the HPA for {name} is in {namespace}'
            yield rule.object.pitfall(signal.ADAPTER_NAMESPACE, f"{rule.field}.seriesQuery", value)
    node = rule.query(name)
    sums = isinstance(node, Aggregate) and node.operator == "sum"
    if query is not None and sums and labels_of(query.node).has("model"):
        value = f"sum(…) of {name}, which has a series for each model"
        yield rule.object.pitfall(signal.ADAPTER_SUMS, f"{rule.field}.metricsQuery", value)


def _monitors(setup: Setup) -> Iterator[Pitfall]:
    for monitor in setup.objects.of("PodMonitor", "ServiceMonitor"):
        if _looks_here(setup, monitor) and not endpoints_of(monitor):
            yield monitor.pitfall(signal.MONITOR_SELECTS_NOTHING, "spec", "no endpoint")
        elif _looks_here(setup, monitor) and _is_empty(setup, monitor):
            value = f"{selector_query(monitor.raw['spec']['selector'])} matches nothing"
            yield monitor.pitfall(signal.MONITOR_SELECTS_NOTHING, "spec.selector", value)
    done: set[int] = set()
    for server in setup.servers:
        for monitor in monitors_of(setup.objects, server):
            if id(monitor) in done:
                continue
            done.add(id(monitor))
            ports = set(server.workload.port_names)
            if monitor.kind == "ServiceMonitor":
                services = services_of(setup.objects, server)
                ports = {port.name for service in services for port in service.fields.spec.ports}
            yield from _endpoints(monitor, ports)


def _files(setup: Setup) -> Iterator[Pitfall]:
    """Yield the pitfalls of configurations of Prometheus without an operator."""
    read = {(id(each.object), each.field.rpartition(".rules[")[0]) for each in setup.rules if each.is_read}
    inherits = any(
        group.object.kind == "ConfigMap" and (id(group.object), group.path) in read and not group.group.interval
        for group in rule_groups(setup.objects)
    )
    has_monitors = any(True for server in setup.servers for _ in monitors_of(setup.objects, server))
    for file in setup.prometheus:
        # which job scrapes the servers is not known: none does so more often than the fastest
        fastest = min(file.jobs, key=lambda job: job.interval_s, default=None)
        if fastest is not None and fastest.interval_s > _SYNC_PERIOD_S and not has_monitors:
            value = fastest.interval or f"not set: {DEFAULT_S:g} s"
            field = f"{fastest.field}.scrape_interval"
            yield file.object.pitfall(signal.SCRAPE_SLOW, field, f"{value}, the fastest job for pods or Services")
        for job in file.jobs:
            if job.timeout_s is not None and job.timeout_s > job.interval_s:
                value = f"{job.timeout_s:g} s, with an interval of {job.interval_s:g} s"
                yield file.object.pitfall(signal.SCRAPE_TIMEOUT, f"{job.field}.scrape_timeout", value)
        if inherits and file.evaluation_s > _SYNC_PERIOD_S:
            value = file.evaluation or f"not set: {DEFAULT_S:g} s"
            yield file.object.pitfall(signal.EVALUATION_SLOW, f"{file.field}.global.evaluation_interval", value)


def _looks_here(setup: Setup, monitor: Object[Any]) -> bool:
    """Whether a monitor looks into a namespace of the servers, and, of a cluster, into no other one."""
    here = {server.object.namespace for server in setup.servers}
    selector = monitor.fields.spec.namespaceSelector
    elsewhere = selector.any or not {*(selector.matchNames or [monitor.namespace])} <= here
    return any(monitored(monitor, each) for each in here) and not (setup.objects.live and elsewhere)


def _is_empty(setup: Setup, monitor: Object[Any]) -> bool:
    """Whether a monitor selects nothing of the input."""
    if monitor.kind == "ServiceMonitor":
        services = list(setup.objects.of("Service"))
        candidates = [(each.namespace, each.fields.metadata.labels) for each in services]
        if "Service" in setup.objects.unread:
            return False
    else:
        candidates = [
            *setup.objects.pod_labels,
            *((each.object.namespace, each.workload.labels) for each in setup.servers),
        ]
    return not any(
        monitored(monitor, namespace) and selects(monitor.fields.spec.selector, labels)
        for namespace, labels in candidates
    )


def _endpoints(monitor: Object[Any], ports: set[str]) -> Iterator[Pitfall]:
    for field, endpoint in endpoints_of(monitor):
        if endpoint.port and endpoint.port not in ports:
            value = f"{endpoint.port}; the ports are {', '.join(sorted(ports)) or 'without names'}"
            yield monitor.pitfall(signal.MONITOR_PORT, f"{field}.port", value)
        interval_s, timeout_s = duration_s(endpoint.interval), duration_s(endpoint.scrapeTimeout)
        if not endpoint.interval:
            yield monitor.pitfall(signal.MONITOR_INTERVAL, f"{field}.interval", "not set")
        elif interval_s is not None and interval_s > _SYNC_PERIOD_S:
            yield monitor.pitfall(signal.MONITOR_SLOW, f"{field}.interval", endpoint.interval)
        if interval_s is not None and timeout_s is not None and timeout_s > interval_s:
            value = f"{endpoint.scrapeTimeout}, with an interval of {endpoint.interval}"
            yield monitor.pitfall(signal.MONITOR_TIMEOUT, f"{field}.scrapeTimeout", value)
