"""Waits until a workload on a cluster is ready, and says meanwhile how far it is and what keeps it."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from loadgen.errors import StackError
from loadgen.kube import rollout
from loadgen.kube.api import Api, path_of
from loadgen.kube.find import Workload

Say = Callable[[str], None]

_POLL_S = 0.5
_SLOW_POLL_S = 3.0
_SLOW_AFTER_S = 60.0
_SAY_EVERY_S = 30.0
_METRIC_WITHIN_S = 120.0


def wait_until_ready(
    api: Api, workload: Workload, replicas: int, *, say: Say, patience_s: float, within_s: float = 7200.0
) -> bool:
    """Wait until so many pods are ready, and say how far they are.

    Returns:
        Whether there was something to wait for.

    Raises:
        StackError: a pod is stuck for longer than `patience_s`, or it takes longer than `within_s`.
    """
    path = path_of("api", "v1", "namespaces", workload.namespace)
    since: dict[str, float] = {}
    said, said_at = "", 0.0
    started = time.monotonic()
    while True:
        now = time.monotonic()
        pods = [
            pod
            for pod in api.items(f"{path}/pods", labelSelector=workload.selector)
            if "deletionTimestamp" not in pod["metadata"]
        ]
        if sum(rollout.phase(pod) == "ready" for pod in pods) >= replicas:
            return bool(said)
        events = _events(api, path)
        since = {reason: since.get(reason, now) for reason in rollout.stuck(pods, events)}
        doing = rollout.summary(pods, replicas)
        if doing != said or now > said_at + _SAY_EVERY_S:
            say(doing + "".join(f"; {reason}" for reason in since))
            said, said_at = doing, now
        for reason, first in since.items():
            if now > first + patience_s:
                raise StackError(f"{workload} does not become ready: {reason}")
        if now > started + within_s:
            raise StackError(
                f"{workload} is not ready within {within_s:g} s: {doing}; {'; '.join(since) or _last(events)}"
            )
        # an engine may be built for hours
        time.sleep(_POLL_S if now < started + _SLOW_AFTER_S else _SLOW_POLL_S)


def _events(api: Api, path: str) -> list[Any]:
    try:
        return api.items(f"{path}/events")
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
    path = path_of("apis", "autoscaling", "v2", "namespaces", namespace, "horizontalpodautoscalers", name)
    deadline = time.monotonic() + _METRIC_WITHIN_S
    told = False
    while True:
        status = (api.get(path) or {}).get("status", {})
        conditions = status.get("conditions", [])
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
