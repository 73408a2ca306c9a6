"""Phases, conditions and container states: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/."""

from typing import Any

import pytest

from loadgen.sandbox.kubelet.status.recovered import former_life
from loadgen.sandbox.kubelet.status.states import ContainerState, Ended, PodState
from loadgen.sandbox.kubelet.status.status import pod_status

NOW = 1_700_000_000.0


def ended(code: int, reason: str | None = None) -> Ended:
    reason = reason or ("Error" if code else "Completed")
    return Ended(exit_code=code, reason=reason, started_unix_s=NOW - 9, finished_unix_s=NOW - 1, container_id="a")


def running(name: str, *, ready: bool = True, started: bool = True) -> ContainerState:
    state = ContainerState(name=name)
    state.run("a", NOW - 5)
    state.ready, state.started = ready, started
    return state


def over(name: str, code: int) -> ContainerState:
    state = ContainerState(name=name, container_id="a")
    state.end(ended(code))
    return state


def crashing(name: str, code: int = 1) -> ContainerState:
    state = over(name, code)
    state.wait("CrashLoopBackOff", "back-off")
    return state


def pod(*names: str, init: tuple[str, ...] = (), sidecars: tuple[str, ...] = (), **spec: Any) -> dict[str, Any]:
    inits = [{"name": name, "image": "x"} for name in init]
    inits += [{"name": name, "image": "x", "restartPolicy": "Always"} for name in sidecars]
    return {
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 3},
        "spec": {"initContainers": inits, "containers": [{"name": name, "image": "x"} for name in names], **spec},
    }


def status(pod: dict[str, Any], *states: ContainerState, over: bool = False, **more: Any) -> dict[str, Any]:
    state = PodState(containers={each.name: each for each in states}, start_unix_s=NOW - 10, wired=True, **more)
    return pod_status(pod, state, node_ip="172.30.0.11", now_unix_s=NOW, over=over)


def condition(status: dict[str, Any], kind: str) -> tuple[str, str | None, str | None]:
    (found,) = [each for each in status["conditions"] if each["type"] == kind]
    return found["status"], found["reason"], found["message"]


@pytest.mark.parametrize(
    ("policy", "states", "phase"),
    [
        ("Always", [ContainerState(name="a"), running("b")], "Pending"),
        ("Always", [running("a"), running("b")], "Running"),
        ("Always", [over("a", 0), running("b")], "Running"),
        ("Always", [over("a", 0), over("b", 0)], "Running"),
        ("Always", [crashing("a"), crashing("b")], "Running"),
        ("OnFailure", [over("a", 0), crashing("b")], "Running"),
        ("OnFailure", [over("a", 0), over("b", 0)], "Succeeded"),
        ("Never", [over("a", 0), over("b", 0)], "Succeeded"),
        ("Never", [over("a", 0), over("b", 2)], "Failed"),
        ("Never", [over("a", 2), running("b")], "Running"),
    ],
)
def test_phase(policy: str, states: list[ContainerState], phase: str) -> None:
    """Pending until every container was started, Running while one runs or is to be restarted, then by exit codes."""
    assert status(pod("a", "b", restartPolicy=policy), *states)["phase"] == phase


@pytest.mark.parametrize(("codes", "phase"), [((0, 0), "Succeeded"), ((0, 137), "Failed")])
def test_phase_of_a_pod_that_was_ended(codes: tuple[int, int], phase: str) -> None:
    """When a node has ended a pod for good, its policy counts no more: exit codes decide."""
    states = [over("a", codes[0]), over("b", codes[1])]
    assert status(pod("a", "b", restartPolicy="Always"), *states, over=True)["phase"] == phase


@pytest.mark.parametrize(
    ("policy", "init", "phase"),
    [
        ("Always", running("i"), "Pending"),
        ("Always", crashing("i"), "Pending"),
        ("Always", over("i", 0), "Pending"),
        ("Never", over("i", 1), "Failed"),
    ],
)
def test_phase_of_a_pod_that_is_initialised(policy: str, init: ContainerState, phase: str) -> None:
    """A pod that is running its init containers is Pending; it fails with one that must not be restarted."""
    assert status(pod("a", init=("i",), restartPolicy=policy), init, ContainerState(name="a"))["phase"] == phase


def test_phase_with_a_sidecar() -> None:
    """A sidecar that still runs keeps the pod Running; when it is over too, only the main containers' ends count."""
    spec = pod("a", sidecars=("s",), restartPolicy="Never")
    assert status(spec, running("s"), over("a", 0))["phase"] == "Running"
    assert status(spec, over("s", 143), over("a", 0), over=True)["phase"] == "Succeeded"


def test_phase_decided_by_a_deadline() -> None:
    """A pod past its activeDeadlineSeconds is Failed with reason DeadlineExceeded, though containers may still end."""
    told = status(pod("a"), running("a"), phase="Failed", reason="DeadlineExceeded", message="too long")
    assert (told["phase"], told["reason"], told["message"]) == ("Failed", "DeadlineExceeded", "too long")


def test_conditions_of_a_ready_pod() -> None:
    """A pod whose containers are all ready has all conditions true, at their transition times."""
    told = status(pod("a"), running("a"))
    kinds = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
    assert [(each["type"], each["status"]) for each in told["conditions"]] == [(kind, "True") for kind in kinds]


def test_unready_container() -> None:
    """Ready and ContainersReady name the containers that are not ready."""
    told = status(pod("a", "b"), running("a"), running("b", ready=False))
    expected = ("False", "ContainersNotReady", "containers with unready status: [b]")
    assert condition(told, "Ready") == condition(told, "ContainersReady") == expected


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        ([], ("False", 'corresponding condition of pod readiness gate "x/y" does not exist.')),
        (["False"], ("False", 'the status of pod readiness gate "x/y" is not "True", but False')),
        (["True"], ("True", None)),
    ],
)
def test_readiness_gates(gate: list[str], expected: tuple[str, str | None]) -> None:
    """A pod is Ready when its containers are and every condition in its readinessGates is True."""
    gated = pod("a", readinessGates=[{"conditionType": "x/y"}])
    gated["status"] = {"conditions": [{"type": "x/y", "status": each} for each in gate]}
    told = status(gated, running("a"))
    assert condition(told, "ContainersReady")[0] == "True"
    assert condition(told, "Ready")[::2] == expected


def test_initialised_once_all_init_containers_succeeded() -> None:
    """Initialized names the init containers that have not completed, and is true when all have."""
    spec = pod("a", init=("i", "j"))
    waiting = [ContainerState(name="j"), ContainerState(name="a")]
    assert condition(status(spec, over("i", 0), *waiting), "Initialized") == (
        "False",
        "ContainersNotInitialized",
        "containers with incomplete status: [j]",
    )
    assert condition(status(spec, over("i", 0), over("j", 0), ContainerState(name="a")), "Initialized")[0] == "True"


def test_sidecar_gates_initialisation_by_its_start() -> None:
    """A sidecar counts as initialised when it has started (its startup probe has passed), not when it has ended."""
    spec = pod("a", sidecars=("s",))
    late = status(spec, running("s", started=False, ready=False), ContainerState(name="a"))
    assert condition(late, "Initialized")[0] == "False"
    assert condition(status(spec, running("s"), ContainerState(name="a")), "Initialized")[0] == "True"


@pytest.mark.parametrize(("code", "reason"), [(0, "PodCompleted"), (1, "PodFailed")])
def test_conditions_of_a_finished_pod(code: int, reason: str) -> None:
    """A pod that is over is not ready, and the reason says how it ended."""
    told = status(pod("a", restartPolicy="Never"), over("a", code))
    assert condition(told, "Ready")[:2] == ("False", reason)


def test_transition_time_changes_with_the_status_only() -> None:
    """lastTransitionTime is when a condition went from one status to another."""
    before = pod("a")
    long_ago = "2020-01-01T00:00:00Z"
    kinds = ("Initialized", "Ready")
    before["status"] = {
        "conditions": [{"type": kind, "status": "True", "lastTransitionTime": long_ago} for kind in kinds]
    }
    told = {
        each["type"]: each["lastTransitionTime"] for each in status(before, running("a", ready=False))["conditions"]
    }
    assert told["Initialized"] == long_ago
    assert told["Ready"] == "2023-11-14T22:13:20Z"


def test_states_of_a_container_in_back_off() -> None:
    """CrashLoopBackOff is a waiting reason; how the container ended is its last state."""
    each = crashing("a", 3)
    each.restarts = 4
    (told,) = status(pod("a"), each)["containerStatuses"]
    assert told["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    assert (told["lastState"]["terminated"]["exitCode"], told["lastState"]["terminated"]["reason"]) == (3, "Error")
    assert (told["restartCount"], told["ready"], told["started"]) == (4, False, False)


def test_state_and_last_state_of_a_short_life() -> None:
    """A container that ends before it is seen to run has its end as state, and the end before as last state."""
    each = over("a", 1)
    each.end(ended(0))
    (told,) = status(pod("a", restartPolicy="OnFailure"), each)["containerStatuses"]
    assert [told[when]["terminated"]["exitCode"] for when in ("lastState", "state")] == [1, 0]


def test_ready_init_container_is_one_that_succeeded() -> None:
    """An init container is ready when it has ended with 0, a main container never once it has ended."""
    told = status(pod("a", init=("i",), restartPolicy="Never"), over("i", 0), over("a", 0))
    assert told["initContainerStatuses"][0]["ready"] is True
    assert told["containerStatuses"][0]["ready"] is False


@pytest.mark.parametrize(("host", "ip"), [(True, "172.30.0.11"), (False, "10.244.1.5")])
def test_addresses(host: bool, ip: str) -> None:
    """A pod in the node's network has the node's address, any other its own."""
    told = status(pod("a", hostNetwork=host), running("a"), pod_ip="10.244.1.5")
    assert (told["podIP"], told["podIPs"]) == (ip, [{"ip": ip}])
    assert (told["hostIP"], told["hostIPs"]) == ("172.30.0.11", [{"ip": "172.30.0.11"}])


def test_pod_without_network_has_no_address() -> None:
    """Before its network exists a pod has no address, and is not ready to start containers."""
    told = pod_status(
        pod("a"),
        PodState(containers={"a": ContainerState(name="a")}, start_unix_s=NOW),
        node_ip="172.30.0.11",
        now_unix_s=NOW,
    )
    assert "podIP" not in told
    assert condition(told, "PodReadyToStartContainers")[:2] == ("False", "PodSandboxNotReady")


def test_new_pods_wait() -> None:
    """Containers of a new pod wait with ContainerCreating, or PodInitializing when there are init containers."""
    assert former_life(pod("a"), NOW)["a"].waiting == ("ContainerCreating", "")
    assert former_life(pod("a", init=("i",)), NOW)["a"].waiting == ("PodInitializing", "")


def test_containers_of_a_lost_kubelet_have_ended() -> None:
    """A container that ran under a kubelet that is gone ended with 255, and its restarts are counted on."""
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
    states = former_life(old, NOW)
    assert states["a"].ended
    assert (states["a"].ended.exit_code, states["a"].ended.reason, states["a"].restarts) == (255, "Unknown", 2)
    assert states["b"].ended is None
