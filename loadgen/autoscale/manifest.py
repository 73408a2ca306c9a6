"""Parses an `autoscaling/v2` HorizontalPodAutoscaler with the API server's defaults."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from loadgen.autoscale.api_types import (
    AList,
    ContainerName,
    ContainerResourceName,
    GroupVersion,
    Int32,
    NamedGroupVersion,
    NotNegativeRatio,
    PathSegment,
    PositiveMilli,
    ResourceName,
    Text,
    TextMap,
)
from loadgen.autoscale.metadata import Metadata, Status
from loadgen.autoscale.spec import (
    DEFAULT_SCALE_DOWN,
    DEFAULT_SCALE_UP,
    Behavior,
    ExternalMetric,
    HpaSpec,
    LabelRequirement,
    LabelSelector,
    MetricSpec,
    ObjectMetric,
    PodsMetric,
    Policy,
    ResourceMetric,
    ScalingRules,
    SelectPolicy,
    Target,
)
from loadgen.base.errors import SettingsError
from loadgen.base.proposals import listed, meant
from loadgen.base.text import clean

_MAX_NAME = 100
"""Characters of a field's name that a message shows."""


def parse_hpa(manifest: Mapping[str, object]) -> HpaSpec:
    """Parse an HPA as the API server validates it and fills in its defaults.

    Unset fields of `spec.behavior` get their defaults only if `behavior` itself is set; without it the controller uses
    another algorithm (see `normalize`). Without `metrics` the HPA has a CPU target of 80 %.

    Source: `SetDefaults_HorizontalPodAutoscaler` in `pkg/apis/autoscaling/v2/defaults.go`.

    Args:
        manifest: The object, as read from YAML or from the API.

    Raises:
        SettingsError: The manifest is not an `autoscaling/v2` HPA, or the API server would reject it.
    """
    try:
        return _Manifest.model_validate(manifest).to_spec()
    except ValidationError as error:
        errors = error.errors(include_url=False)
        first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
        path = clean(".".join(to_camel(str(part)[:_MAX_NAME]) for part in first["loc"]))
        problem = clean(first["msg"].removeprefix("Value error, "), 300)
        if first["type"] == "extra_forbidden":
            names = _fields_at(first["loc"][:-1])
            problem = f"no such field{meant(to_camel(str(first['loc'][-1])), names)}; the fields are {listed(names)}"
        raise SettingsError(f"the HPA manifest is wrong at {path or 'its top'} ({problem}): correct it there") from None


def _fields_at(path: Sequence[str | int]) -> list[str]:
    """Return the fields of the part of a manifest at a path of fields and list positions."""
    part: type[BaseModel] = _Manifest
    for step in path:
        if isinstance(step, str):
            field = next(each for name, each in part.model_fields.items() if step in (name, each.alias))
            part = next(_parts_in(field.annotation))
    return [each.alias or name for name, each in part.model_fields.items()]


def _parts_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _parts_in(argument)


class _Part(BaseModel):
    """A part of the spec. Unknown fields are refused, as kubectl does, because a typo must not disable a rule."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class _Requirement(_Part):
    """A requirement as the API server stores it: it checks neither operator nor values of a metric's selector."""

    key: Text = ""
    operator: Text = ""
    values: Annotated[tuple[Text, ...], AList] = ()


def _empty_part(value: Any) -> Any:
    return {} if value is None else value


class _Selector(_Part):
    match_labels: TextMap = {}
    match_expressions: Annotated[tuple[Annotated[_Requirement, BeforeValidator(_empty_part)], ...], AList] = ()

    def to_spec(self) -> LabelSelector:
        return LabelSelector(
            match_labels=self.match_labels,
            match_expressions=tuple(
                LabelRequirement(key=each.key, operator=each.operator, values=each.values)
                for each in self.match_expressions
            ),
        )


class _Identifier(_Part):
    name: PathSegment
    selector: _Selector | None = None

    def label_selector(self) -> LabelSelector | None:
        return self.selector.to_spec() if self.selector else None


class _Target(_Part):
    type: Literal["Utilization", "Value", "AverageValue"]
    value: PositiveMilli | None = None
    average_value: PositiveMilli | None = None
    average_utilization: Int32 | None = None

    def to_spec(self) -> Target:
        return Target(
            type=self.type,
            value_milli=self.value,
            average_value_milli=self.average_value,
            average_utilization_pct=self.average_utilization,
        )


class _Reference(_Part):
    api_version: GroupVersion = ""
    kind: PathSegment
    name: PathSegment


class _Workload(_Part):
    api_version: NamedGroupVersion = Field(default="", validate_default=True)
    kind: PathSegment
    name: PathSegment


class _PodsSource(_Part):
    metric: _Identifier
    target: _Target

    def to_spec(self) -> MetricSpec:
        return PodsMetric(name=self.metric.name, selector=self.metric.label_selector(), target=self.target.to_spec())


class _ObjectSource(_Part):
    described_object: _Reference
    metric: _Identifier
    target: _Target

    def to_spec(self) -> MetricSpec:
        return ObjectMetric(
            name=self.metric.name,
            selector=self.metric.label_selector(),
            target=self.target.to_spec(),
            kind=self.described_object.kind,
            object_name=self.described_object.name,
        )


class _ExternalSource(_Part):
    metric: _Identifier
    target: _Target

    def to_spec(self) -> MetricSpec:
        return ExternalMetric(
            name=self.metric.name, selector=self.metric.label_selector(), target=self.target.to_spec()
        )


class _ResourceSource(_Part):
    name: ResourceName
    target: _Target

    def to_spec(self) -> MetricSpec:
        return ResourceMetric(resource=self.name, target=self.target.to_spec())


class _ContainerResourceSource(_Part):
    name: ContainerResourceName
    container: ContainerName
    target: _Target

    def to_spec(self) -> MetricSpec:
        return ResourceMetric(resource=self.name, container=self.container, target=self.target.to_spec())


class _Metric(_Part):
    type: Literal["Pods", "Object", "External", "Resource", "ContainerResource"]
    pods: _PodsSource | None = None
    object: _ObjectSource | None = None
    external: _ExternalSource | None = None
    resource: _ResourceSource | None = None
    container_resource: _ContainerResourceSource | None = None

    def to_spec(self) -> MetricSpec:
        sources = {
            "Pods": self.pods,
            "Object": self.object,
            "External": self.external,
            "Resource": self.resource,
            "ContainerResource": self.container_resource,
        }
        source = sources.pop(self.type)
        if source is None or any(each is not None for each in sources.values()):
            field = to_camel(self.type[0].lower() + self.type[1:])
            raise SettingsError(f"a metric of type {self.type} has one source: fill in {field} and nothing else")
        return source.to_spec()


class _Policy(_Part):
    type: Literal["Pods", "Percent"]
    value: Int32
    period_seconds: Int32


class _Rules(_Part):
    stabilization_window_seconds: Int32 | None = None
    select_policy: SelectPolicy | None = None
    policies: Annotated[tuple[_Policy, ...], AList] | None = None
    tolerance: NotNegativeRatio | None = None

    def to_spec(self, default: ScalingRules) -> ScalingRules:
        window_s = self.stabilization_window_seconds
        policies = None
        if self.policies is not None:
            policies = tuple(
                Policy(type=each.type, value=each.value, period_s=each.period_seconds) for each in self.policies
            )
        return ScalingRules(
            policies=default.policies if policies is None else policies,
            select_policy=self.select_policy or default.select_policy,
            stabilization_window_s=default.stabilization_window_s if window_s is None else window_s,
            tolerance_ratio=self.tolerance,
        )


class _Behavior(_Part):
    scale_up: _Rules | None = None
    scale_down: _Rules | None = None

    def to_spec(self) -> Behavior:
        return Behavior(
            scale_up=(self.scale_up or _Rules()).to_spec(DEFAULT_SCALE_UP),
            scale_down=(self.scale_down or _Rules()).to_spec(DEFAULT_SCALE_DOWN),
        )


_CPU_AT_80_PCT = ResourceMetric(resource="cpu", target=Target(type="Utilization", average_utilization_pct=80))


class _Spec(_Part):
    scale_target_ref: _Workload
    min_replicas: Int32 | None = None
    max_replicas: Int32
    metrics: Annotated[tuple[_Metric, ...], AList] = ()
    behavior: _Behavior | None = None


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    api_version: Literal["autoscaling/v2"] = Field(alias="apiVersion")
    kind: Literal["HorizontalPodAutoscaler"]
    metadata: Metadata
    spec: _Spec
    status: Status | None = None

    def to_spec(self) -> HpaSpec:
        metrics = tuple(metric.to_spec() for metric in self.spec.metrics)
        return HpaSpec(
            min_replicas=self.spec.min_replicas,
            max_replicas=self.spec.max_replicas,
            metrics=metrics or (_CPU_AT_80_PCT,),
            behavior=self.spec.behavior.to_spec() if self.spec.behavior else None,
            namespace=self.metadata.namespace or "default",
        )
