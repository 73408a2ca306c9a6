"""Init containers, sidecars and postStart hooks, checked against the Kubernetes documentation.

Needs the sandbox's build; takes about a minute.
"""

import pytest

from support.kube.cluster import (
    FOREVER,
    Cluster,
    finished,
    mount,
    phase,
    pod,
    restarted,
    shell,
    status,
    terminated,
    waiting,
)

pytestmark = pytest.mark.timeout(240)

WORK = [mount("work", "/work")]
SHARED = [{"name": "work", "emptyDir": {}}]
STARTED = {"exec": {"command": ["/bin/sh", "-c", "test -s /work/log"]}, "periodSeconds": 1}

WITH_INIT = [
    pod(
        "in-order",
        shell("cat /work/log", volumeMounts=WORK),
        initContainers=[
            shell("sleep 1; echo first >> /work/log", "first", volumeMounts=WORK),
            shell("echo second >> /work/log", "second", volumeMounts=WORK),
        ],
        restartPolicy="Never",
        volumes=SHARED,
    ),
    pod("init-fails", shell("exit 0"), initContainers=[shell("exit 1", "init")], restartPolicy="Never"),
    pod("init-fails-again", shell("exit 0"), initContainers=[shell("exit 1", "init")]),
    pod(
        "sidecar",
        shell("echo main runs >> /work/log; sleep 1; echo main ends >> /work/log", volumeMounts=WORK),
        initContainers=[
            shell(
                "sleep 1; echo sidecar runs >> /work/log; "
                f"trap 'echo sidecar ends >> /work/log; cat /work/log; exit 0' TERM; {FOREVER}",
                "sidecar",
                restartPolicy="Always",
                startupProbe=STARTED,
                volumeMounts=WORK,
            )
        ],
        restartPolicy="Never",
        terminationGracePeriodSeconds=60,
        volumes=SHARED,
    ),
]

WITH_HOOKS = [
    pod(
        "post-start",
        shell(
            FOREVER,
            volumeMounts=WORK,
            lifecycle={"postStart": {"exec": {"command": ["/bin/sh", "-c", "sleep 2; echo hook >> /work/log"]}}},
        ),
        volumes=SHARED,
    ),
    pod("post-start-fails", shell(FOREVER, lifecycle={"postStart": {"exec": {"command": ["false"]}}})),
]


@pytest.fixture(scope="module", autouse=True)
def _pods(cluster: Cluster) -> None:
    cluster.create(*WITH_INIT, *WITH_HOOKS)


def test_init_containers_run_in_order(cluster: Cluster) -> None:
    """Each init container must complete successfully before the next starts, and all before the app containers."""
    assert cluster.log("in-order").split() == ["first", "second"]
    last = cluster.get("pod", "in-order")
    assert [each["ready"] for each in last["status"]["initContainerStatuses"]] == [True, True]


def test_failed_init_container(cluster: Cluster) -> None:
    """With restartPolicy Never a failing init container fails the pod: Init:Error, no app container has started."""
    last = cluster.pod("init-fails", finished)
    assert last["status"]["phase"] == "Failed"
    assert status(last)["state"]["waiting"]["reason"] == "PodInitializing"
    assert "Init:Error" in cluster.kubectl("get", "pod", "init-fails")


def test_failing_init_container_is_restarted(cluster: Cluster) -> None:
    """Otherwise the kubelet restarts it until it succeeds: the pod is Pending in Init:CrashLoopBackOff."""
    last = cluster.pod("init-fails-again", waiting("CrashLoopBackOff", "init"))
    assert last["status"]["phase"] == "Pending"
    assert status(last, "init")["restartCount"] >= 1
    assert "Init:CrashLoopBackOff" in cluster.kubectl("get", "pod", "init-fails-again")


def test_sidecar_of_a_pod_that_completes(cluster: Cluster) -> None:
    """A sidecar starts before the app containers and is stopped after them; then the pod is complete."""
    assert cluster.log("sidecar", "--container=sidecar").splitlines() == [
        "sidecar runs",
        "main runs",
        "main ends",
        "sidecar ends",
    ]
    assert cluster.get("pod", "sidecar")["status"]["phase"] == "Succeeded"


def test_post_start(cluster: Cluster) -> None:
    """Until the postStart hook completes the container's status is not set to running."""
    cluster.pod("post-start", phase("Running"))
    assert cluster.kubectl("exec", "post-start", "--", "cat", "/work/log") == "hook\n"


def test_post_start_fails(cluster: Cluster) -> None:
    """If the postStart hook fails, the container is killed, and restarted as its policy says."""
    last = cluster.pod("post-start-fails", restarted(1))
    assert terminated(last)["exitCode"] == 137  # a shell without a trap ignores SIGTERM as process 1
    cluster.event("post-start-fails", "FailedPostStartHook")
    cluster.event("post-start-fails", "Killing", "FailedPostStartHook")
