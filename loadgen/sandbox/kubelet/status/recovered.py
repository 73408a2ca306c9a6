"""What a pod's status says of containers that ran under a kubelet that is gone: they died with it."""

from loadgen.sandbox.kubelet.meta import Json, init_containers, unix_s
from loadgen.sandbox.kubelet.status.states import ContainerState, Ended

_LOST_CODE = 255  # what container runtimes say of a container that they find dead after a restart of the node


def former_life(pod: Json, now_unix_s: float) -> dict[str, ContainerState]:
    """The containers of a pod as this kubelet finds them.

    Of a new pod all wait. Of a pod that ran here before, a container that ran has ended with code 255, and its
    count of restarts goes on.

    Args:
        pod: The pod as the API has it.
        now_unix_s: Seconds since the epoch.
    """
    status = pod.get("status") or {}
    old = {
        each["name"]: each for kind in ("initContainerStatuses", "containerStatuses") for each in status.get(kind) or []
    }
    reason = "PodInitializing" if init_containers(pod) else "ContainerCreating"
    states = {}
    for kind in ("initContainers", "containers"):
        for container in pod["spec"].get(kind) or []:
            name = container["name"]
            states[name] = _one(name, old.get(name) or {}, reason, now_unix_s)
    return states


def _one(name: str, old: Json, reason: str, now_unix_s: float) -> ContainerState:
    state = ContainerState(name=name, waiting=(reason, ""))
    state.restarts = int(old.get("restartCount") or 0)
    state.container_id = str(old.get("containerID") or "").rpartition("/")[2]
    last = (old.get("lastState") or {}).get("terminated")
    if last:
        state.last = _ended(last, now_unix_s)
    running, terminated = ((old.get("state") or {}).get(kind) for kind in ("running", "terminated"))
    if terminated:
        state.end(_ended(terminated, now_unix_s))
    elif running:
        state.end(
            Ended(
                exit_code=_LOST_CODE,
                reason="Unknown",
                started_unix_s=unix_s(running["startedAt"]),
                finished_unix_s=now_unix_s,
                container_id=state.container_id,
            )
        )
    return state


def _ended(told: Json, now_unix_s: float) -> Ended:
    return Ended(
        exit_code=int(told["exitCode"]),
        reason=str(told.get("reason") or "Error"),
        message=str(told.get("message") or ""),
        started_unix_s=unix_s(told["startedAt"]) if told.get("startedAt") else None,
        finished_unix_s=unix_s(told["finishedAt"]) if told.get("finishedAt") else now_unix_s,
        container_id=str(told.get("containerID") or "").rpartition("/")[2],
    )
