"""How far pods are, and why some get no further, by what the API says of them."""

import pytest

from loadgen.kube.objects.rollout import on_its_way, phase, stuck, summary

SHORT = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."
WAITS = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": SHORT}
SCHEDULED = {"type": "PodScheduled", "status": "True"}
READY = {"type": "Ready", "status": "True"}


def container(name: str = "server", **state: object) -> dict:
    return {"name": name, "image": "no.example/image:1", "state": state}


def pod(*conditions: dict, containers: tuple = (), init: tuple = (), name: str = "t-1", ended: str = "") -> dict:
    return {
        "metadata": {"name": name, "uid": f"uid of {name}"},
        "status": {
            "phase": ended,
            "conditions": list(conditions),
            "containerStatuses": list(containers),
            "initContainerStatuses": list(init),
        },
    }


def waiting(reason: str, message: str = "", **more: object) -> dict:
    return {**container(waiting={"reason": reason, "message": message}), **more}


def why(*stuck_ones: object, events: tuple = ()) -> list[str]:
    """The sentences, each once."""
    return list(dict.fromkeys(cause.why for cause in stuck([*stuck_ones], events)))


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
        (pod(SCHEDULED, ended="Failed"), "ended"),
        (pod(SCHEDULED, ended="Succeeded"), "ended"),
        (pod(ended="Failed"), "ended"),
    ],
)
def test_a_pod_is_in_one_phase(one: dict, doing: str) -> None:
    """Node, image, engine, model, ready; what is left of one that was evicted pulls nothing."""
    assert phase(one) == doing


def test_what_is_on_its_way() -> None:
    """Neither a pod that ends nor what is left of one."""
    leaves = pod(SCHEDULED, READY)
    leaves["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert on_its_way(pod(WAITS))
    assert not on_its_way(leaves)
    assert not on_its_way(pod(SCHEDULED, ended="Failed"))


def test_all_pods_in_a_few_words() -> None:
    """Those that are wanted and not there yet count."""
    pods = [pod(SCHEDULED, READY), pod(SCHEDULED, containers=(container(running={}),))]
    assert summary(pods, 4) == "1 of 4 replicas ready, 2 not there yet, 1 loading the model"
    assert summary([], 1) == "0 of 1 replica ready, 1 not there yet"


def test_a_pod_that_cannot_be_scheduled_says_what_the_scheduler_says() -> None:
    """Once, however many there are."""
    (told,) = why(pod(SCHEDULED), pod(WAITS), pod(WAITS))
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
    (told,) = why(pod(SCHEDULED, containers=(one,)))
    assert told.startswith(says)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            pod(SCHEDULED, containers=(waiting("ErrImagePull", "not found"),)),
            pod(SCHEDULED, containers=(waiting("ImagePullBackOff", "Back-off pulling image"),)),
        ),
        (pod(WAITS), pod({**WAITS, "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."})),
        (
            pod(SCHEDULED, containers=(waiting("CrashLoopBackOff", lastState={"terminated": {"exitCode": 1}}),)),
            pod(SCHEDULED, containers=(container(terminated={"exitCode": 137, "reason": "OOMKilled"}),)),
        ),
    ],
)
def test_a_cause_is_the_same_in_other_words(before: dict, after: dict) -> None:
    """By the pod and what kind of trouble it has: patience with it goes on."""
    ((uid, kind, said),) = stuck([before])
    ((uid_after, kind_after, said_after),) = stuck([after])
    assert (uid, kind) == (uid_after, kind_after)
    assert said != said_after


def test_causes_of_two_pods_are_two() -> None:
    """Each has its own patience."""
    assert len({cause[:2] for cause in stuck([pod(WAITS), pod(WAITS, name="t-2")])}) == 2


def test_a_pod_that_is_ready_again_is_not_stuck() -> None:
    """It may have crashed before."""
    crashed = container(running={}) | {"lastState": {"terminated": {"exitCode": 1}}}
    assert stuck([pod(SCHEDULED, READY, containers=(crashed,))]) == []
    assert len(stuck([pod(SCHEDULED, containers=(crashed,))])) == 1


def test_events_tell_of_volumes_and_quotas() -> None:
    """Of a pod that waits, not of one that was long ready; of a quota only where no pod could be made."""
    mount = event("FailedMount", 'secret "models" not found')
    quota = event("FailedCreate", "exceeded quota: gpus", name="t", kind="ReplicaSet")
    assert why(pod(SCHEDULED), events=(mount, quota)) == [
        'a pod cannot start (FailedMount): secret "models" not found; check the volumes, Secrets and ConfigMaps that '
        "it names"
    ]
    assert stuck([pod(SCHEDULED, READY)], [mount, quota]) == []
    assert stuck([pod(SCHEDULED)], [mount, event("Pulling", "Pulling image")]) == []  # it got further
    assert why(events=(quota,)) == [
        "no pod can be made (FailedCreate): exceeded quota: gpus; a quota or an admission rule refuses its pods"
    ]


@pytest.mark.parametrize("one", [{}, {"status": {}}, pod(), pod(containers=(waiting("ContainerCreating"),))])
def test_a_pod_on_its_way_is_not_stuck(one: dict) -> None:
    """Also before the API says anything of it."""
    assert stuck([one]) == []
