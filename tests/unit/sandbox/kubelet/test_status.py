"""Phases, conditions and container states: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/."""

from typing import Any

import pytest

from loadgen.sandbox.kubelet.status.recovered import recovered_states
from loadgen.sandbox.kubelet.status.states import ContainerState, PodState, Terminated
from loadgen.sandbox.kubelet.status.status import pod_status

NOW = 1_700_000_000.0


def terminated(code: int, reason: str | None = None) -> Terminated:
    reason = reason or ("Error" if code else "Completed")
    return Terminated(exit_code=code, reason=reason, started_unix_s=NOW - 9, finished_unix_s=NOW - 1, container_id="a")


def running(name: str, *, ready: bool = True, started: bool = True) -> ContainerState:
    state = ContainerState(name=name)
    state.set_running("a", NOW - 5)
    state.ready, state.started = ready, started
    return state


def exited(name: str, code: int) -> ContainerState:
    state = ContainerState(name=name, container_id="a")
    state.set_terminated(terminated(code))
    return state


def crashing(name: str, code: int = 1) -> ContainerState:
    state = exited(name, code)
    state.set_waiting("CrashLoopBackOff", "back-off")
    return state


def pod(*names: str, init: tuple[str, ...] = (), sidecars: tuple[str, ...] = (), **spec: Any) -> dict[str, Any]:
    inits = [{"name": name, "image": "x"} for name in init]
    inits += [{"name": name, "image": "x", "restartPolicy": "Always"} for name in sidecars]
    return {
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 3},
        "spec": {"initContainers": inits, "containers": [{"name": name, "image": "x"} for name in names], **spec},
    }


def status(pod: dict[str, Any], *states: ContainerState, finished: bool = False, **more: Any) -> dict[str, Any]:
    state = PodState(containers={each.name: each for each in states}, start_unix_s=NOW - 10, network_ready=True, **more)
    return pod_status(pod, state, node_ip="172.30.0.11", now_unix_s=NOW, finished=finished)


def condition(status: dict[str, Any], kind: str) -> tuple[str, str | None, str | None]:
    (match,) = [each for each in status["conditions"] if each["type"] == kind]
    return match["status"], match["reason"], match["message"]


@pytest.mark.parametrize(
    ("policy", "states", "phase"),
    [
        ("Always", [ContainerState(name="a"), running("b")], "Pending"),
        ("Always", [running("a"), running("b")], "Running"),
        ("Always", [exited("a", 0), running("b")], "Running"),
        ("Always", [exited("a", 0), exited("b", 0)], "Running"),
        ("Always", [crashing("a"), crashing("b")], "Running"),
        ("OnFailure", [exited("a", 0), crashing("b")], "Running"),
        ("OnFailure", [exited("a", 0), exited("b", 0)], "Succeeded"),
        ("Never", [exited("a", 0), exited("b", 0)], "Succeeded"),
        ("Never", [exited("a", 0), exited("b", 2)], "Failed"),
        ("Never", [exited("a", 2), running("b")], "Running"),
    ],
)
def test_phase(policy: str, states: list[ContainerState], phase: str) -> None:
    """Pending until all containers have started, Running while one runs or restarts, then it depends on exit codes."""
    assert status(pod("a", "b", restartPolicy=policy), *states)["phase"] == phase


@pytest.mark.parametrize(("codes", "phase"), [((0, 0), "Succeeded"), ((0, 137), "Failed")])
def test_phase_of_a_stopped_pod(codes: tuple[int, int], phase: str) -> None:
    """The phase of a pod that the node has stopped depends on exit codes, not on the restart policy."""
    states = [exited("a", codes[0]), exited("b", codes[1])]
    assert status(pod("a", "b", restartPolicy="Always"), *states, finished=True)["phase"] == phase


@pytest.mark.parametrize(
    ("policy", "init", "phase"),
    [
        ("Always", running("i"), "Pending"),
        ("Always", crashing("i"), "Pending"),
        ("Always", exited("i", 0), "Pending"),
        ("Never", exited("i", 1), "Failed"),
    ],
)
def test_phase_of_a_pod_that_is_initialised(policy: str, init: ContainerState, phase: str) -> None:
    """A pod is Pending during its init containers, and Failed when one fails without a restart."""
    assert status(pod("a", init=("i",), restartPolicy=policy), init, ContainerState(name="a"))["phase"] == phase


def test_phase_with_a_sidecar() -> None:
    """A running sidecar keeps the pod Running; its exit code does not count."""
    spec = pod("a", sidecars=("s",), restartPolicy="Never")
    assert status(spec, running("s"), exited("a", 0))["phase"] == "Running"
    assert status(spec, exited("s", 143), exited("a", 0), finished=True)["phase"] == "Succeeded"


def test_phase_decided_by_a_deadline() -> None:
    """A pod past its activeDeadlineSeconds is Failed with reason DeadlineExceeded, even while its containers run."""
    reported = status(pod("a"), running("a"), phase="Failed", reason="DeadlineExceeded", message="too long")
    assert (reported["phase"], reported["reason"], reported["message"]) == ("Failed", "DeadlineExceeded", "too long")


def test_conditions_of_a_ready_pod() -> None:
    """All conditions of a pod with only ready containers are true."""
    reported = status(pod("a"), running("a"))
    kinds = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
    assert [(each["type"], each["status"]) for each in reported["conditions"]] == [(kind, "True") for kind in kinds]


def test_unready_container() -> None:
    """Ready and ContainersReady list the containers that are not ready."""
    reported = status(pod("a", "b"), running("a"), running("b", ready=False))
    expected = ("False", "ContainersNotReady", "containers with unready status: [b]")
    assert condition(reported, "Ready") == condition(reported, "ContainersReady") == expected


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        ([], ("False", 'corresponding condition of pod readiness gate "x/y" does not exist.')),
        (["False"], ("False", 'the status of pod readiness gate "x/y" is not "True", but False')),
        (["True"], ("True", None)),
    ],
)
def test_readiness_gates(gate: list[str], expected: tuple[str, str | None]) -> None:
    """A pod is Ready when its containers are ready and every condition of its readinessGates is True."""
    gated = pod("a", readinessGates=[{"conditionType": "x/y"}])
    gated["status"] = {"conditions": [{"type": "x/y", "status": each} for each in gate]}
    reported = status(gated, running("a"))
    assert condition(reported, "ContainersReady")[0] == "True"
    assert condition(reported, "Ready")[::2] == expected


def test_initialised_once_all_init_containers_succeeded() -> None:
    """Initialized lists the init containers that have not completed, and is true when all have."""
    spec = pod("a", init=("i", "j"))
    waiting = [ContainerState(name="j"), ContainerState(name="a")]
    assert condition(status(spec, exited("i", 0), *waiting), "Initialized") == (
        "False",
        "ContainersNotInitialized",
        "containers with incomplete status: [j]",
    )
    assert condition(status(spec, exited("i", 0), exited("j", 0), ContainerState(name="a")), "Initialized")[0] == "True"


def test_sidecar_is_initialised_when_it_has_started() -> None:
    """A sidecar counts as initialised once its startup probe has passed."""
    spec = pod("a", sidecars=("s",))
    late = status(spec, running("s", started=False, ready=False), ContainerState(name="a"))
    assert condition(late, "Initialized")[0] == "False"
    assert condition(status(spec, running("s"), ContainerState(name="a")), "Initialized")[0] == "True"


@pytest.mark.parametrize(("code", "reason"), [(0, "PodCompleted"), (1, "PodFailed")])
def test_conditions_of_a_finished_pod(code: int, reason: str) -> None:
    """A finished pod is not ready; the reason depends on its phase."""
    reported = status(pod("a", restartPolicy="Never"), exited("a", code))
    assert condition(reported, "Ready")[:2] == ("False", reason)


def test_transition_time_changes_with_the_status_only() -> None:
    """lastTransitionTime is the time of the last change of a condition's status."""
    before = pod("a")
    long_ago = "2020-01-01T00:00:00Z"
    kinds = ("Initialized", "Ready")
    before["status"] = {
        "conditions": [{"type": kind, "status": "True", "lastTransitionTime": long_ago} for kind in kinds]
    }
    reported = {
        each["type"]: each["lastTransitionTime"] for each in status(before, running("a", ready=False))["conditions"]
    }
    assert reported["Initialized"] == long_ago
    assert reported["Ready"] == "2023-11-14T22:13:20Z"


def test_states_of_a_container_in_back_off() -> None:
    """CrashLoopBackOff is a waiting reason; the termination is the last state."""
    each = crashing("a", 3)
    each.restarts = 4
    (reported,) = status(pod("a"), each)["containerStatuses"]
    assert reported["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    last = reported["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (3, "Error")
    assert (reported["restartCount"], reported["ready"], reported["started"]) == (4, False, False)


def test_state_and_last_state_of_a_short_run() -> None:
    """A container that exits before it was running keeps the termination before as last state."""
    each = exited("a", 1)
    each.set_terminated(terminated(0))
    (reported,) = status(pod("a", restartPolicy="OnFailure"), each)["containerStatuses"]
    assert [reported[when]["terminated"]["exitCode"] for when in ("lastState", "state")] == [1, 0]


def test_init_container_is_ready_when_it_has_succeeded() -> None:
    """An init container with exit code 0 is ready; a main container that has exited is not."""
    reported = status(pod("a", init=("i",), restartPolicy="Never"), exited("i", 0), exited("a", 0))
    assert reported["initContainerStatuses"][0]["ready"] is True
    assert reported["containerStatuses"][0]["ready"] is False


@pytest.mark.parametrize(("host", "ip"), [(True, "172.30.0.11"), (False, "10.244.1.5")])
def test_addresses(host: bool, ip: str) -> None:
    """A pod with hostNetwork has the node's address, any other pod its own."""
    reported = status(pod("a", hostNetwork=host), running("a"), pod_ip="10.244.1.5")
    assert (reported["podIP"], reported["podIPs"]) == (ip, [{"ip": ip}])
    assert (reported["hostIP"], reported["hostIPs"]) == ("172.30.0.11", [{"ip": "172.30.0.11"}])


def test_pod_without_network_has_no_address() -> None:
    """Without a network a pod has no address and is not ready to start containers."""
    reported = pod_status(
        pod("a"),
        PodState(containers={"a": ContainerState(name="a")}, start_unix_s=NOW),
        node_ip="172.30.0.11",
        now_unix_s=NOW,
    )
    assert "podIP" not in reported
    assert condition(reported, "PodReadyToStartContainers")[:2] == ("False", "PodSandboxNotReady")


def test_new_pods_wait() -> None:
    """Containers of a new pod wait with ContainerCreating, or PodInitializing when there are init containers."""
    assert recovered_states(pod("a"), NOW)["a"].waiting == ("ContainerCreating", "")
    assert recovered_states(pod("a", init=("i",)), NOW)["a"].waiting == ("PodInitializing", "")


def test_containers_of_a_lost_kubelet_have_terminated() -> None:
    """A container that ran under an earlier kubelet has exit code 255, and its restart count goes on."""
    old = pod("a", "b")
    old["status"] = {
        "containerStatuses": [
            {
                "name": "a",
                "restartCount": 2,
                "containerID": "process://abc",
                "state": {"running": {"startedAt": "2023-11-14T22:00:00Z"}},
            },
            {"name": "b", "restartCount": 0, "state": {"waiting": {"reason": "ErrImageNeverPull"}}},
        ]
    }
    states = recovered_states(old, NOW)
    assert states["a"].terminated
    assert (states["a"].terminated.exit_code, states["a"].terminated.reason) == (255, "Unknown")
    assert states["a"].restarts == 2
    assert states["b"].terminated is None
