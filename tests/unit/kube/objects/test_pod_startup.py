"""Stages of starting pods, and what blocks those that do not progress."""

import pytest

from loadgen.kube.objects.pod_startup import find_blockers, find_progress, is_active, startup_stage, summary

SHORT = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."
UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": SHORT}
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


def messages(*pods: dict, events: tuple = ()) -> list[str]:
    """The messages of all blockers, each once."""
    return list(dict.fromkeys(blocker.message for blocker in find_blockers([*pods], events)))


def event(reason: str, message: str, name: str = "t-1", kind: str = "Pod") -> dict:
    return {"reason": reason, "message": message, "involvedObject": {"kind": kind, "name": name}}


@pytest.mark.parametrize(
    ("raw", "stage"),
    [
        ({}, "waiting for a node"),
        (pod(UNSCHEDULABLE), "waiting for a node"),
        (pod(SCHEDULED), "pulling the image"),
        (pod(SCHEDULED, containers=(waiting("ContainerCreating"),)), "pulling the image"),
        (pod(SCHEDULED, init=(container("engine", running={}),)), "waiting for the engine"),
        (pod(SCHEDULED, init=(container("download", running={}),)), "downloading the model"),
        (pod(SCHEDULED, init=(container("models", running={}),)), "pulling the image"),
        (pod(SCHEDULED, containers=(container(running={}),)), "loading the model"),
        # a sidecar runs already
        (
            pod(SCHEDULED, containers=(container("istio-proxy", running={}), waiting("ContainerCreating"))),
            "pulling the image",
        ),
        (pod(SCHEDULED, READY, containers=(container(running={}),)), "ready"),
        (pod(SCHEDULED, ended="Failed"), "ended"),
        (pod(SCHEDULED, ended="Succeeded"), "ended"),
        (pod(ended="Failed"), "ended"),
    ],
)
def test_each_pod_is_in_one_stage(raw: dict, stage: str) -> None:
    """Node, image, engine, model, ready; an evicted pod has ended."""
    assert startup_stage(raw) == stage


def test_a_pod_that_has_ended_or_is_being_deleted_is_not_active() -> None:
    """A pending pod is active."""
    deleted = pod(SCHEDULED, READY)
    deleted["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert is_active(pod(UNSCHEDULABLE))
    assert not is_active(deleted)
    assert not is_active(pod(SCHEDULED, ended="Failed"))


def test_the_summary_counts_pods_by_stage() -> None:
    """Missing replicas are counted, too."""
    pods = [pod(SCHEDULED, READY), pod(SCHEDULED, containers=(container(running={}),))]
    assert summary(pods, 4) == "1 of 4 replicas ready, 2 not created yet, 1 loading the model"
    assert summary([], 1) == "0 of 1 replica ready, 1 not created yet"


def test_an_unschedulable_pod_has_the_scheduler_s_message() -> None:
    """The same message of several pods is reported once."""
    (message,) = messages(pod(SCHEDULED), pod(UNSCHEDULABLE), pod(UNSCHEDULABLE))
    assert message == (
        "a pod cannot be scheduled: 0/2 nodes are available: 2 Insufficient nvidia.com/gpu: "
        "request fewer replicas or GPUs, or add nodes"
    )


@pytest.mark.parametrize(
    ("reason", "text", "advice"),
    [
        (
            "Unschedulable",
            "request gpus: device class gpu.nvidia.com does not exist.",
            "install the driver of that device class, or name another in gpu.dra.deviceClass",
        ),
        (
            "Unschedulable",
            "0/2 nodes are available: 2 cannot allocate all claims.",
            "or check which devices the claims select (`kubectl get resourceslices`)",
        ),
        (
            "SchedulerError",
            "claim t-1-gpus: selector #0: CEL runtime error: no such key: memory",
            "correct the selectors of its resource claim (gpu.dra.selectors)",
        ),
        (
            "Unschedulable",
            "0/2 nodes are available: 2 Insufficient nvidia.com/mig-1g.10gb.",
            "request fewer replicas or GPUs, or add nodes",
        ),
    ],
)
def test_a_pod_without_its_devices_has_advice_that_fits(reason: str, text: str, advice: str) -> None:
    """Devices of a claim, a claim that the scheduler cannot read, or a slice of a GPU."""
    (message,) = messages(pod({**UNSCHEDULABLE, "reason": reason, "message": text}))
    assert message.startswith(f"a pod cannot be scheduled: {text.rstrip('.')}: ")
    assert message.endswith(advice)


def test_a_claim_that_cannot_be_created_or_prepared_is_reported() -> None:
    """Its pod has no condition of the scheduler yet; once the claim exists, the event is about an earlier attempt."""
    failed = event("FailedResourceClaimCreation", 'PodResourceClaim gpus: resource claim template "x" not found')
    (message,) = messages(pod(), events=(failed,))
    assert message.startswith("a pod cannot start (FailedResourceClaimCreation): PodResourceClaim gpus")
    assert "check the ResourceClaimTemplate" in message
    claimed = pod()
    claimed["status"]["resourceClaimStatuses"] = [{"name": "gpus", "resourceClaimName": "t-1-gpus-x"}]
    assert messages(claimed, events=(failed,)) == []
    unprepared = event("FailedPrepareDynamicResources", "Failed to prepare dynamic resources: deadline exceeded")
    claimed["status"]["conditions"] = [SCHEDULED]
    assert "the DRA driver of the node" in messages(claimed, events=(unprepared,))[0]


COMING = [
    (
        "TriggeredScaleUp",
        "pod triggered scale-up: [{gpu 1->2}]",
        "the cluster autoscaler is adding a node for a pod (TriggeredScaleUp: pod triggered scale-up: [{gpu 1->2}])",
    ),
    (
        "Nominated",
        "Pod should schedule on: nodeclaim/gpu-x7k2p",
        "Karpenter is adding a node for a pod (Nominated: Pod should schedule on: nodeclaim/gpu-x7k2p)",
    ),
]


@pytest.mark.parametrize(("reason", "text", "sentence"), COMING)
def test_a_pod_for_which_a_node_is_being_added_is_not_blocked(reason: str, text: str, sentence: str) -> None:
    """Cluster autoscaler and Karpenter report that in an event of the pod; other pods remain blocked."""
    coming = event(reason, text)
    assert find_blockers([pod(UNSCHEDULABLE)], [coming]) == []
    assert find_progress([pod(UNSCHEDULABLE)], [coming]) == [sentence]
    assert len(find_blockers([pod(UNSCHEDULABLE, name="t-2")], [coming])) == 1
    assert find_progress([pod(UNSCHEDULABLE, name="t-2"), pod(SCHEDULED, READY)], [coming]) == []


def test_a_node_for_an_earlier_pod_of_the_same_name_does_not_count() -> None:
    """Pods of a StatefulSet keep their name; the uid tells them apart."""
    earlier = event("Nominated", "Pod should schedule on: nodeclaim/gpu")
    earlier["involvedObject"]["uid"] = "another"
    assert len(find_blockers([pod(UNSCHEDULABLE)], [earlier])) == 1
    earlier["involvedObject"]["uid"] = "uid of t-1"
    assert find_blockers([pod(UNSCHEDULABLE)], [earlier]) == []


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (
            event("NotTriggerScaleUp", "pod didn't trigger scale-up: 1 max node group size reached"),
            "the cluster autoscaler adds no node (pod didn't trigger scale-up: 1 max node group size reached)",
        ),
        (
            event("FailedScheduling", "no instance type satisfied resources") | {"source": {"component": "karpenter"}},
            "Karpenter adds no node (no instance type satisfied resources)",
        ),
    ],
)
def test_the_last_report_of_a_node_provisioner_counts(refusal: dict, reason: str) -> None:
    """A refusal after a promise blocks the pod, with the provisioner's reason; a promise after a refusal does not."""
    promise = event("TriggeredScaleUp", "pod triggered scale-up") | {"lastTimestamp": "2026-01-01T00:05:00Z"}
    ((_, _, message),) = find_blockers(
        [pod(UNSCHEDULABLE)], [{**refusal, "eventTime": "2026-01-01T00:06:00.000000Z"}, promise]
    )
    assert message == f"a pod cannot be scheduled: {SHORT[:-1]}; {reason}: request fewer replicas or GPUs, or add nodes"
    assert find_blockers([pod(UNSCHEDULABLE)], [promise, {**refusal, "lastTimestamp": "2026-01-01T00:04:00Z"}]) == []


def test_the_scheduler_s_own_events_are_no_reports_of_a_provisioner() -> None:
    """Their text is the pod's condition already."""
    failed = event("FailedScheduling", SHORT) | {"reportingComponent": "default-scheduler"}
    (message,) = messages(pod(UNSCHEDULABLE), events=(failed,))
    assert "adds no node" not in message


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (waiting("ErrImageNeverPull"), "the image no.example/image:1 cannot be pulled (ErrImageNeverPull): check"),
        (
            waiting("ImagePullBackOff", "Back-off pulling: 401 Unauthorized."),
            "the image no.example/image:1 cannot be pulled (ImagePullBackOff: Back-off pulling: 401 Unauthorized): ",
        ),
        (
            waiting("CreateContainerConfigError", 'secret "hf-token" not found'),
            'the container server cannot be created (CreateContainerConfigError: secret "hf-token" not found): check',
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
def test_a_container_that_cannot_run_has_a_reason_and_advice(raw: dict, expected: str) -> None:
    """The message of the container runtime, or the container's own termination message."""
    (message,) = messages(pod(SCHEDULED, containers=(raw,)))
    assert message.startswith(expected)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            pod(SCHEDULED, containers=(waiting("ErrImagePull", "not found"),)),
            pod(SCHEDULED, containers=(waiting("ImagePullBackOff", "Back-off pulling image"),)),
        ),
        (
            pod(UNSCHEDULABLE),
            pod({**UNSCHEDULABLE, "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."}),
        ),
        (
            pod(SCHEDULED, containers=(waiting("CrashLoopBackOff", lastState={"terminated": {"exitCode": 1}}),)),
            pod(SCHEDULED, containers=(container(terminated={"exitCode": 137, "reason": "OOMKilled"}),)),
        ),
    ],
)
def test_a_blocker_stays_the_same_when_its_message_changes(before: dict, after: dict) -> None:
    """It is identified by its pod and its kind, so its timeout goes on."""
    ((uid, kind, message),) = find_blockers([before])
    ((uid_after, kind_after, message_after),) = find_blockers([after])
    assert (uid, kind) == (uid_after, kind_after)
    assert message != message_after


def test_blockers_of_two_pods_are_separate() -> None:
    """Each has its own timeout."""
    assert len({blocker[:2] for blocker in find_blockers([pod(UNSCHEDULABLE), pod(UNSCHEDULABLE, name="t-2")])}) == 2


def test_a_pod_that_is_ready_again_is_not_blocked() -> None:
    """It may have crashed before."""
    crashed = container(running={}) | {"lastState": {"terminated": {"exitCode": 1}}}
    assert find_blockers([pod(SCHEDULED, READY, containers=(crashed,))]) == []


def test_a_container_that_runs_again_is_not_blocked() -> None:
    """Only the present state counts: its first start failed, and now it loads the model."""
    running = container(running={}) | {"lastState": {"terminated": {"exitCode": 1}}}
    restarting = container() | {"lastState": {"terminated": {"exitCode": 1}}}
    assert find_blockers([pod(SCHEDULED, containers=(running,))]) == []
    assert find_blockers([pod(SCHEDULED, containers=(restarting,))]) == []
    assert find_blockers([pod(SCHEDULED, init=(running,))]) == []


def test_events_report_problems_with_volumes_and_quotas() -> None:
    """Volumes of a pod that is starting; a quota only where no pod could be created."""
    mount = event("FailedMount", 'secret "models" not found')
    quota = event("FailedCreate", "exceeded quota: gpus", name="t", kind="ReplicaSet")
    assert messages(pod(SCHEDULED), events=(mount, quota)) == [
        'a pod cannot start (FailedMount): secret "models" not found; check the volumes, Secrets and ConfigMaps that '
        "it names"
    ]
    assert find_blockers([pod(SCHEDULED, READY)], [mount, quota]) == []
    assert (
        find_blockers([pod(SCHEDULED)], [mount, event("Pulling", "Pulling image")]) == []
    )  # its volumes are mounted by now
    assert messages(events=(quota,)) == [
        "pods cannot be created (FailedCreate): exceeded quota: gpus; a quota or an admission policy rejects its pods"
    ]


QUOTA = 'pods "t-2" is forbidden: exceeded quota: gpus, requested: 1, used: 1, limited: 1'
REJECTED = f"pods cannot be created (FailedCreate): {QUOTA}; a quota or an admission policy rejects its pods"


def workload(name: str = "t", **failure: str) -> dict:
    conditions = [{"type": "Progressing", "status": "True"}]
    if failure:
        conditions.append({"type": "ReplicaFailure", "reason": "FailedCreate", **failure})
    return {"metadata": {"name": name}, "status": {"conditions": conditions}}


def test_a_quota_that_stops_the_second_of_two_pods_is_reported() -> None:
    """The first pod may be ready or not; the Deployment's condition says it while it lasts, without any event."""
    for first in (pod(SCHEDULED), pod(SCHEDULED, READY)):
        (blocker,) = find_blockers([first], replicas=2, workload=workload(status="True", message=QUOTA))
        assert blocker.message == REJECTED
    assert find_blockers([pod(SCHEDULED)], replicas=2, workload=workload(status="False", message=QUOTA)) == []


def test_events_of_a_pod_that_could_not_be_created_count_while_one_is_missing() -> None:
    """The last event of the workload's own ReplicaSet or StatefulSet: a LeaderWorkerSet has no such condition."""
    old = event("FailedCreate", "an older reason", name="t-77bd", kind="ReplicaSet")
    old["lastTimestamp"] = "2026-01-01T00:00:00Z"
    for kind, name in (("ReplicaSet", "t-77bd"), ("StatefulSet", "t"), ("StatefulSet", "t-0")):
        last = event("FailedCreate", QUOTA, name=name, kind=kind) | {"lastTimestamp": "2026-01-01T00:01:00Z"}
        (blocker,) = find_blockers([pod(SCHEDULED)], [last, old], replicas=2, workload=workload())
        assert blocker.message == REJECTED
        assert find_blockers([pod(SCHEDULED)], [last, old], replicas=1, workload=workload()) == []
    for kind, name in (("Job", "t"), ("ReplicaSet", "t-other-77bd"), ("ReplicaSet", "other-77bd")):
        others = event("FailedCreate", QUOTA, name=name, kind=kind)
        assert find_blockers([pod(SCHEDULED)], [others], replicas=2, workload=workload()) == []


@pytest.mark.parametrize("raw", [{}, {"status": {}}, pod(), pod(containers=(waiting("ContainerCreating"),))])
def test_a_starting_pod_is_not_blocked(raw: dict) -> None:
    """Also while its status is empty."""
    assert find_blockers([raw]) == []
