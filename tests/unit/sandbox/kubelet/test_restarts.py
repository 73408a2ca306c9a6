"""Restarts: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-restarts."""

import pytest

from loadgen.sandbox.kubelet.container.restarts import BackOff, should_restart


def delays(runs_s: list[float]) -> list[float]:
    """Return the wait before each restart of a container with these run times."""
    back_off, now_s, waits = BackOff(), 0.0, []
    for run_s in runs_s:
        now_s += run_s
        wait_s = back_off.wait_s(now_s, now_s)
        waits.append(wait_s)
        exited_s, now_s = now_s, now_s + wait_s
        back_off.restarted(exited_s, now_s)
    return waits


def test_delay_doubles_up_to_five_minutes() -> None:
    """The kubelet restarts at once, then with a back-off of 10 s, 20 s, 40 s, … capped at 300 s."""
    assert delays([1.0] * 9) == [0, 10, 20, 40, 80, 160, 300, 300, 300]


def test_ten_minutes_of_running_reset_the_delay() -> None:
    """A container that has run for 10 minutes without problems is restarted as if for the first time."""
    assert delays([1.0, 1.0, 1.0, 601.0, 1.0]) == [0, 10, 20, 0, 10]


def test_nine_minutes_of_running_do_not_reset_the_delay() -> None:
    """A run shorter than 10 minutes keeps the back-off."""
    assert delays([1.0, 1.0, 599.0, 1.0]) == [0, 10, 20, 40]


def test_the_wait_counts_from_the_exit() -> None:
    """The time since the container's exit is part of the wait."""
    back_off = BackOff()
    back_off.restarted(0.0, 0.0)
    assert back_off.wait_s(5.0, 5.0) == 10.0
    assert back_off.wait_s(5.0, 12.0) == 3.0
    assert back_off.wait_s(5.0, 20.0) == 0.0


@pytest.mark.parametrize(
    ("policy", "code", "restarts"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 137, True),
        ("Never", 0, False),
        ("Never", 1, False),
    ],
)
def test_restart_policy(policy: str, code: int, restarts: bool) -> None:
    """Always restarts after every exit, OnFailure after a non-zero exit code, Never does not restart."""
    assert should_restart({"spec": {"restartPolicy": policy}}, {"name": "c"}, code) is restarts


@pytest.mark.parametrize(
    ("policy", "code", "restarts"),
    [("Always", 0, False), ("Always", 1, True), ("OnFailure", 1, True), ("Never", 1, False)],
)
def test_restart_of_init_containers(policy: str, code: int, restarts: bool) -> None:
    """In a pod with the policy Always, init containers restart only on failure."""
    assert should_restart({"spec": {"restartPolicy": policy}}, {"name": "i"}, code, init=True) is restarts


@pytest.mark.parametrize("policy", ["Always", "OnFailure", "Never"])
def test_sidecars_always_restart(policy: str) -> None:
    """The restartPolicy of a sidecar is independent of the pod's."""
    sidecar = {"name": "s", "restartPolicy": "Always"}
    assert should_restart({"spec": {"restartPolicy": policy}}, sidecar, 0, init=True)


@pytest.mark.parametrize(
    ("operator", "code", "restarts"), [("In", 42, True), ("In", 1, False), ("NotIn", 42, False), ("NotIn", 1, True)]
)
def test_restart_rules_of_a_container(operator: str, code: int, restarts: bool) -> None:
    """A restart rule with a matching exit code overrides the restart policies."""
    rule = {"action": "Restart", "exitCodes": {"operator": operator, "values": [42]}}
    container = {"name": "c", "restartPolicy": "Never", "restartPolicyRules": [rule]}
    assert should_restart({"spec": {"restartPolicy": "Always"}}, container, code) is restarts
