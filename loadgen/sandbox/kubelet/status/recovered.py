"""Recovers the states of containers that ran under an earlier kubelet of this node and died with it."""

from loadgen.sandbox.kubelet.objects import Json, init_containers, parse_rfc3339
from loadgen.sandbox.kubelet.status.states import ContainerState, Terminated

_LOST_CODE = 255  # what container runtimes report for a container that died with a reboot of the node


def recovered_states(pod: Json, now_unix_s: float) -> dict[str, ContainerState]:
    """Return the initial states of a pod's containers, from the status in the API.

    The containers of a new pod wait. A container that ran under an earlier kubelet has terminated with exit code 255,
    and its restart count goes on.

    Args:
        pod: The pod from the API.
        now_unix_s: Seconds since the epoch.
    """
    status = pod.get("status") or {}
    statuses = {
        each["name"]: each for kind in ("initContainerStatuses", "containerStatuses") for each in status.get(kind) or []
    }
    reason = "PodInitializing" if init_containers(pod) else "ContainerCreating"
    states = {}
    for kind in ("initContainers", "containers"):
        for container in pod["spec"].get(kind) or []:
            name = container["name"]
            states[name] = _recovered_state(name, statuses.get(name) or {}, reason, now_unix_s)
    return states


def _recovered_state(name: str, status: Json, reason: str, now_unix_s: float) -> ContainerState:
    state = ContainerState(name=name, waiting=(reason, ""))
    state.restarts = int(status.get("restartCount") or 0)
    state.container_id = str(status.get("containerID") or "").rpartition("/")[2]
    last = (status.get("lastState") or {}).get("terminated")
    if last:
        state.last_terminated = _parse_terminated(last, now_unix_s)
    running, terminated = ((status.get("state") or {}).get(kind) for kind in ("running", "terminated"))
    if terminated:
        state.set_terminated(_parse_terminated(terminated, now_unix_s))
    elif running:
        state.set_terminated(
            Terminated(
                exit_code=_LOST_CODE,
                reason="Unknown",
                started_unix_s=parse_rfc3339(running["startedAt"]),
                finished_unix_s=now_unix_s,
                container_id=state.container_id,
            )
        )
    return state


def _parse_terminated(terminated: Json, now_unix_s: float) -> Terminated:
    started, finished = terminated.get("startedAt"), terminated.get("finishedAt")
    return Terminated(
        exit_code=int(terminated["exitCode"]),
        reason=str(terminated.get("reason") or "Error"),
        message=str(terminated.get("message") or ""),
        started_unix_s=parse_rfc3339(started) if started else None,
        finished_unix_s=parse_rfc3339(finished) if finished else now_unix_s,
        container_id=str(terminated.get("containerID") or "").rpartition("/")[2],
    )
