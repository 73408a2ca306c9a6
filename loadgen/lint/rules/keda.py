"""Rules for what KEDA does besides its HPA: polling, activation, and scaling to and from zero."""

from collections.abc import Iterator

from loadgen.kube.objects.fields.autoscalers import ScaledObjectSpec
from loadgen.lint.autoscalers import Autoscaler, finite_number
from loadgen.lint.codes import scaling
from loadgen.lint.pitfall import Pitfall
from loadgen.lint.setup import Setup

_POLLING_S = 30
"""KEDA's default, and the most that is not reported."""
_SYNC_PERIOD_S = 15
_LEAST_COOLDOWN_S = 120


def check(setup: Setup) -> Iterator[Pitfall]:
    """Yield the pitfalls of every ScaledObject."""
    for each in setup.autoscalers:
        if each.object.kind == "ScaledObject":
            yield from _caches(each, each.object.fields.spec)
            if each.least == 0:
                yield from _from_zero(each, each.object.fields.spec)


def _caches(each: Autoscaler, spec: ScaledObjectSpec) -> Iterator[Pitfall]:
    for place, trigger in enumerate(spec.triggers):
        if trigger.useCachedMetrics and spec.pollingInterval > _SYNC_PERIOD_S:
            value = f"true, with a pollingInterval of {spec.pollingInterval} s"
            yield each.object.pitfall(scaling.KEDA_CACHED, f"spec.triggers[{place}].useCachedMetrics", value)


def _from_zero(each: Autoscaler, spec: ScaledObjectSpec) -> Iterator[Pitfall]:
    """Yield the pitfalls of a fleet that has no replicas at times; activation and cooldown matter to no other."""
    for place, trigger in enumerate(spec.triggers):
        metadata = trigger.metadata
        activation, threshold = (finite_number(metadata.get(name, "")) for name in ("activationThreshold", "threshold"))
        if activation is not None and threshold is not None and activation >= threshold:
            value = f"{activation:g}, with a threshold of {threshold:g}"
            field = f"spec.triggers[{place}].metadata.activationThreshold"
            yield each.object.pitfall(scaling.KEDA_ACTIVATION, field, value)
    if spec.pollingInterval > _POLLING_S:
        yield each.object.pitfall(scaling.KEDA_POLLING, "spec.pollingInterval", f"{spec.pollingInterval} s")
    if spec.cooldownPeriod < _LEAST_COOLDOWN_S:
        yield each.object.pitfall(scaling.KEDA_COOLDOWN, "spec.cooldownPeriod", f"{spec.cooldownPeriod} s")
