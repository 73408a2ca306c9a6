"""Determines a pod's phase from the states of its containers."""

from loadgen.sandbox.kubelet.container.restarts import should_restart
from loadgen.sandbox.kubelet.objects import Json, init_containers, is_sidecar, main_containers
from loadgen.sandbox.kubelet.status.states import ContainerState, PodState, Terminated


def pod_phase(pod: Json, state: PodState, *, finished: bool) -> str:
    """Return the phase of a pod.

    Args:
        pod: The pod.
        state: State of the pod on this node.
        finished: Whether no container of the pod will be started again, regardless of its restart policy.
    """
    if state.phase:
        return state.phase
    states = state.containers
    main_started = any(_has_started(states[each["name"]]) for each in main_containers(pod))
    pending = False
    for container in init_containers(pod):
        each = states[container["name"]]
        if is_sidecar(container):
            pending |= not main_started and not (each.started or each.terminated or each.last_terminated)
            continue
        terminated = _latest_termination(each)
        if terminated and terminated.exit_code and not should_restart(pod, container, terminated.exit_code, init=True):
            return "Failed"
        pending |= each.running_unix_s is not None or terminated is None
    if finished and pending:
        any_terminated = any(each.last_terminated or each.terminated for each in states.values())
        return "Failed" if main_started or any_terminated else "Pending"
    if pending:
        return "Pending"
    return _phase_of_main_containers(pod, states, finished)


def _phase_of_main_containers(pod: Json, states: dict[str, ContainerState], finished: bool) -> str:
    terminations: list[Terminated] = []
    restarting = running = False
    for container in main_containers(pod):
        each = states[container["name"]]
        terminated = _latest_termination(each)
        if each.running_unix_s is not None:
            running = True
        elif terminated is None:
            return "Pending"
        else:
            terminations.append(terminated)
            restarting |= should_restart(pod, container, terminated.exit_code)
    sidecars = [states[each["name"]] for each in init_containers(pod) if is_sidecar(each)]
    if running or any(each.running_unix_s is not None for each in sidecars):
        return "Running"
    if restarting and not finished:
        return "Running"
    return "Failed" if any(each.exit_code for each in terminations) else "Succeeded"


def _has_started(state: ContainerState) -> bool:
    return state.running_unix_s is not None or _latest_termination(state) is not None


def _latest_termination(state: ContainerState) -> Terminated | None:
    """Return how the container terminated last; None while it runs."""
    return None if state.running_unix_s is not None else state.terminated or state.last_terminated
