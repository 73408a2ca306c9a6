"""A pod's phase, from what its containers do."""

from loadgen.sandbox.kubelet.container.restarts import should_restart
from loadgen.sandbox.kubelet.meta import Json, init_containers, is_sidecar, main_containers
from loadgen.sandbox.kubelet.status.states import ContainerState, Ended, PodState


def pod_phase(pod: Json, state: PodState, *, over: bool) -> str:
    """The phase of a pod.

    Args:
        pod: The pod.
        state: What its worker knows.
        over: Whether nothing of it will be started again, whatever its policy says.
    """
    if state.phase:
        return state.phase
    known = state.containers
    begun = any(_has_begun(known[each["name"]]) for each in main_containers(pod))
    pending = False
    for container in init_containers(pod):
        each = known[container["name"]]
        if is_sidecar(container):
            pending |= not begun and not (each.started or each.ended or each.last)
            continue
        ended = _latest(each)
        if ended and ended.exit_code and not should_restart(pod, container, ended.exit_code, init=True):
            return "Failed"
        pending |= each.running_unix_s is not None or ended is None
    if over and pending:
        return "Failed" if begun or any(each.last or each.ended for each in known.values()) else "Pending"
    if pending:
        return "Pending"
    return _of_main(pod, known, over)


def _of_main(pod: Json, known: dict[str, ContainerState], over: bool) -> str:
    ends: list[Ended] = []
    restarting = running = False
    for container in main_containers(pod):
        each = known[container["name"]]
        ended = _latest(each)
        if each.running_unix_s is not None:
            running = True
        elif ended is None:
            return "Pending"
        else:
            ends.append(ended)
            restarting |= should_restart(pod, container, ended.exit_code)
    sidecars = [known[each["name"]] for each in init_containers(pod) if is_sidecar(each)]
    if running or any(each.running_unix_s is not None for each in sidecars):
        return "Running"
    if restarting and not over:
        return "Running"
    return "Failed" if any(ended.exit_code for ended in ends) else "Succeeded"


def _has_begun(each: ContainerState) -> bool:
    return each.running_unix_s is not None or _latest(each) is not None


def _latest(each: ContainerState) -> Ended | None:
    """How it ended at last, if it does not run now."""
    return None if each.running_unix_s is not None else each.ended or each.last
