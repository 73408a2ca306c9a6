"""Every condition and container state of a pod as it comes, with the API's times: pure functions of raw objects.

The lag chain needs four of them, which `changes` tells; these are for whoever asks why one of its links was long.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from loadgen.dataset.names import EventKind
from loadgen.kube.objects.changes import Change, unix_s

Raw = Mapping[str, Any]
_WHEN = {"running": "startedAt", "terminated": "finishedAt"}


@dataclass(slots=True)
class StatesStory:
    """What was told of the conditions and containers of one pod."""

    conditions: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    containers: dict[str, tuple[str, str | None, int]] = field(default_factory=dict)


def state_changes(story: StatesStory, pod: Raw, now_s: float) -> Iterator[Change]:
    """Conditions that are other than before, and containers that are in another state; `story` remembers both.

    Args:
        story: Of this pod.
        pod: The object.
        now_s: When it was seen, seconds since the epoch.
    """
    name, status = pod["metadata"]["name"], pod.get("status", {})
    for condition in status.get("conditions") or ():
        seen = (condition["status"], condition.get("reason"))
        if story.conditions.get(condition["type"]) != seen:
            story.conditions[condition["type"]] = seen
            yield Change(
                unix_s=unix_s(condition.get("lastTransitionTime")) or now_s,
                kind=EventKind.POD_CONDITION,
                pod=name,
                reason=condition.get("reason"),
                message=condition.get("message"),
                data={"condition": condition["type"], "status": condition["status"]},
            )
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        yield from _container(story, name, container, now_s)


def _container(story: StatesStory, pod: str, container: Raw, now_s: float) -> Iterator[Change]:
    for state, about in container.get("state", {}).items():
        restarts = int(container.get("restartCount", 0))
        seen = (state, about.get("reason"), restarts)
        if story.containers.get(container["name"]) == seen:
            continue
        story.containers[container["name"]] = seen
        yield Change(
            unix_s=unix_s(about.get(_WHEN.get(state, ""))) or now_s,
            kind=EventKind.CONTAINER_STATE,
            pod=pod,
            reason=about.get("reason"),
            message=about.get("message"),
            data={
                "container": container["name"],
                "state": state,
                "exit_code": about.get("exitCode"),
                "restarts": restarts,
            },
        )
