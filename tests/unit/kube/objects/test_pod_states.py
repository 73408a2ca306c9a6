"""Conditions and container states of a pod, each told once as it comes, with the API's own times."""

from datetime import datetime

from loadgen.kube.objects.pod_states import StatesStory, state_changes

NOW = 5_000.0


def stamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def pod(**status: object) -> dict:
    return {"metadata": {"name": "a"}, "status": status}


def told(story: StatesStory, one: dict) -> list[tuple]:
    return [(c.kind, c.unix_s, c.reason, dict(c.data or {})) for c in state_changes(story, one, NOW)]


def condition(kind: str, status: str, at: str | None = None, reason: str | None = None) -> dict:
    return {"type": kind, "status": status, "lastTransitionTime": at, "reason": reason}


def test_a_condition_is_told_when_it_changes() -> None:
    """By its own time, else by when it was seen; the same again says nothing."""
    story = StatesStory()
    first = pod(conditions=[condition("Ready", "False", "2026-11-24T12:00:00Z", "ContainersNotReady")])
    at = stamp("2026-11-24T12:00:00+00:00")
    said = ("pod_condition", at, "ContainersNotReady", {"condition": "Ready", "status": "False"})
    assert told(story, first) == [said]
    assert told(story, first) == []
    assert told(story, pod(conditions=[condition("Ready", "True")])) == [
        ("pod_condition", NOW, None, {"condition": "Ready", "status": "True"})
    ]


def container(restarts: int = 0, **state: dict) -> dict:
    return {"name": "server", "restartCount": restarts, "state": state}


def test_a_container_goes_through_its_states() -> None:
    """Waiting, running, terminated with its exit code; and the same state after a restart is a new one."""
    story, at = StatesStory(), "2026-11-24T12:00:07Z"
    seconds = stamp("2026-11-24T12:00:07+00:00")
    steps = [
        container(waiting={"reason": "ContainerCreating"}),
        container(running={"startedAt": at}),
        container(terminated={"reason": "Error", "exitCode": 3, "finishedAt": at}),
        container(1, running={"startedAt": at}),
    ]
    said = [told(story, pod(containerStatuses=[each])) for each in steps]

    def state(name: str, exit_code: int | None = None, restarts: int = 0) -> dict:
        return {"container": "server", "state": name, "exit_code": exit_code, "restarts": restarts}

    assert said == [
        [("container_state", NOW, "ContainerCreating", state("waiting"))],
        [("container_state", seconds, None, state("running"))],
        [("container_state", seconds, "Error", state("terminated", 3))],
        [("container_state", seconds, None, state("running", None, 1))],
    ]


def test_init_containers_count_too() -> None:
    """Each by its name; nothing of a pod without a status."""
    story = StatesStory()
    one = pod(initContainerStatuses=[{**container(running={}), "name": "engine"}], containerStatuses=[container()])
    assert [each[3]["container"] for each in told(story, one)] == ["engine"]
    assert told(StatesStory(), {"metadata": {"name": "a"}}) == []
