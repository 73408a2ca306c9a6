"""Rules for the pods of the servers: termination, resources, rollouts and disruptions."""

import math
import re
from collections.abc import Iterator

from loadgen.base.quantity import parse_quantity
from loadgen.kube.objects.fields.monitoring import BudgetSpec
from loadgen.kube.objects.fields.workloads import LeaderWorkerSet
from loadgen.lint.codes import serving
from loadgen.lint.objects import selects
from loadgen.lint.pitfall import Pitfall, Severity
from loadgen.lint.servers import Server, is_gpu
from loadgen.lint.setup import Setup

_DEFAULT_S = 30
"""Kubernetes' grace period, and Triton's `--exit-timeout-secs`, where nothing is set."""
_LLM_IMAGE = re.compile(r"trt-?llm|vllm")


def check(setup: Setup) -> Iterator[Pitfall]:
    """Yield the pitfalls of the pods of every server."""
    for server in setup.servers:
        yield from _termination(server)
        yield from _resources(server)
        yield from _rollout(server)
        yield from _disruption(setup, server)


def _termination(server: Server) -> Iterator[Pitfall]:
    field = f"{server.template_field}.spec.terminationGracePeriodSeconds"
    grace_s, pre_stop_s = server.grace_s, server.pre_stop_s or 0
    timeouts = [int(value) for value in server.flags("exit-timeout-secs") if re.fullmatch(r"[0-9]{1,9}", value)]
    needed_s = pre_stop_s + (timeouts[-1] if timeouts else 0)
    if grace_s == 0:
        value = "0 s: the server is killed at once, without its preStop hook"
        yield server.object.pitfall(serving.GRACE_SHORT, field, value)
    elif grace_s < needed_s or (pre_stop_s and grace_s <= pre_stop_s):
        value = f"{grace_s} s, with a preStop delay of {pre_stop_s} s"
        value += f" and --exit-timeout-secs={timeouts[-1]}" if timeouts else ""
        yield server.object.pitfall(serving.GRACE_SHORT, field, value)
    elif grace_s <= _DEFAULT_S:
        value = f"{grace_s} s" if server.template.spec.terminationGracePeriodSeconds is not None else "not set: 30 s"
        yield server.object.pitfall(serving.GRACE_DEFAULT, field, value)
    elif not timeouts and "tritonserver" in server.command:
        value = f"no --exit-timeout-secs, with a grace period of {grace_s} s"
        yield server.object.pitfall(serving.EXIT_TIMEOUT, f"{server.container_field}.command and args", value)
    if server.pre_stop_s is None:
        yield server.object.pitfall(serving.NO_PRESTOP, f"{server.container_field}.lifecycle.preStop", "not set")


def _resources(server: Server) -> Iterator[Pitfall]:
    container = server.container
    names = {*container.resources.limits, *container.resources.requests}
    by_runtime = any(each.name == "NVIDIA_VISIBLE_DEVICES" for each in container.env)
    has_gpu = any(map(is_gpu, names)) or container.resources.claims or by_runtime
    if not has_gpu and not server.workload.emulated:
        severity: Severity | None = "error" if _LLM_IMAGE.search(container.image) else None
        field = f"{server.container_field}.resources"
        value = f"no GPU, with the image {container.image or 'not set'}"
        yield server.object.pitfall(serving.NO_GPU, field, value, severity=severity)
    limits, requests = container.resources.limits, container.resources.requests
    for name in sorted(filter(is_gpu, requests)):
        if name.startswith("nvidia.com/") and parse_quantity(requests[name]) != parse_quantity(limits.get(name, 0)):
            field = f"{server.container_field}.resources.requests"
            value = f"{name}: {requests[name]}, with a limit of {limits.get(name, 'nothing')}"
            yield server.object.pitfall(serving.GPU_REQUEST, field, value)
    if not any(each.mountPath.rstrip("/") == "/dev/shm" for each in container.volumeMounts):  # noqa: S108
        yield server.object.pitfall(serving.SHARED_MEMORY, f"{server.container_field}.volumeMounts", "no /dev/shm")


def _number(value: int | str, of: int, *, rounded_up: bool = False) -> int:
    """Return a number or percentage of pods; percentages are rounded as the API says."""
    if isinstance(value, int):
        return value
    percent = re.fullmatch(r"([0-9]{1,6})%", value)
    share = int(percent[1]) * of / 100 if percent else 0.0
    return math.ceil(share) if rounded_up else math.floor(share)


def _rollout(server: Server) -> Iterator[Pitfall]:
    fields, least = server.object.fields, server.least
    if server.strategy is not None:
        field, limits = "spec.strategy", server.strategy.rollingUpdate
        if server.strategy.type == "Recreate":
            yield server.object.pitfall(serving.RECREATE, "spec.strategy.type", "Recreate")
            return
        field = "spec.strategy.rollingUpdate"
        surge, unavailable = limits.maxSurge, limits.maxUnavailable
    elif isinstance(fields, LeaderWorkerSet):
        field = "spec.rolloutStrategy.rollingUpdateConfiguration"
        group = fields.spec.rolloutStrategy.rollingUpdateConfiguration
        surge, unavailable = group.maxSurge, group.maxUnavailable
    else:
        return
    if _number(unavailable, least) >= least:
        value = (
            f"maxUnavailable {unavailable}, maxSurge {surge}, with {least} replica{'s' if least > 1 else ''} at least"
        )
        yield server.object.pitfall(serving.UNAVAILABLE, field, value)


def _disruption(setup: Setup, server: Server) -> Iterator[Pitfall]:
    if "PodDisruptionBudget" in setup.objects.unread:
        return
    budgets = [
        each
        for each in setup.objects.of("PodDisruptionBudget")
        if each.namespace == server.object.namespace
        and each.fields.spec.selector is not None
        and selects(each.fields.spec.selector, server.workload.labels)
    ]
    if not budgets:
        yield server.object.pitfall(
            serving.NO_BUDGET, f"{server.template_field}.metadata.labels", "no budget selects them"
        )
    for each in budgets:
        if _evictable(each.fields.spec, server.least) <= 0 and server.object.kind != "LeaderWorkerSet":
            given = {"minAvailable": each.fields.spec.minAvailable, "maxUnavailable": each.fields.spec.maxUnavailable}
            field = next(name for name, value in given.items() if value is not None)
            yield each.pitfall(serving.BLOCKED, f"spec.{field}", f"{given[field]}, with {server.least} at least")


def _evictable(budget: BudgetSpec, replicas: int) -> int:
    """Return how many of some ready pods a budget lets go."""
    if budget.maxUnavailable is not None:
        return _number(budget.maxUnavailable, replicas, rounded_up=True)
    if budget.minAvailable is not None:
        return replicas - _number(budget.minAvailable, replicas, rounded_up=True)
    return replicas
