"""How far pods are, and why some get no further, by what the API says of them."""

import pytest

from loadgen.kube.rollout import phase, stuck, summary

SHORT = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."
WAITS = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": SHORT}
SCHEDULED = {"type": "PodScheduled", "status": "True"}
READY = {"type": "Ready", "status": "True"}


def container(name: str = "server", **state: object) -> dict:
    return {"name": name, "image": "no.example/image:1", "state": state}


def pod(*conditions: dict, containers: tuple = (), init: tuple = (), name: str = "t-1") -> dict:
    return {
        "metadata": {"name": name},
        "status": {
            "conditions": list(conditions),
            "containerStatuses": list(containers),
            "initContainerStatuses": list(init),
        },
    }


def waiting(reason: str, message: str = "", **more: object) -> dict:
    return {**container(waiting={"reason": reason, "message": message}), **more}


def event(reason: str, message: str, name: str = "t-1", kind: str = "Pod") -> dict:
    return {"reason": reason, "message": message, "involvedObject": {"kind": kind, "name": name}}


@pytest.mark.parametrize(
    ("one", "doing"),
    [
        ({}, "waiting for a node"),
        (pod(WAITS), "waiting for a node"),
        (pod(SCHEDULED), "pulling the image"),
        (pod(SCHEDULED, containers=(waiting("ContainerCreating"),)), "pulling the image"),
        (pod(SCHEDULED, init=(container("engine", running={}),)), "waiting for the engine"),
        (pod(SCHEDULED, init=(container("models", running={}),)), "pulling the image"),
        (pod(SCHEDULED, containers=(container(running={}),)), "loading the model"),
        (pod(SCHEDULED, READY, containers=(container(running={}),)), "ready"),
    ],
)
def test_a_pod_is_in_one_phase(one: dict, doing: str) -> None:
    """Node, image, engine, model, ready."""
    assert phase(one) == doing


def test_all_pods_in_a_few_words() -> None:
    """Those that are wanted and not there yet count."""
    pods = [pod(SCHEDULED, READY), pod(SCHEDULED, containers=(container(running={}),))]
    assert summary(pods, 4) == "1 of 4 replicas ready, 2 not there yet, 1 loading the model"
    assert summary([], 1) == "0 of 1 replica ready, 1 not there yet"


def test_a_pod_that_cannot_be_scheduled_says_what_the_scheduler_says() -> None:
    """Once, however many there are."""
    (told,) = stuck([pod(SCHEDULED), pod(WAITS), pod(WAITS)])
    assert told == (
        "a pod of the fleet cannot be scheduled: 0/2 nodes are available: 2 Insufficient nvidia.com/gpu: "
        "ask for fewer replicas or GPUs, or for more nodes"
    )


def test_a_pod_for_which_a_node_comes_is_not_stuck() -> None:
    """The cluster's autoscaler says so in an event of that pod, and of no other."""
    coming = event("TriggeredScaleUp", "pod triggered scale-up: [{gpu-pool 1->2}]")
    assert stuck([pod(WAITS)], [coming]) == []
    assert len(stuck([pod(WAITS, name="t-2")], [coming])) == 1


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (waiting("ErrImageNeverPull"), "the image no.example/image:1 cannot be had (ErrImageNeverPull): check"),
        (
            waiting("ImagePullBackOff", "Back-off pulling image: 401 Unauthorized."),
            "the image no.example/image:1 cannot be had (ImagePullBackOff: Back-off pulling image: 401 Unauthorized): ",
        ),
        (
            waiting("CreateContainerConfigError", 'secret "hf-token" not found'),
            'the container server cannot be made (CreateContainerConfigError: secret "hf-token" not found): see',
        ),
        (
            waiting("CrashLoopBackOff", lastState={"terminated": {"exitCode": 1, "reason": "Error"}}),
            "the container server ended with exit code 1 (Error): read its log",
        ),
        (
            container("engine", terminated={"exitCode": 1, "message": "the build failed:\n no space"}),
            "the container engine ended with exit code 1 (Error: the build failed: no space): read its log",
        ),
    ],
)
def test_a_container_that_will_not_run_says_why(one: dict, says: str) -> None:
    """With the runtime's or its own last words, and what to do."""
    (told,) = stuck([pod(SCHEDULED, containers=(one,))])
    assert told.startswith(says)


def test_events_tell_of_volumes_and_quotas() -> None:
    """Of a pod that waits, not of one that was long ready; of a quota only where no pod could be made."""
    mount = event("FailedMount", 'secret "models" not found')
    quota = event("FailedCreate", "exceeded quota: gpus", name="t", kind="ReplicaSet")
    assert stuck([pod(SCHEDULED)], [mount, quota]) == [
        'a pod cannot start (FailedMount): secret "models" not found; check the volumes, Secrets and ConfigMaps that '
        "it names"
    ]
    assert stuck([pod(SCHEDULED, READY)], [mount, quota]) == []
    assert stuck([], [quota]) == [
        "no pod can be made (FailedCreate): exceeded quota: gpus; a quota or an admission rule refuses its pods"
    ]


@pytest.mark.parametrize("one", [{}, {"status": {}}, pod(), pod(containers=(waiting("ContainerCreating"),))])
def test_a_pod_on_its_way_is_not_stuck(one: dict) -> None:
    """Also before the API says anything of it."""
    assert stuck([one]) == []
