"""Fields of the Prometheus operator's objects, disruption budgets and ConfigMaps that are read."""

from loadgen.kube.objects.fields.parts import Int32, IntOrPercent, NamespacedMetadata, Part, Selector


class NamespaceSelector(Part):
    """The fields of `NamespaceSelector` that are read."""

    any: bool = False
    matchNames: list[str] = []


class Endpoint(Part):
    """The fields of `Endpoint` that are read."""

    port: str = ""
    targetPort: Int32 | str = ""
    portNumber: Int32 | None = None
    interval: str = ""
    scrapeTimeout: str = ""


class PodMonitorSpec(Part):
    """The fields of `PodMonitorSpec` that are read."""

    selector: Selector
    namespaceSelector: NamespaceSelector = NamespaceSelector()
    podMetricsEndpoints: list[Endpoint] = []


class PodMonitor(Part):
    """The fields of `PodMonitor` that are read."""

    metadata: NamespacedMetadata
    spec: PodMonitorSpec


class ServiceMonitorSpec(Part):
    """The fields of `ServiceMonitorSpec` that are read."""

    selector: Selector
    namespaceSelector: NamespaceSelector = NamespaceSelector()
    endpoints: list[Endpoint] = []


class ServiceMonitor(Part):
    """The fields of `ServiceMonitor` that are read."""

    metadata: NamespacedMetadata
    spec: ServiceMonitorSpec


class Rule(Part):
    """The fields of `Rule` that are read."""

    record: str = ""
    expr: Int32 | float | str = ""
    labels: dict[str, str] = {}


class RuleGroup(Part):
    """The fields of `RuleGroup` that are read."""

    name: str = ""
    interval: str = ""
    rules: list[Rule] = []


class PrometheusRuleSpec(Part):
    """The fields of `PrometheusRuleSpec` that are read."""

    groups: list[RuleGroup] = []


class PrometheusRule(Part):
    """The fields of `PrometheusRule` that are read."""

    metadata: NamespacedMetadata
    spec: PrometheusRuleSpec = PrometheusRuleSpec()


class BudgetSpec(Part):
    """The fields of `BudgetSpec` that are read."""

    selector: Selector | None = None
    minAvailable: IntOrPercent | None = None
    maxUnavailable: IntOrPercent | None = None


class PodDisruptionBudget(Part):
    """The fields of `PodDisruptionBudget` that are read."""

    metadata: NamespacedMetadata
    spec: BudgetSpec = BudgetSpec()


class ConfigMap(Part):
    """The fields of `ConfigMap` that are read."""

    metadata: NamespacedMetadata
    data: dict[str, str] = {}
