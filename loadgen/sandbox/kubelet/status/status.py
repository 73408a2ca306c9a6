"""The status that a kubelet reports of a pod: pure, from what its worker knows."""

from loadgen.sandbox.kubelet.meta import Json, init_containers, is_host_network, is_sidecar, main_containers, rfc3339
from loadgen.sandbox.kubelet.status.phase import pod_phase
from loadgen.sandbox.kubelet.status.states import ContainerState, Ended, PodState, public_id


def pod_status(pod: Json, state: PodState, *, node_ip: str, now_unix_s: float, over: bool = False) -> Json:
    """Those parts of the pod's status that its kubelet owns.

    Args:
        pod: The pod as the API has it; what others wrote into its conditions is kept by the patch.
        state: What its worker knows.
        node_ip: Address of the node.
        now_unix_s: Seconds since the epoch.
        over: Whether nothing of it will be started again.
    """
    phase = pod_phase(pod, state, over=over)
    status: Json = {
        "phase": phase,
        "hostIP": node_ip,
        "hostIPs": [{"ip": node_ip}],
        "startTime": rfc3339(state.start_unix_s),
        "observedGeneration": pod["metadata"].get("generation", 0),
        "conditions": _conditions(pod, state, phase, now_unix_s),
        "containerStatuses": [_container(each, state.containers[each["name"]]) for each in main_containers(pod)],
    }
    if init_containers(pod):
        status["initContainerStatuses"] = [
            _container(each, state.containers[each["name"]], init=True) for each in init_containers(pod)
        ]
    ip = node_ip if is_host_network(pod) else state.pod_ip
    if ip:
        status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
    if state.reason:
        status |= {"reason": state.reason, "message": state.message}
    return status


def _container(container: Json, state: ContainerState, *, init: bool = False) -> Json:
    status: Json = {
        "name": container["name"],
        "image": container["image"],
        "imageID": container["image"] if state.container_id else "",
        "restartCount": state.restarts,
        "ready": _is_ready(container, state, init),
        "started": state.started,
        "state": _of_state(state),
        "lastState": {"terminated": _terminated(state.last)} if state.last else {},
    }
    if state.container_id:
        status["containerID"] = public_id(state.container_id)
    return status


def _is_ready(container: Json, state: ContainerState, init: bool) -> bool:
    if init and not is_sidecar(container):
        return state.ended is not None and state.ended.exit_code == 0
    return state.ready


def _of_state(state: ContainerState) -> Json:
    if state.running_unix_s is not None:
        return {"running": {"startedAt": rfc3339(state.running_unix_s)}}
    if state.ended:
        return {"terminated": _terminated(state.ended)}
    reason, message = state.waiting or ("ContainerCreating", "")
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def _terminated(ended: Ended) -> Json:
    told: Json = {
        "exitCode": ended.exit_code,
        "reason": ended.reason,
        "startedAt": rfc3339(ended.started_unix_s) if ended.started_unix_s is not None else None,
        "finishedAt": rfc3339(ended.finished_unix_s),
        "containerID": public_id(ended.container_id),
    }
    if ended.message:
        told["message"] = ended.message
    return told


def _conditions(pod: Json, state: PodState, phase: str, now_unix_s: float) -> list[Json]:
    old = {each["type"]: each for each in pod.get("status", {}).get("conditions") or []}
    ready = _containers_ready(pod, state, phase)
    conditions = []
    for kind, (status, reason, message) in (
        ("PodReadyToStartContainers", (state.wired, "" if state.wired else "PodSandboxNotReady", "")),
        ("Initialized", _initialized(pod, state, phase)),
        ("Ready", _gated(pod, old, ready)),
        ("ContainersReady", ready),
        ("PodScheduled", (True, "", "")),
    ):
        word = "True" if status else "False"
        same = old.get(kind, {}).get("status") == word
        condition = {
            "type": kind,
            "status": word,
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


def _gated(pod: Json, old: dict[str, Json], ready: tuple[bool, str, str]) -> tuple[bool, str, str]:
    """Ready: all containers are, and everyone who has to say so has said so."""
    if not ready[0]:
        return ready
    told = []
    for gate in pod["spec"].get("readinessGates") or []:
        kind = gate["conditionType"]
        if kind not in old:
            told.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif old[kind]["status"] != "True":
            told.append(f'the status of pod readiness gate "{kind}" is not "True", but {old[kind]["status"]}')
    return (False, "ReadinessGatesNotReady", ", ".join(told)) if told else ready


def _initialized(pod: Json, state: PodState, phase: str) -> tuple[bool, str, str]:
    if phase == "Succeeded":
        return True, "PodCompleted", ""
    mains = [state.containers[each["name"]] for each in main_containers(pod)]
    if any(each.running_unix_s is not None or each.ended or each.last for each in mains):
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
