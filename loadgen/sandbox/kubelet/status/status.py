"""Builds a pod's status from the state of its containers."""

from loadgen.sandbox.kubelet.objects import Json, init_containers, is_host_network, is_sidecar, main_containers, rfc3339
from loadgen.sandbox.kubelet.status.phase import pod_phase
from loadgen.sandbox.kubelet.status.states import ContainerState, PodState, Terminated, prefixed_id


def pod_status(pod: Json, state: PodState, *, node_ip: str, now_unix_s: float, finished: bool = False) -> Json:
    """Return the fields of the pod's status that the kubelet owns.

    Args:
        pod: The pod from the API. The status is written as a patch, which keeps the conditions of others.
        state: State of the pod on this node.
        node_ip: Address of the node.
        now_unix_s: Seconds since the epoch.
        finished: Whether no container of the pod will be started again.
    """
    phase = pod_phase(pod, state, finished=finished)
    status: Json = {
        "phase": phase,
        "hostIP": node_ip,
        "hostIPs": [{"ip": node_ip}],
        "startTime": rfc3339(state.start_unix_s),
        "observedGeneration": pod["metadata"].get("generation", 0),
        "conditions": _conditions(pod, state, phase, now_unix_s),
        "containerStatuses": [_container_status(each, state.containers[each["name"]]) for each in main_containers(pod)],
    }
    if init_containers(pod):
        status["initContainerStatuses"] = [
            _container_status(each, state.containers[each["name"]], init=True) for each in init_containers(pod)
        ]
    ip = node_ip if is_host_network(pod) else state.pod_ip
    if ip:
        status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
    if state.reason:
        status |= {"reason": state.reason, "message": state.message}
    return status


def _container_status(container: Json, state: ContainerState, *, init: bool = False) -> Json:
    status: Json = {
        "name": container["name"],
        "image": container["image"],
        "imageID": container["image"] if state.container_id else "",
        "restartCount": state.restarts,
        "ready": _is_ready(container, state, init),
        "started": state.started,
        "state": _current_state(state),
        "lastState": {"terminated": _terminated(state.last_terminated)} if state.last_terminated else {},
    }
    if state.container_id:
        status["containerID"] = prefixed_id(state.container_id)
    return status


def _is_ready(container: Json, state: ContainerState, init: bool) -> bool:
    if init and not is_sidecar(container):
        return state.terminated is not None and state.terminated.exit_code == 0
    return state.ready


def _current_state(state: ContainerState) -> Json:
    if state.running_unix_s is not None:
        return {"running": {"startedAt": rfc3339(state.running_unix_s)}}
    if state.terminated:
        return {"terminated": _terminated(state.terminated)}
    reason, message = state.waiting or ("ContainerCreating", "")
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def _terminated(terminated: Terminated) -> Json:
    started_unix_s = terminated.started_unix_s
    fields: Json = {
        "exitCode": terminated.exit_code,
        "reason": terminated.reason,
        "startedAt": rfc3339(started_unix_s) if started_unix_s is not None else None,
        "finishedAt": rfc3339(terminated.finished_unix_s),
        "containerID": prefixed_id(terminated.container_id),
    }
    if terminated.message:
        fields["message"] = terminated.message
    return fields


def _conditions(pod: Json, state: PodState, phase: str, now_unix_s: float) -> list[Json]:
    old = {each["type"]: each for each in pod.get("status", {}).get("conditions") or []}
    ready = _containers_ready(pod, state, phase)
    conditions = []
    for kind, (status, reason, message) in (
        ("PodReadyToStartContainers", (state.network_ready, "" if state.network_ready else "PodSandboxNotReady", "")),
        ("Initialized", _initialized(pod, state, phase)),
        ("Ready", _ready(pod, old, ready)),
        ("ContainersReady", ready),
        ("PodScheduled", (True, "", "")),
    ):
        value = "True" if status else "False"
        same = old.get(kind, {}).get("status") == value
        condition = {
            "type": kind,
            "status": value,
            "reason": reason or None,
            "message": message or None,
            "lastProbeTime": None,
            "lastTransitionTime": old[kind].get("lastTransitionTime") if same else rfc3339(now_unix_s),
            "observedGeneration": pod["metadata"].get("generation", 0),
        }
        conditions.append(condition)
    return conditions


def _containers_ready(pod: Json, state: PodState, phase: str) -> tuple[bool, str, str]:
    if phase == "Succeeded":
        return False, "PodCompleted", ""
    if phase == "Failed":
        return False, "PodFailed", ""
    serving = [each for each in init_containers(pod) if is_sidecar(each)] + main_containers(pod)
    unready = [each["name"] for each in serving if not state.containers[each["name"]].ready]
    if unready:
        return False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return True, "", ""


def _ready(pod: Json, old: dict[str, Json], containers_ready: tuple[bool, str, str]) -> tuple[bool, str, str]:
    """Return the condition Ready: all containers are ready and all readiness gates are True."""
    if not containers_ready[0]:
        return containers_ready
    messages = []
    for gate in pod["spec"].get("readinessGates") or []:
        kind = gate["conditionType"]
        if kind not in old:
            messages.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif old[kind]["status"] != "True":
            messages.append(f'the status of pod readiness gate "{kind}" is not "True", but {old[kind]["status"]}')
    return (False, "ReadinessGatesNotReady", ", ".join(messages)) if messages else containers_ready


def _initialized(pod: Json, state: PodState, phase: str) -> tuple[bool, str, str]:
    if phase == "Succeeded":
        return True, "PodCompleted", ""
    mains = [state.containers[each["name"]] for each in main_containers(pod)]
    if any(each.running_unix_s is not None or each.terminated or each.last_terminated for each in mains):
        return True, "", ""
    incomplete = []
    for container in init_containers(pod):
        each = state.containers[container["name"]]
        done = each.started if is_sidecar(container) else _is_ready(container, each, init=True)
        if not done:
            incomplete.append(container["name"])
    if incomplete:
        return False, "ContainersNotInitialized", f"containers with incomplete status: [{' '.join(incomplete)}]"
    return True, "", ""
