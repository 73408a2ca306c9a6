"""Rules for autoscalers: their behavior and bounds, their workload, and several on one workload."""

from collections import defaultdict
from collections.abc import Iterator

from loadgen.autoscale.spec import DEFAULT_SCALE_DOWN, Behavior, ScalingRules
from loadgen.lint.autoscalers import Autoscaler
from loadgen.lint.codes import scaling
from loadgen.lint.pitfall import Pitfall
from loadgen.lint.servers import WORKLOADS
from loadgen.lint.setup import Setup

_VERSION = "autoscaling/v2"
_LEAST_DOWN_WINDOW_S = 120
_MOST_UP_WINDOW_S = 60
_TOLERANCE_RATIO = (0.03, 0.3)


def check(setup: Setup) -> Iterator[Pitfall]:
    """Yield the pitfalls of every autoscaler."""
    for each in setup.autoscalers:
        version = str(each.object.raw["apiVersion"])
        if each.object.kind == "HorizontalPodAutoscaler" and version != _VERSION:
            yield each.object.pitfall(scaling.HPA_VERSION, "apiVersion", version)
        elif each.spec is None:
            yield each.object.pitfall(scaling.HPA_INVALID, "spec", each.problem)
        if each.spec is not None:
            yield from _behavior(each, each.spec.behavior)
            if each.spec.lowest == each.spec.max_replicas and each.least > 0:
                field = "spec.maxReplicas" if each.object.kind == "HorizontalPodAutoscaler" else "spec.maxReplicaCount"
                yield each.object.pitfall(scaling.FIXED, field, f"{each.spec.max_replicas}, as the least number")
        yield from _target(setup, each)
    yield from _several(setup)
    for server in setup.servers:
        # of an object that the API server wrote, the number is the autoscaler's
        is_written = "resourceVersion" in server.object.raw["metadata"] or "uid" in server.object.raw["metadata"]
        if server.autoscaler is not None and server.replicas is not None and not is_written:
            value = f"{server.replicas}, beside the {server.autoscaler.object.kind} {server.autoscaler.object.name}"
            yield server.object.pitfall(scaling.REPLICAS_FIELD, "spec.replicas", value)


def _behavior(each: Autoscaler, behavior: Behavior | None) -> Iterator[Pitfall]:
    field = each.behavior_field
    if behavior is None:
        yield each.object.pitfall(scaling.NO_BEHAVIOR, field, "not set")
        return
    up, down = behavior.scale_up, behavior.scale_down
    if down.select_policy == "Disabled":
        yield each.object.pitfall(scaling.SCALE_DOWN_DISABLED, f"{field}.scaleDown.selectPolicy", "Disabled")
    elif _is_at_once(down):
        value = "Percent 100, Kubernetes' default" if down.policies == DEFAULT_SCALE_DOWN.policies else "Percent 100"
        yield each.object.pitfall(scaling.SCALE_DOWN_AT_ONCE, f"{field}.scaleDown.policies", value)
    down_s, up_s = down.stabilization_window_s, up.stabilization_window_s
    if down_s is not None and down_s < _LEAST_DOWN_WINDOW_S and down.select_policy != "Disabled":
        field_down = f"{field}.scaleDown.stabilizationWindowSeconds"
        yield each.object.pitfall(scaling.SCALE_DOWN_WINDOW, field_down, f"{down_s} s")
    if up_s is not None and up_s > _MOST_UP_WINDOW_S:
        yield each.object.pitfall(scaling.SCALE_UP_WINDOW, f"{field}.scaleUp.stabilizationWindowSeconds", f"{up_s} s")
    for name, rules in (("scaleUp", up), ("scaleDown", down)):
        if rules.tolerance_ratio is None:
            continue
        narrow, wide = _TOLERANCE_RATIO
        if rules.tolerance_ratio < narrow:
            value = f"{rules.tolerance_ratio:g}"
            yield each.object.pitfall(scaling.TOLERANCE_NARROW, f"{field}.{name}.tolerance", value)
        elif rules.tolerance_ratio > wide:
            value = f"{rules.tolerance_ratio:g}"
            yield each.object.pitfall(scaling.TOLERANCE_WIDE, f"{field}.{name}.tolerance", value)


def _is_at_once(rules: ScalingRules) -> bool:
    """Whether the policies allow to remove all replicas in one step."""
    whole = [each.type == "Percent" and each.value >= 100 for each in rules.policies]
    return all(whole) if rules.select_policy == "Min" else any(whole)


def _target(setup: Setup, each: Autoscaler) -> Iterator[Pitfall]:
    kind, name = each.target
    if kind not in WORKLOADS or kind in setup.objects.unread:
        return
    workloads = {(known.namespace, known.kind, known.name) for known in setup.objects.of(*WORKLOADS)}
    # an input that has no workload of this namespace says nothing about it
    is_known = setup.objects.live or any(server.object.namespace == each.object.namespace for server in setup.servers)
    if is_known and (each.object.namespace, kind, name) not in workloads:
        there = ", ".join(sorted(f"{known[1]} {known[2]}" for known in workloads)) or "there is none"
        yield each.object.pitfall(scaling.NO_TARGET, "spec.scaleTargetRef", f"{kind} {name}; the workloads: {there}")


def _several(setup: Setup) -> Iterator[Pitfall]:
    by_target: dict[tuple[str, str, str], list[Autoscaler]] = defaultdict(list)
    for each in setup.autoscalers:
        by_target[each.object.namespace, *each.target].append(each)
    for (_, kind, name), found in by_target.items():
        hpas = [each for each in found if each.object.kind == "HorizontalPodAutoscaler"]
        scaled = [each for each in found if each.object.kind == "ScaledObject"]
        for group in (hpas, scaled):
            if len(group) > 1:
                names = " and ".join(each.object.name for each in group)
                yield group[-1].object.pitfall(scaling.SEVERAL, "spec.scaleTargetRef", f"{names} scale {kind} {name}")
        if hpas and scaled:
            value = f"the ScaledObject {scaled[0].object.name} scales {kind} {name}, too"
            yield hpas[0].object.pitfall(scaling.KEDA_WITH_HPA, "spec.scaleTargetRef", value)
