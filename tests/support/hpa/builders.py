"""Builders for the values of an HPA sync, so that a test states only the values that matter to it."""

from dataclasses import replace

from loadgen.autoscale.hpa import reconcile
from loadgen.autoscale.spec import (
    DEFAULT_CONTROLLER,
    DEFAULT_SCALE_DOWN,
    DEFAULT_SCALE_UP,
    Behavior,
    ExternalMetric,
    HpaSpec,
    ObjectMetric,
    PodsMetric,
    Policy,
    ResourceMetric,
    Target,
)
from loadgen.autoscale.state import (
    Decision,
    HpaStatus,
    Memory,
    ObjectValue,
    PodState,
    PodValues,
    Recommendation,
    ScaleEvent,
    ScaleState,
    to_ns,
)

NOW_S = 1000.0
FRESH = Memory()
NEW = HpaStatus()


def pods_metric(target_milli=1000, name="load", **more):
    return PodsMetric(name=name, target=Target(type="AverageValue", average_value_milli=target_milli), **more)


def object_metric(value_milli=None, average_milli=None, name="queue", **more):
    type_ = "AverageValue" if value_milli is None else "Value"
    target = Target(type=type_, value_milli=value_milli, average_value_milli=average_milli)
    return ObjectMetric(name=name, target=target, kind="Service", object_name="triton", **more)


def external_metric(value_milli=None, average_milli=None, name="backlog", **more):
    type_ = "AverageValue" if value_milli is None else "Value"
    target = Target(type=type_, value_milli=value_milli, average_value_milli=average_milli)
    return ExternalMetric(name=name, target=target, **more)


def resource_metric(utilization_pct=None, average_milli=None, resource="cpu", **more):
    type_ = "AverageValue" if utilization_pct is None else "Utilization"
    target = Target(type=type_, average_utilization_pct=utilization_pct, average_value_milli=average_milli)
    return ResourceMetric(resource=resource, target=target, **more)


def spec(*metrics, lowest=1, highest=100, behavior=None, **more):
    metrics = metrics or (pods_metric(),)
    return HpaSpec(min_replicas=lowest, max_replicas=highest, metrics=metrics, behavior=behavior, **more)


def behavior(up=None, down=None):
    """Return the API server's defaults with the given fields replaced, and by default a scale-down window of 0 s."""
    return Behavior(
        scale_up=replace(DEFAULT_SCALE_UP, **(up or {})),
        scale_down=replace(DEFAULT_SCALE_DOWN, **({"stabilization_window_s": 0} | (down or {}))),
    )


def policy(type_, value, period_s=60):
    return Policy(type=type_, value=value, period_s=period_s)


def pods(count, **fields):
    return tuple(PodState(name=f"p{number}", **fields) for number in range(count))


def values(*milli):
    """Return one value per pod p0, p1, …; `None` omits the pod's value."""
    return PodValues(milli={f"p{number}": value for number, value in enumerate(milli) if value is not None})


def past(*entries, now_s=NOW_S):
    """Return recommendations, given as (replicas, seconds ago)."""
    return tuple(Recommendation(replicas=replicas, at_ns=to_ns(now_s - ago_s)) for replicas, ago_s in entries)


def changes(*entries, now_s=NOW_S):
    """Return scale events, given as (change, seconds ago)."""
    return tuple(ScaleEvent(change=change, at_ns=to_ns(now_s - ago_s)) for change, ago_s in entries)


def decide(
    spec_,
    *readings,
    replicas,
    status_replicas=None,
    pods_=None,
    memory=FRESH,
    status=NEW,
    now_s=NOW_S,
    controller=DEFAULT_CONTROLLER,
    **scale,
) -> Decision:
    """Run one sync; by default there are as many Running and Ready pods as replicas."""
    exist = replicas if status_replicas is None else status_replicas
    return reconcile(
        spec_,
        now_s=now_s,
        scale=ScaleState(spec_replicas=replicas, status_replicas=exist, **scale),
        pods=pods(replicas) if pods_ is None else pods_,
        readings=readings,
        memory=memory,
        status=status,
        controller=controller,
    )


def decide_wanted(spec_, wanted, *, replicas, **more) -> Decision:
    """Run one sync in which the only metric, an Object with Value target 1, proposes `wanted` replicas.

    The ratio is wanted / replicas, taken times as many ready pods; 1 is held, as it should be.
    """
    return decide(spec_, ObjectValue(milli=1000 * wanted), replicas=replicas, pods_=pods(1), **more)


def reasons(decision):
    return {condition.type: condition.reason for condition in decision.status.conditions}


def condition(decision, type_):
    found = decision.status.condition(type_)
    assert found is not None
    return (found.status, found.reason, found.message)


def events(decision):
    return [(event.type, event.reason, event.message) for event in decision.events]
