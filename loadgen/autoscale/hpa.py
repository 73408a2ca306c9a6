"""Runs one sync of the HorizontalPodAutoscaler controller of Kubernetes v1.37, as a pure function.

    scale ─▶ zero, above max, below min? ─▶ metrics ─▶ windows ─▶ rate limits ─▶ scale, status, events, memory
                      │ yes                                                          ▲
                      └──────────────── bound, or nothing at zero ───────────────────┘

Source: `reconcileAutoscaler` in `pkg/controller/podautoscaler/horizontal.go`, v1.37.1; the tests replay recordings of
it. Three cases are not modelled, because they involve more than one sync: a lost status write, a write conflict that
the retry resolves, and a sync that is delayed because the cache is stale.
"""

from collections.abc import Sequence
from dataclasses import replace

from loadgen.autoscale.draft import Draft
from loadgen.autoscale.normalize import remember_change
from loadgen.autoscale.proposals import Sync, propose_all
from loadgen.autoscale.replicas import tolerances_for
from loadgen.autoscale.rules import Rule
from loadgen.autoscale.spec import DEFAULT_CONTROLLER, ControllerSettings, HpaSpec
from loadgen.autoscale.state import (
    Decision,
    Event,
    HpaStatus,
    Memory,
    PodState,
    ReadError,
    Reading,
    Recommendation,
    ScaleState,
    to_ns,
)

_ABOVE_MAX = "Current number of replicas above Spec.MaxReplicas"
_BELOW_MIN = "Current number of replicas below Spec.MinReplicas"


def reconcile(
    spec: HpaSpec,
    *,
    now_s: float,
    scale: ScaleState | ReadError,
    pods: Sequence[PodState],
    readings: Sequence[Reading],
    memory: Memory,
    status: HpaStatus,
    controller: ControllerSettings = DEFAULT_CONTROLLER,
) -> Decision:
    """Decide what the controller does in one sync.

    Args:
        spec: The HPA.
        now_s: Time of the sync, seconds on any axis that pods, samples, memory and status share.
        scale: The target's scale, or the error of reading it.
        pods: All pods that the scale's selector matches.
        readings: One answer per metric of the spec, in its order. They are ignored while the replicas are outside the
            bounds or the HPA is disabled.
        memory: Memory of the previous decision; `Memory()` after a start of the controller.
        status: Status of the previous decision; `HpaStatus()` for a new HPA.
        controller: The controller's flags.

    Returns:
        The decision. Its `memory` and `status` are inputs of the next sync.

    Raises:
        ValueError: The numbers of readings and metrics differ.
        TypeError: A reading does not have the kind of its metric.
    """
    draft = Draft(now_s=now_s, memory=memory, status=status)
    if isinstance(scale, ReadError):
        text = f"the HPA controller was unable to get the target's current scale: {scale.message}"
        draft.warn("FailedGetScale", scale.message)
        draft.set("AbleToScale", "False", "FailedGetScale", text)
        draft.step(Rule.SCALE_UNAVAILABLE, status.current_replicas, status.current_replicas)
        return draft.decide(None, rescaled=False)
    text = "the HPA controller was able to get the target's current scale"
    draft.set("AbleToScale", "True", "SucceededGetScale", text)
    current, lowest = scale.spec_replicas, spec.lowest
    if not memory.recommendations:
        # Recorded before the metrics are read, so a window of 0 s already excludes it.
        first = Recommendation(replicas=current, at_ns=to_ns(now_s) - 1)
        draft.memory = replace(memory, recommendations=(first,))

    zeroed = status.condition("ScaledToZero") if controller.scale_to_zero else None
    zeroed_by_hpa = zeroed is not None and zeroed.status == "True"
    if current == 0 and not zeroed_by_hpa:
        # `shouldComputeMetricsForZeroReplicas`: zero replicas that the HPA did not set pause it.
        text = "scaling is disabled since the replica count of the target is zero"
        draft.set("ScalingActive", "False", "ScalingDisabled", text)
        if not controller.scale_to_zero:
            draft.unset("ScaledToZero")
        draft.step(Rule.DISABLED, current, current)
        return draft.decide_unchanged(current, desired=current)
    if current > spec.max_replicas:
        draft.step(Rule.MAX, current, spec.max_replicas)
        return _rescale(draft, spec, scale, spec.max_replicas, _ABOVE_MAX, controller)
    if 0 < current < lowest:
        draft.step(Rule.MIN, current, lowest)
        return _rescale(draft, spec, scale, lowest, _BELOW_MIN, controller)

    if scale.selector_error:
        draft.report_selector_error(scale.selector_error)
        draft.step(Rule.SELECTOR_INVALID, current, current)
        return draft.decide_unchanged(current)
    sync = Sync(
        namespace=spec.namespace,
        now_s=now_s,
        scale=scale,
        pods=pods,
        tolerances=tolerances_for(spec.behavior, controller),
        controller=controller,
    )
    combined = propose_all(spec.metrics, readings, sync)
    draft.report_metrics(combined, current)
    if combined.replicas is None:
        return draft.decide_unchanged(current)

    desired, reason = max(combined.replicas, 0), ""
    if desired > current:
        reason = f"{combined.metric} above target"
    elif desired < current:
        reason = "All metrics below target"
    desired = draft.normalize(spec, desired, current=current, window_s=controller.downscale_stabilization_s)
    if current == 0 and desired < lowest:
        # The lower bound was raised while the HPA was at zero.
        draft.step(Rule.MIN, desired, lowest)
        desired, reason = lowest, reason or _BELOW_MIN
    if desired == current:
        return draft.decide_unchanged(current, desired=current, reason=reason)
    return _rescale(draft, spec, scale, desired, reason, controller)


def _rescale(
    draft: Draft, spec: HpaSpec, scale: ScaleState, desired: int, reason: str, controller: ControllerSettings
) -> Decision:
    current, size = scale.spec_replicas, f"New size: {desired}; reason: {reason}"
    if scale.update_error is not None:
        text = f"the HPA controller was unable to update the target scale: {scale.update_error}"
        draft.warn("FailedRescale", f"{size}; error: {scale.update_error}")
        draft.step(Rule.WRITE_FAILED, desired, current)
        draft.set("AbleToScale", "False", "FailedUpdateScale", text)
        return draft.decide_unchanged(current, reason=reason)

    text = f"the HPA controller was able to update the target scale to {desired}"
    draft.set("AbleToScale", "True", "SucceededRescale", text)
    draft.events.append(Event(type="Normal", reason="SuccessfulRescale", message=size))
    now_ns = to_ns(draft.now_s)
    draft.memory = remember_change(draft.memory, spec.behavior, before=current, after=desired, now_ns=now_ns)
    if not controller.scale_to_zero:
        draft.unset("ScaledToZero")
    elif desired == 0:
        # The lower bound is 0, so an Object or External metric exists that can scale up again: `HpaSpec` checks it.
        text = "the HPA controller scaled the workload to zero"
        draft.set("ScaledToZero", "True", "ScaledToZero", text)
    else:
        text = "the HPA controller did not scale the workload to zero"
        draft.set("ScaledToZero", "False", "NotScaledToZero", text)
    draft.status = replace(draft.status, current_replicas=current, desired_replicas=desired, last_scale_s=draft.now_s)
    return draft.decide(desired, rescaled=True, reason=reason)
