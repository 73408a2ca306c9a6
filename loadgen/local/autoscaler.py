"""Autoscales the local stack as a cluster does: prometheus-adapter's query, the HPA twin, the fleet's desired count.

The controller requests the metric of its pods, prometheus-adapter turns the request into one instant query and the
answer into milli quantities, and the controller decides. A failed read has the adapter's message, so that conditions
and events are those of Kubernetes.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any
from urllib.parse import urlencode

from loadgen.autoscale.arithmetic import milli_from_sample
from loadgen.autoscale.hpa import reconcile
from loadgen.autoscale.record import Inputs, inputs_data
from loadgen.autoscale.spec import DEFAULT_SCALE_DOWN, Behavior, HpaSpec, PodsMetric, Target
from loadgen.autoscale.state import (
    Decision,
    HpaStatus,
    Memory,
    PodState,
    PodValues,
    ReadError,
    Reading,
    ScaleState,
)
from loadgen.base.clock import Clock
from loadgen.dataset.events import Emit, Event
from loadgen.dataset.names import EventKind, RescaleReason
from loadgen.dataset.stack import ReplicaPhase
from loadgen.local.fleet import Fleet
from loadgen.local.loopback import Unreachable, get
from loadgen.local.prometheus import RATIO_METRIC
from loadgen.scenario.fleets import Local

_QUERY_TIMEOUT_S = 3.0
# apierr.NewInternalError of prometheus-adapter
_UNREADABLE = ReadError(message="Internal error occurred: unable to fetch metrics")


def hpa_spec(settings: Local) -> HpaSpec:
    """Return the stack's HorizontalPodAutoscaler: Pods metric, AverageValue, `behavior` with the scenario's window.

    Raises:
        SettingsError: The API server would reject it, for instance because its window is longer than an hour.
    """
    low, high = settings.replicas
    target = Target(type="AverageValue", average_value_milli=round(settings.ratio_target * 1000))
    window_s = round(settings.scale_down_window_s)
    return HpaSpec(
        min_replicas=low,
        max_replicas=high,
        metrics=(PodsMetric(name=RATIO_METRIC, target=target),),
        behavior=Behavior(scale_down=replace(DEFAULT_SCALE_DOWN, stabilization_window_s=window_s)),
    )


def adapter_query(pods: Iterable[str]) -> str:
    """Return the PromQL that prometheus-adapter's default rule generates for the metric of these pods."""
    return f'sum({RATIO_METRIC}{{pod=~"{"|".join(pods)}"}}) by (pod)'


def adapter_answer(body: bytes) -> Reading:
    """Convert the body of Prometheus' answer as the adapter does; no series give an empty list, as upstream."""
    try:
        series = json.loads(body)["data"]["result"]
        values = {each["metric"]["pod"]: float(each["value"][1]) for each in series}
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return _UNREADABLE
    return PodValues(milli={pod: milli_from_sample(value) for pod, value in values.items()})


async def read_metric(prometheus: str, pods: Sequence[str]) -> Reading:
    """Query Prometheus (`host:port`) for the metric of these pods, as the adapter does in every sync."""
    if not pods:
        return PodValues(milli={})
    try:
        path = "/api/v1/query?" + urlencode({"query": adapter_query(pods)})
        status, body = await get(prometheus, path, timeout_s=_QUERY_TIMEOUT_S)
    except Unreachable:
        return _UNREADABLE
    return adapter_answer(body) if status == 200 else _UNREADABLE


def pod_state(name: str, phase: ReplicaPhase) -> PodState:
    """Return a replica as the controller sees a pod: Pending until its container runs, ignored once it is deleted."""
    return PodState(
        name=name,
        phase="Pending" if phase in ("created", "scheduled", "pulling") else "Running",
        ready="True" if phase == "ready" else "False",
        deleting=phase == "draining",
    )


class Autoscaler:
    """The HPA controller; its memory between syncs ends with the process, as in Kubernetes."""

    def __init__(self, settings: Local) -> None:
        self.spec = hpa_spec(settings)
        self._memory = Memory()
        self._status = HpaStatus()

    def sync(self, *, now_s: float, desired: int, pods: Sequence[PodState], reading: Reading) -> Decision:
        """Reconcile once, at run time `now_s`; `decision.replicas` is the new desired count."""
        inputs = sync_inputs(desired, pods, reading)
        decision = reconcile(
            self.spec,
            now_s=now_s,
            scale=inputs.scale,
            pods=inputs.pods,
            readings=inputs.readings,
            memory=self._memory,
            status=self._status,
        )
        self._memory, self._status = decision.memory, decision.status
        return decision

    async def scale(self, fleet: Fleet, *, prometheus: str, clock: Clock, emit: Emit) -> int | None:
        """Read the metric of the fleet's pods, decide, scale the fleet, and record the events.

        Args:
            fleet: The replicas to scale.
            prometheus: `host:port` of Prometheus.
            clock: The run's time axis.
            emit: Records an event.

        Returns:
            The average that the decision used, in milli; None if the metric could not be read.
        """
        states, before = fleet.states(), fleet.desired
        reading = await read_metric(prometheus, [each.name for each in states])
        now_s = clock.now_s()
        pods = [pod_state(each.name, each.phase) for each in states]
        decision = self.sync(now_s=now_s, desired=before, pods=pods, reading=reading)
        active = decision.status.condition("ScalingActive")
        reason = active.reason if active else None
        sync = sync_data(self.spec, decision, current=before)
        sync["inputs"] = inputs_data(sync_inputs(before, pods, reading))
        emit(Event(now_s, EventKind.HPA_SYNC, reason=reason, message=decision.error, data=sync))
        if decision.rescaled and decision.replicas is not None:
            rescale = next(event for event in decision.events if event.reason == RescaleReason.BY_AUTOSCALER)
            data = {"before": before, "after": decision.replicas}
            emit(Event(now_s, EventKind.HPA_RESCALE, reason=rescale.reason, message=rescale.message, data=data))
            fleet.scale(decision.replicas, now_s=now_s)
        return metric_milli(decision)


def sync_inputs(desired: int, pods: Sequence[PodState], reading: Reading) -> Inputs:
    """Return what a sync of the stack's autoscaler reads."""
    scale = ScaleState(spec_replicas=desired, status_replicas=sum(not pod.deleting for pod in pods))
    return Inputs(scale=scale, pods=tuple(pods), readings=(reading,))


def metric_milli(decision: Decision) -> int | None:
    """Return the average that the decision used, in milli; None if there was none."""
    return decision.proposals[0].current_milli if decision.proposals else None


def sync_data(spec: HpaSpec, decision: Decision, *, current: int) -> dict[str, Any]:
    """Return `data` of the event `hpa_sync` (docs/dataset.md)."""
    return {
        "current": current,
        "desired": decision.replicas,
        "metric_milli": metric_milli(decision),
        "target_milli": spec.metrics[0].target.average_value_milli,
        "conditions": [
            {"type": each.type, "status": each.status, "reason": each.reason, "message": each.message}
            for each in decision.status.conditions
        ],
        "proposals": [asdict(proposal) for proposal in decision.proposals],
        "steps": [asdict(step) for step in decision.steps],
    }
