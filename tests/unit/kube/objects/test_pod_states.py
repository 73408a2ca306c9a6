"""Each change of a pod's conditions and container states is one event, with the API's timestamp."""

from datetime import datetime

from loadgen.kube.objects.pod_states import PodStates

NOW = 5_000.0


def stamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def pod(**status: object) -> dict:
    return {"metadata": {"name": "a"}, "status": status}


def events(states: PodStates, raw: dict) -> list[tuple]:
    return [(c.kind, c.unix_s, c.reason, dict(c.data or {})) for c in states.update(raw, NOW)]


def condition(kind: str, status: str, at: str | None = None, reason: str | None = None) -> dict:
    return {"type": kind, "status": status, "lastTransitionTime": at, "reason": reason}


def test_a_condition_is_reported_when_it_changes() -> None:
    """At its transition time, or else at the time of observation; the same state again adds nothing."""
    states = PodStates()
    first = pod(conditions=[condition("Ready", "False", "2026-11-24T12:00:00Z", "ContainersNotReady")])
    at = stamp("2026-11-24T12:00:00+00:00")
    expected = ("pod_condition", at, "ContainersNotReady", {"condition": "Ready", "status": "False"})
    assert events(states, first) == [expected]
    assert events(states, first) == []
    assert events(states, pod(conditions=[condition("Ready", "True")])) == [
        ("pod_condition", NOW, None, {"condition": "Ready", "status": "True"})
    ]


def container(restarts: int = 0, **state: dict) -> dict:
    return {"name": "server", "restartCount": restarts, "state": state}


def test_each_state_of_a_container_is_reported() -> None:
    """Waiting, running, terminated with its exit code; the same state after a restart is reported again."""
    states, at = PodStates(), "2026-11-24T12:00:07Z"
    seconds = stamp("2026-11-24T12:00:07+00:00")
    steps = [
        container(waiting={"reason": "ContainerCreating"}),
        container(running={"startedAt": at}),
        container(terminated={"reason": "Error", "exitCode": 3, "finishedAt": at}),
        container(1, running={"startedAt": at}),
    ]
    reported = [events(states, pod(containerStatuses=[each])) for each in steps]

    def state(name: str, exit_code: int | None = None, restarts: int = 0) -> dict:
        return {"container": "server", "state": name, "exit_code": exit_code, "restarts": restarts}

    assert reported == [
        [("container_state", NOW, "ContainerCreating", state("waiting"))],
        [("container_state", seconds, None, state("running"))],
        [("container_state", seconds, "Error", state("terminated", 3))],
        [("container_state", seconds, None, state("running", None, 1))],
    ]


def test_init_containers_are_reported_too() -> None:
    """Each by its name; a pod without a status has none."""
    states = PodStates()
    one = pod(initContainerStatuses=[{**container(running={}), "name": "engine"}], containerStatuses=[container()])
    assert [each[3]["container"] for each in events(states, one)] == ["engine"]
    assert events(PodStates(), {"metadata": {"name": "a"}}) == []
