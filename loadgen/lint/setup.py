"""Puts the objects of an input together: what serves, what scales it, and on which queries."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from loadgen.kube.objects.fields.monitoring import Endpoint, PodMonitor
from loadgen.lint.adapter import AdapterRule, adapter_rules
from loadgen.lint.autoscalers import Autoscaler, Metric, autoscalers_of
from loadgen.lint.objects import Object, Objects, selects
from loadgen.lint.prometheus_files import PrometheusFile, prometheus_files
from loadgen.lint.promql.parse import duration_s, parse
from loadgen.lint.promql.tree import Node, series_in
from loadgen.lint.rule_files import PlacedGroup, rule_groups
from loadgen.lint.servers import WORKLOADS, Server, servers_of

TRITON_SERIES = ("nv_", "llmapi_")
"""Beginnings of the names of the series that the replicas export."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """An expression: of a recording rule, of the adapter, or of a trigger of KEDA.

    Attributes:
        object: The object.
        field: Path of the expression.
        node: Its tree.
        record: Name of the series that a rule records; empty for any other query.
        static_labels: Labels that a rule adds.
        is_read: Whether an autoscaler reads it, directly or through other rules; true if the input has nothing else.
    """

    object: Object[Any]
    field: str
    node: Node
    record: str = ""
    static_labels: frozenset[str] = frozenset()
    is_read: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """An input, put together.

    Attributes:
        objects: Its objects.
        servers: The workloads that serve.
        autoscalers: HPAs and ScaledObjects of servers, as far as that can be told.
        rules: Recording rules that read Triton's series, or that an autoscaler reads, as far as they can be read.
        adapter: Rules of prometheus-adapter.
        prometheus: Configurations of Prometheus without an operator.
        scrape_interval_s: Shortest interval at which a monitor scrapes the servers, or without one that of a job of
            these configurations; None where that is not known.
    """

    objects: Objects
    servers: tuple[Server, ...]
    autoscalers: tuple[Autoscaler, ...]
    rules: tuple[Query, ...]
    adapter: tuple[AdapterRule, ...]
    prometheus: tuple[PrometheusFile, ...]
    scrape_interval_s: float | None

    def rule(self, record: str, namespace: str) -> Query | None:
        """Return the rule that records a series; one of the namespace is preferred."""
        found = [each for each in self.rules if each.record == record]
        return next((each for each in found if each.object.namespace == namespace), next(iter(found), None))

    def series_of(self, metric: Metric, rule: AdapterRule) -> str | None:
        """Return the series that a rule of the adapter serves as a metric; None if it does not serve it."""
        own = rule.selector.name if rule.selector else ""
        names = (metric.name, own, *(each.record for each in self.rules))
        return next((name for name in names if name and rule.serves(metric.name, name)), None)

    def node_of(self, autoscaler: Autoscaler, metric: Metric) -> Node | None:
        """Return the expression behind a metric: of its trigger, or of the rule that records it; None if unknown."""
        if metric.type == "Trigger":
            return parse(metric.query) if metric.query else None
        names = [metric.name]
        for each in self.adapter:
            if each.external == (metric.type == "External") and (series := self.series_of(metric, each)):
                names.append(series)
        found = (self.rule(name, autoscaler.object.namespace) for name in names)
        return next((each.node for each in found if each is not None), None)


def setup_of(objects: Objects) -> Setup:
    """Put the objects of an input together."""
    every = autoscalers_of(objects)
    servers = tuple(servers_of(objects, every))
    autoscalers = [each for each in every if _is_for_serving(each, objects, servers)]
    adapter = tuple(adapter_rules(objects))
    files = tuple(prometheus_files(objects))
    rules = list(_recording_rules(objects, autoscalers, adapter))
    if not (every or servers or objects.live):  # rules alone: what reads them is elsewhere
        rules = [replace(each, is_read=True) for each in rules]
    return Setup(
        objects=objects,
        servers=servers,
        autoscalers=tuple(autoscalers),
        rules=tuple(rules),
        adapter=adapter,
        prometheus=files,
        scrape_interval_s=_scrape_interval_s(objects, servers, files),
    )


def _is_for_serving(autoscaler: Autoscaler, objects: Objects, servers: tuple[Server, ...]) -> bool:
    """Whether an autoscaler scales a server, or may do so.

    In manifests, that of a workload which is not among them may; on a cluster only one that reads Triton's series.
    """
    if any(autoscaler.scales(server.object) for server in servers):
        return True
    if any(autoscaler.scales(each) for each in objects.of(*WORKLOADS)):
        return False
    names = [f"{metric.name} {metric.query}" for metric in autoscaler.metrics]
    return not objects.live or any(word in name for name in names for word in (*TRITON_SERIES, "triton"))


def _recording_rules(
    objects: Objects, autoscalers: list[Autoscaler], adapter: tuple[AdapterRule, ...]
) -> Iterator[Query]:
    found = [rule for each in rule_groups(objects) for rule in _rules_of(each)]
    nodes = {each.record: each.node for each in found}
    read: set[str] = set()
    waiting = {metric.name for each in autoscalers for metric in each.metrics}
    for metric in list(waiting):
        waiting |= {name for name in nodes for rule in adapter if rule.serves(metric, name)}
    queries = [parse(metric.query) for each in autoscalers for metric in each.metrics if metric.query]
    waiting |= {series.name for node in queries if node for series in series_in(node)}
    while waiting:
        name = waiting.pop()
        if name not in read:
            read.add(name)
            waiting |= {series.name for series in series_in(nodes[name])} if name in nodes else set()
    for each in found:
        is_read = each.record in read
        if is_read or any(series.name.startswith(TRITON_SERIES) for series in series_in(each.node)):
            yield replace(each, is_read=is_read)


def _rules_of(placed: PlacedGroup) -> Iterator[Query]:
    for place, each in enumerate(placed.group.rules):
        node = parse(str(each.expr)) if each.record else None
        if node is not None:
            yield Query(
                object=placed.object,
                field=f"{placed.path}.rules[{place}].expr",
                node=node,
                record=each.record,
                static_labels=frozenset(each.labels),
            )


def monitored(monitor: Object[Any], namespace: str) -> bool:
    """Whether a PodMonitor or ServiceMonitor looks into a namespace."""
    selector = monitor.fields.spec.namespaceSelector
    return bool(selector.any or namespace in (selector.matchNames or [monitor.namespace]))


def endpoints_of(monitor: Object[Any]) -> list[tuple[str, Endpoint]]:
    """Return the endpoints of a monitor with their paths."""
    name = "podMetricsEndpoints" if isinstance(monitor.fields, PodMonitor) else "endpoints"
    return [(f"spec.{name}[{place}]", each) for place, each in enumerate(getattr(monitor.fields.spec, name))]


def services_of(objects: Objects, server: Server) -> list[Object[Any]]:
    """Return the Services that select the pods of a server."""
    return [
        each
        for each in objects.of("Service")
        if each.namespace == server.object.namespace
        and (selector := each.fields.spec.selector)
        and selector.items() <= server.workload.labels.items()
    ]


def monitors_of(objects: Objects, server: Server) -> Iterator[Object[Any]]:
    """Yield the monitors that select the pods of a server, or a Service in front of them."""
    for each in objects.of("PodMonitor", "ServiceMonitor"):
        if not monitored(each, server.object.namespace):
            continue
        selected = [server.workload.labels]
        if each.kind == "ServiceMonitor":
            selected = [service.fields.metadata.labels for service in services_of(objects, server)]
        if any(selects(each.fields.spec.selector, labels) for labels in selected):
            yield each


def _scrape_interval_s(
    objects: Objects, servers: tuple[Server, ...], files: tuple[PrometheusFile, ...]
) -> float | None:
    intervals = [
        interval_s
        for server in servers
        for monitor in monitors_of(objects, server)
        for _, endpoint in endpoints_of(monitor)
        if (interval_s := duration_s(endpoint.interval)) is not None
    ]
    return min(intervals or [job.interval_s for each in files for job in each.jobs], default=None)
