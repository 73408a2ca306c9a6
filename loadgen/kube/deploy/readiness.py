"""Waits until a workload on a cluster is ready, and says meanwhile how far it is and what keeps it."""

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from loadgen.base.errors import StackError
from loadgen.kube.client.api import Api, path_of
from loadgen.kube.objects import rollout
from loadgen.kube.objects.revision import left_to_do, new_pods, unseen
from loadgen.kube.objects.rollout import Cause
from loadgen.kube.objects.workload import GROUPS, Workload

Say = Callable[[str], None]

_POLL_S = 0.5
_SLOW_POLL_S = 3.0
_SLOW_AFTER_S = 60.0
_SAY_EVERY_S = 30.0
_METRIC_WITHIN_S = 120.0


def wait_until_ready(
    api: Api, workload: Workload, replicas: int, *, say: Say, patience_s: float, within_s: float = 7200.0
) -> bool:
    """Wait until all replicas are of the last version and so many of them are ready, and say how far they are.

    Returns:
        Whether there was something to wait for.

    Raises:
        StackError: a pod of the last version is stuck for longer than `patience_s`, it takes longer than `within_s`,
            or the workload is gone.
    """
    since: dict[tuple[str, str], float] = {}
    said, said_at = "", 0.0
    started = time.monotonic()
    while True:
        now = time.monotonic()
        raw, pods = _look(api, workload)
        left = left_to_do(raw, replicas)
        if left is None and sum(rollout.phase(pod) == "ready" for pod in pods) >= replicas:
            return bool(said)
        events = _events(api, workload.namespace)
        causes = [] if unseen(raw) else [*rollout.stuck(pods, events), *_paused(raw, left)]
        since = {cause[:2]: since.get(cause[:2], now) for cause in causes}
        reasons = list(dict.fromkeys(cause.why for cause in causes))
        doing = rollout.summary(pods, replicas) + (f"; in mid-rollout: {left}" if left else "")
        if doing != said or now > said_at + _SAY_EVERY_S:
            say("; ".join([doing, *reasons]))
            said, said_at = doing, now
        for cause in causes:
            if now > since[cause[:2]] + patience_s:
                raise StackError(f"{workload} does not become ready: {cause.why}")
        if now > started + within_s:
            raise StackError(
                f"{workload} is not ready within {within_s:g} s: {doing}; {'; '.join(reasons) or _last(events)}"
            )
        # an engine may be built for hours
        time.sleep(_POLL_S if now < started + _SLOW_AFTER_S else _SLOW_POLL_S)


def _look(api: Api, workload: Workload) -> tuple[Any, list[Any]]:
    """The workload, and those of its pods that are of its last version and on their way."""
    inside = ("v1", "namespaces", workload.namespace)
    objects = path_of("apis", GROUPS[workload.kind], *inside, f"{workload.kind.lower()}s")
    found = api.items(objects, fieldSelector=f"metadata.name={workload.name}")
    if not found:
        raise StackError(f"{workload} is gone: somebody has removed it; deploy it again")
    raw = {**found[0], "kind": workload.kind}
    pods = api.items(path_of("api", *inside, "pods"), labelSelector=workload.selector)
    sets = None
    if workload.kind == "Deployment":
        with contextlib.suppress(StackError):  # without the right to read them every pod counts
            sets = api.items(path_of("apis", "apps", *inside, "replicasets"), labelSelector=workload.selector)
    return raw, [pod for pod in new_pods(raw, pods, sets) if rollout.on_its_way(pod)]


def _paused(raw: Any, left: str | None) -> list[Cause]:
    if left is None or not raw["spec"].get("paused"):
        return []
    return [Cause(raw["metadata"]["uid"], "pause", "its rollout is paused: go on with `kubectl rollout resume`")]


def _events(api: Api, namespace: str) -> list[Any]:
    try:
        return api.items(path_of("api", "v1", "namespaces", namespace, "events"))
    except StackError:
        return []  # without the right to read them there is less to say


def _last(events: Sequence[Any]) -> str:
    warnings = [each for each in events if each.get("type") == "Warning"]
    warnings.sort(key=lambda each: str(each.get("lastTimestamp") or each.get("eventTime") or ""))
    return str(warnings[-1].get("message", "")) if warnings else "the cluster says nothing of it"


def why_blind(api: Api, namespace: str, name: str, metric: str, *, say: Say) -> str | None:
    """Wait until a pass of the HPA controller has found its metric: a run that begins before begins blind.

    Returns:
        None as soon as it has; a sentence when it has not for two minutes.
    """
    path = path_of("apis", "autoscaling", "v2", "namespaces", namespace, "horizontalpodautoscalers")
    deadline = time.monotonic() + _METRIC_WITHIN_S
    told = False
    while True:
        # listed, as a run needs no right to get one
        listed = api.items(path, fieldSelector=f"metadata.name={name}")
        conditions = listed[0].get("status", {}).get("conditions", []) if listed else []
        active: dict[str, Any] = next((each for each in conditions if each["type"] == "ScalingActive"), {})
        if active.get("status") == "True":
            return None
        if time.monotonic() > deadline:
            said = active.get("message", "it has made no pass yet")
            return (
                f"the HPA {name} cannot read {metric} after {_METRIC_WITHIN_S:g} s: {said}; "
                "read the logs of the metrics adapter and Prometheus"
            )
        if not told:
            say(f"waiting until the HPA {name} reads its metric")
            told = True
        time.sleep(_POLL_S)
