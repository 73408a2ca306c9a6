"""Waits until a workload on a cluster is ready, and reports its progress and what blocks it."""

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from loadgen.base.console import Say
from loadgen.base.errors import StackError
from loadgen.kube.client.api import Api, path_of
from loadgen.kube.objects.pod_startup import (
    READY,
    Blocker,
    find_blockers,
    find_progress,
    is_active,
    startup_stage,
    summary,
)
from loadgen.kube.objects.rollout_status import rollout_pending, spec_observed, updated_pods
from loadgen.kube.objects.workload import GROUPS, Workload

_POLL_S = 0.5
_SLOW_POLL_S = 3.0
_SLOW_AFTER_S = 60.0
_REPEAT_S = 30.0
_METRIC_TIMEOUT_S = 120.0


def wait_until_ready(
    api: Api, workload: Workload, replicas: int, *, say: Say, patience_s: float, within_s: float = 7200.0
) -> bool:
    """Wait until the rollout is complete and enough replicas are ready, or the workload is scaled to zero.

    An HPA does nothing while its workload is scaled to zero, so replicas come with load only. A new problem is reported
    at once. A pod that a node provisioner adds a node for is not blocked, and neither is a container that runs again
    after it failed; the time that a pod was blocked before still counts.

    Args:
        api: The cluster.
        workload: The workload.
        replicas: How many replicas must be ready.
        say: Receives progress messages.
        patience_s: How long an updated pod may be blocked, all in all, before that is an error.
        within_s: Longest wait.

    Returns:
        Whether there was anything to wait for.

    Raises:
        StackError: an updated pod is blocked for longer than `patience_s`, the wait exceeds `within_s`, or the
            workload was deleted.
    """
    blocked_s: dict[tuple[str, str], float] = {}
    before: set[tuple[str, str]] = set()
    last_progress, last_said_s = "", 0.0
    started_s = before_s = time.monotonic()
    while True:
        now_s = time.monotonic()
        raw, pods = _read(api, workload)
        if raw["spec"].get("replicas") == 0 and spec_observed(raw):
            say(f"{workload} is scaled to zero; its autoscaler starts replicas when there is load")
            return bool(last_progress)
        pending = rollout_pending(raw, replicas)
        if pending is None and sum(startup_stage(pod) == READY for pod in pods) >= replicas:
            return bool(last_progress)
        events = _events(api, workload.namespace)
        blockers: list[Blocker] = []
        if spec_observed(raw):
            blockers = [*find_blockers(pods, events, replicas=replicas, workload=raw), *_paused(raw, pending)]
        blocked, new = {each[:2] for each in blockers}, {each[:2] for each in blockers} - blocked_s.keys()
        for key in blocked:
            blocked_s[key] = blocked_s.get(key, 0.0) + (now_s - before_s if key in before else 0.0)
        before, before_s = blocked, now_s
        messages = list(dict.fromkeys(each.message for each in blockers))
        rollout = [f"rollout in progress: {pending}"] if pending else []
        progress = "; ".join([summary(pods, replicas), *rollout, *find_progress(pods, events)])
        if progress != last_progress or new or now_s > last_said_s + _REPEAT_S:
            say("; ".join([progress, *messages]))
            last_progress, last_said_s = progress, now_s
        for blocker in blockers:
            if blocked_s[blocker[:2]] > patience_s:
                raise StackError(f"{workload} does not become ready: {blocker.message}")
        if now_s > started_s + within_s:
            cause = "; ".join(messages) or _last_warning(events)
            raise StackError(f"{workload} is not ready within {within_s:g} s: {progress}; {cause}")
        # building an engine may take hours
        time.sleep(_POLL_S if now_s < started_s + _SLOW_AFTER_S else _SLOW_POLL_S)


def _read(api: Api, workload: Workload) -> tuple[Any, list[Any]]:
    """Return the workload and its active pods of the latest revision."""
    inside = ("v1", "namespaces", workload.namespace)
    path = path_of("apis", GROUPS[workload.kind], *inside, f"{workload.kind.lower()}s")
    workloads = api.items(path, fieldSelector=f"metadata.name={workload.name}")
    if not workloads:
        raise StackError(f"{workload} was deleted: deploy it again")
    raw = {**workloads[0], "kind": workload.kind}
    pods = api.items(path_of("api", *inside, "pods"), labelSelector=workload.selector)
    replica_sets = None
    if workload.kind == "Deployment":
        with contextlib.suppress(StackError):  # without permission to list ReplicaSets, all pods count
            replica_sets = api.items(path_of("apis", "apps", *inside, "replicasets"), labelSelector=workload.selector)
    return raw, [pod for pod in updated_pods(raw, pods, replica_sets) if is_active(pod)]


def _paused(raw: Any, pending: str | None) -> list[Blocker]:
    if pending is None or not raw["spec"].get("paused"):
        return []
    return [Blocker(raw["metadata"]["uid"], "pause", "its rollout is paused: run `kubectl rollout resume`")]


def _events(api: Api, namespace: str) -> list[Any]:
    try:
        return api.items(path_of("api", "v1", "namespaces", namespace, "events"))
    except StackError:
        return []  # without permission to list events, fewer blockers can be found


def _last_warning(events: Sequence[Any]) -> str:
    warnings = [each for each in events if each.get("type") == "Warning"]
    warnings.sort(key=lambda each: str(each.get("lastTimestamp") or each.get("eventTime") or ""))
    return str(warnings[-1].get("message", "")) if warnings else "the cluster reports no reason"


def wait_for_hpa_metric(api: Api, namespace: str, name: str, metric: str, *, say: Say) -> str | None:
    """Wait until the HPA controller has read its metric, so that the HPA can scale when the load starts.

    Args:
        api: The cluster.
        namespace: Namespace of the HPA.
        name: Name of the HPA.
        metric: Name of the metric, for messages.
        say: Receives progress messages.

    Returns:
        None once the controller has read the metric; after two minutes, a sentence that says why it cannot.
    """
    path = path_of("apis", "autoscaling", "v2", "namespaces", namespace, "horizontalpodautoscalers")
    deadline = time.monotonic() + _METRIC_TIMEOUT_S
    waiting = False
    while True:
        # list instead of get: a run requires no permission to get an HPA
        hpas = api.items(path, fieldSelector=f"metadata.name={name}")
        conditions = hpas[0].get("status", {}).get("conditions", []) if hpas else []
        active: dict[str, Any] = next((each for each in conditions if each["type"] == "ScalingActive"), {})
        if active.get("status") == "True":
            return None
        if time.monotonic() > deadline:
            reason = active.get("message", "the controller has not synced it yet")
            return (
                f"the HPA {name} cannot read {metric} after {_METRIC_TIMEOUT_S:g} s: {reason}; "
                "check the logs of the metrics adapter and of Prometheus"
            )
        if not waiting:
            say(f"waiting for the HPA {name} to read its metric")
            waiting = True
        time.sleep(_POLL_S)
