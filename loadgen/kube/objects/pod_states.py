"""Derives an event from every change of a pod's conditions and container states, with the API's timestamps.

The scaling delay needs only four of these changes (see `pod_lifecycle`). The full record shows why one step took long.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from loadgen.dataset.names import EventKind
from loadgen.kube.objects.events import RunEvent
from loadgen.kube.objects.raw import Raw, parse_time

_TIMESTAMPS = {"running": "startedAt", "terminated": "finishedAt"}


@dataclass(slots=True)
class PodStates:
    """The last known conditions and container states of one pod."""

    conditions: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    containers: dict[str, tuple[str, str | None, int]] = field(default_factory=dict)

    def update(self, pod: Raw, now_s: float) -> Iterator[RunEvent]:
        """Yield an event for each condition and each container whose state has changed.

        Args:
            pod: The pod.
            now_s: Time of observation, in seconds since the epoch.
        """
        name, status = pod["metadata"]["name"], pod.get("status", {})
        for condition in status.get("conditions") or ():
            current = (condition["status"], condition.get("reason"))
            if self.conditions.get(condition["type"]) != current:
                self.conditions[condition["type"]] = current
                yield RunEvent(
                    unix_s=parse_time(condition.get("lastTransitionTime")) or now_s,
                    kind=EventKind.POD_CONDITION,
                    pod=name,
                    reason=condition.get("reason"),
                    message=condition.get("message"),
                    data={"condition": condition["type"], "status": condition["status"]},
                )
        for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
            yield from self._container(name, container, now_s)

    def _container(self, pod: str, container: Raw, now_s: float) -> Iterator[RunEvent]:
        for state, details in container.get("state", {}).items():
            restarts = int(container.get("restartCount", 0))
            current = (state, details.get("reason"), restarts)
            if self.containers.get(container["name"]) == current:
                continue
            self.containers[container["name"]] = current
            yield RunEvent(
                unix_s=parse_time(details.get(_TIMESTAMPS.get(state, ""))) or now_s,
                kind=EventKind.CONTAINER_STATE,
                pod=pod,
                reason=details.get("reason"),
                message=details.get("message"),
                data={
                    "container": container["name"],
                    "state": state,
                    "exit_code": details.get("exitCode"),
                    "restarts": restarts,
                },
            )
