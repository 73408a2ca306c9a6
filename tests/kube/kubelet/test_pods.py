"""The life of a pod on a node, held against the rules of the Kubernetes documentation (Pod Lifecycle).

All pods are made at once; most are over, or in the state that is asked for, when their test looks at them.
"""

from itertools import pairwise
from typing import Any

import pytest

from loadgen.sandbox.kubelet.objects import parse_rfc3339
from support.kube.cluster import (
    FOREVER,
    PYTHON,
    Cluster,
    Json,
    container,
    ended,
    eventually,
    mount,
    over,
    phase,
    pod,
    ready,
    restarted,
    said_by,
    shell,
    status,
    waits,
)

pytestmark = pytest.mark.timeout(240)

KEPT = ["loadgen.test/kept"]
"""Finalizers that keep a pod in the API when its node has ended it, so that a test can read how."""

WORK = [mount("work", "/work")]
SHARED = [{"name": "work", "emptyDir": {}}]


def kept(manifest: Json) -> Json:
    """A pod that stays in the API after its deletion until its finalizer is taken away."""
    manifest["metadata"]["finalizers"] = KEPT
    return manifest


def says(word: str, **fields: Any) -> Json:
    """A container that writes a word at its start and one when it is told to end."""
    script = f"echo {word} runs >> /work/log; trap 'echo {word} ends >> /work/log; exit 0' TERM; {FOREVER}"
    return shell(script, word, volumeMounts=WORK, **fields)


STARTED = {"exec": {"command": ["/bin/sh", "-c", "test -s /work/log"]}, "periodSeconds": 1}

RUN_TO_THEIR_END = [
    pod("succeeds", shell("exit 0"), restartPolicy="Never"),
    pod("fails", shell("exit 3"), restartPolicy="Never"),
    pod("one-of-two-fails", shell("exit 0", "good"), shell("exit 1", "bad"), restartPolicy="Never"),
    pod("last-words", shell("echo why > /dev/termination-log; exit 1"), restartPolicy="Never"),
    pod(
        "log-as-last-words",
        shell("echo the end of the log; exit 1", terminationMessagePolicy="FallbackToLogsOnError"),
        restartPolicy="Never",
    ),
    pod(
        "takes-too-much",
        container(
            PYTHON,
            "-c",
            "import time; x = b'x' * (200 << 20); time.sleep(60)",
            resources={"limits": {"memory": "64Mi"}},
        ),
        restartPolicy="Never",
    ),
    pod("takes-too-long", shell(FOREVER), restartPolicy="Never", activeDeadlineSeconds=3),
    pod("no-program", container("/no/such/program"), restartPolicy="Never"),
    pod("always", shell("exit 0")),
    pod(
        "on-failure",
        shell("test -e /work/again || { touch /work/again; exit 1; }", volumeMounts=WORK),
        restartPolicy="OnFailure",
        volumes=SHARED,
    ),
    pod(
        "backs-off",
        shell("date +%s >> /work/starts; exit 1", "fails", volumeMounts=WORK),
        shell(FOREVER, "reader", volumeMounts=WORK),
        volumes=SHARED,
    ),
    pod("no-image", {"name": "main", "image": "no.example/such/image:1"}),
    pod("pulled", shell("exit 0", imagePullPolicy="Always"), restartPolicy="Never"),
    pod(
        "share-a-network",
        container(PYTHON, "-m", "http.server", "8000", name="server", startupProbe={"tcpSocket": {"port": 8000}}),
        shell(
            f"until {PYTHON} -c 'import socket; socket.create_connection((\"127.0.0.1\", 8000))' 2> /dev/null; "
            "do sleep 0.5; done; echo reached"
        ),
    ),
    pod("in-the-node-s-network", shell("hostname"), restartPolicy="Never", hostNetwork=True),
]

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

DELETED = [
    kept(pod("told", shell(f"trap 'exit 5' TERM; {FOREVER}"), terminationGracePeriodSeconds=30)),
    kept(pod("deaf", shell(f"trap '' TERM; {FOREVER}"), terminationGracePeriodSeconds=4)),
    kept(
        pod(
            "hooked",
            shell(
                f"trap 'echo told to end; exit 0' TERM; {FOREVER}",
                lifecycle={"preStop": {"exec": {"command": ["/bin/sh", "-c", "sleep 1; echo hook >> /proc/1/fd/1"]}}},
            ),
            terminationGracePeriodSeconds=30,
        )
    ),
    kept(
        pod(
            "hooked-for-long",
            shell(f"trap 'exit 6' TERM; {FOREVER}", lifecycle={"preStop": {"exec": {"command": ["sleep", "60"]}}}),
            terminationGracePeriodSeconds=3,
        )
    ),
    kept(
        pod(
            "with-sidecars",
            says("main"),
            initContainers=[
                shell(
                    f"trap 'sleep 1; cat /work/log; exit 0' TERM; {FOREVER}",
                    "log",
                    restartPolicy="Always",
                    volumeMounts=WORK,
                ),
                says("one", restartPolicy="Always"),
                says("two", restartPolicy="Always"),
            ],
            terminationGracePeriodSeconds=30,
            volumes=SHARED,
        )
    ),
]

JOB: Json = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "job"},
    "spec": {
        "completions": 2,
        "parallelism": 2,
        "template": {"spec": {"restartPolicy": "Never", "containers": [shell("exit 0")]}},
    },
}


@pytest.fixture(scope="module", autouse=True)
def _made(cluster: Cluster) -> None:
    cluster.create(*DELETED, *RUN_TO_THEIR_END, *WITH_INIT, *WITH_HOOKS, JOB)
    names = [each["metadata"]["name"] for each in DELETED]
    for name in names:
        cluster.pod(name, ready)
    cluster.kubectl("delete", "pod", "--wait=false", *names)


def gone(each: Json) -> bool:
    """Whether all containers of a deleted pod have ended."""
    listed = each["status"].get("containerStatuses", []) + each["status"].get("initContainerStatuses", [])
    return bool(each["metadata"].get("deletionTimestamp")) and all("terminated" in one["state"] for one in listed)


def released(cluster: Cluster, name: str) -> tuple[Json, str]:
    """A deleted pod as its node left it, and the log of its first container; then it goes from the API."""
    last = cluster.pod(name, gone)
    log = cluster.kubectl("logs", name, *(["--container=log"] if name == "with-sidecars" else []))
    cluster.kubectl("patch", "pod", name, "--type=merge", '--patch={"metadata":{"finalizers":null}}')
    eventually(lambda: cluster.run("get", "pod", name).returncode, f"{name} goes from the API")
    return last, log


# -- phase, state and reason ------------------------------------------------------------------------------------------


def test_succeeded(cluster: Cluster) -> None:
    """Succeeded: all containers in the pod have terminated in success, and will not be restarted; reason Completed."""
    last = cluster.pod("succeeds", over)
    assert last["status"]["phase"] == "Succeeded"
    assert (ended(last)["exitCode"], ended(last)["reason"]) == (0, "Completed")
    conditions = {each["type"]: (each["status"], each.get("reason")) for each in last["status"]["conditions"]}
    assert conditions["Ready"] == ("False", "PodCompleted")


def test_failed(cluster: Cluster) -> None:
    """Failed: a container exited with non-zero status and is not set for automatic restarting; reason Error."""
    last = cluster.pod("fails", over)
    assert last["status"]["phase"] == "Failed"
    assert (ended(last)["exitCode"], ended(last)["reason"]) == (3, "Error")
    assert status(last)["restartCount"] == 0


def test_one_failure_fails_the_pod(cluster: Cluster) -> None:
    """Failed: all containers have terminated, and at least one container has terminated in failure."""
    last = cluster.pod("one-of-two-fails", over)
    assert last["status"]["phase"] == "Failed"
    assert [ended(last, name)["exitCode"] for name in ("good", "bad")] == [0, 1]


def test_termination_message(cluster: Cluster) -> None:
    """What a container writes to /dev/termination-log is in its status as the termination message."""
    assert ended(cluster.pod("last-words", over))["message"] == "why\n"


def test_termination_message_from_the_log(cluster: Cluster) -> None:
    """FallbackToLogsOnError: with an empty message file and an error, the end of the log is the message."""
    assert ended(cluster.pod("log-as-last-words", over))["message"] == "the end of the log\n"


def test_out_of_memory(cluster: Cluster) -> None:
    """A container that exceeds its memory limit is terminated: OOMKilled, exit code 137."""
    last = ended(cluster.pod("takes-too-much", over))
    assert (last["reason"], last["exitCode"]) == ("OOMKilled", 137)


def test_active_deadline(cluster: Cluster) -> None:
    """activeDeadlineSeconds: after that time the system marks the pod as failed and kills its containers."""
    last = cluster.pod("takes-too-long", over)
    assert (last["status"]["phase"], last["status"]["reason"]) == ("Failed", "DeadlineExceeded")
    last = cluster.pod("takes-too-long", lambda each: "terminated" in status(each)["state"])
    lived_s = parse_rfc3339(ended(last)["finishedAt"]) - parse_rfc3339(last["status"]["startTime"])
    assert lived_s >= 2  # times are to the second


def test_no_program(cluster: Cluster) -> None:
    """A container whose command does not exist cannot start: StartError, exit code 128, and the event Failed."""
    last = ended(cluster.pod("no-program", over))
    assert (last["reason"], last["exitCode"]) == ("StartError", 128)
    assert "no such file or directory" in last["message"]
    cluster.event("no-program", "Failed", "no such file or directory")


def test_unknown_image(cluster: Cluster) -> None:
    """An image that is not on the node and may not be pulled: the container waits with ErrImageNeverPull."""
    last = cluster.pod("no-image", waits("ErrImageNeverPull"))
    assert last["status"]["phase"] == "Pending"
    cluster.event("no-image", "ErrImageNeverPull", 'Container image "no.example/such/image:1" is not present')


def test_host_network(cluster: Cluster) -> None:
    """A pod with hostNetwork uses the node's network namespace: its address is the node's, its host name too."""
    last = cluster.pod("in-the-node-s-network", over)
    node = cluster.get("node", last["spec"]["nodeName"])
    internal = [each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP"]
    assert [last["status"]["podIP"]] == internal == [last["status"]["hostIP"]]
    assert cluster.log("in-the-node-s-network").strip() == last["spec"]["nodeName"]


def test_containers_share_the_network(cluster: Cluster) -> None:
    """The containers of a pod share its network namespace, and find each other on localhost."""
    eventually(lambda: cluster.run("logs", "share-a-network", "--container=main").stdout == "reached\n", "a connection")


# -- restarts ---------------------------------------------------------------------------------------------------------


def test_restart_policy_always(cluster: Cluster) -> None:
    """Always: the container is restarted after any termination, also after success."""
    last = cluster.pod("always", restarted(1))
    assert ended(last)["exitCode"] == 0
    assert last["status"]["phase"] == "Running"


def test_restart_policy_on_failure(cluster: Cluster) -> None:
    """OnFailure: the container is restarted only if it exits with an error."""
    last = cluster.pod("on-failure", over)
    assert (last["status"]["phase"], status(last)["restartCount"]) == ("Succeeded", 1)
    assert [status(last)[when]["terminated"]["exitCode"] for when in ("lastState", "state")] == [1, 0]


def test_job(cluster: Cluster) -> None:
    """A Job is complete when the asked for number of its pods has succeeded."""
    cluster.kubectl("wait", "--for=condition=Complete", "--timeout=30s", "job/job")
    assert cluster.get("job", "job")["status"]["succeeded"] == 2


# -- init containers and sidecars -------------------------------------------------------------------------------------


def test_init_containers_run_in_order(cluster: Cluster) -> None:
    """Each init container must complete successfully before the next starts, and all before the app containers."""
    assert cluster.log("in-order").split() == ["first", "second"]
    last = cluster.get("pod", "in-order")
    assert [each["ready"] for each in last["status"]["initContainerStatuses"]] == [True, True]


def test_failed_init_container(cluster: Cluster) -> None:
    """With restartPolicy Never a failing init container fails the pod: Init:Error, no app container has started."""
    last = cluster.pod("init-fails", over)
    assert last["status"]["phase"] == "Failed"
    assert status(last)["state"]["waiting"]["reason"] == "PodInitializing"
    assert "Init:Error" in cluster.kubectl("get", "pod", "init-fails")


def test_failing_init_container_is_restarted(cluster: Cluster) -> None:
    """Else the kubelet restarts it until it succeeds: the pod is Pending in Init:CrashLoopBackOff."""
    last = cluster.pod("init-fails-again", waits("CrashLoopBackOff", "init"))
    assert last["status"]["phase"] == "Pending"
    assert status(last, "init")["restartCount"] >= 1
    assert "Init:CrashLoopBackOff" in cluster.kubectl("get", "pod", "init-fails-again")


def test_sidecar_of_a_pod_that_completes(cluster: Cluster) -> None:
    """A sidecar has started before the app containers, stays beside them, and ends after them; the pod is complete."""
    assert cluster.log("sidecar", "--container=sidecar").splitlines() == [
        "sidecar runs",
        "main runs",
        "main ends",
        "sidecar ends",
    ]
    assert cluster.get("pod", "sidecar")["status"]["phase"] == "Succeeded"


# -- hooks ------------------------------------------------------------------------------------------------------------


def test_post_start(cluster: Cluster) -> None:
    """Until the postStart hook completes the container's status is not set to running."""
    cluster.pod("post-start", phase("Running"))
    assert cluster.kubectl("exec", "post-start", "--", "cat", "/work/log") == "hook\n"


def test_post_start_fails(cluster: Cluster) -> None:
    """If the postStart hook fails, the container is killed, and restarted as its policy says."""
    last = cluster.pod("post-start-fails", restarted(1))
    assert ended(last)["exitCode"] == 137  # a shell without a trap does not hear SIGTERM as process 1
    cluster.event("post-start-fails", "FailedPostStartHook")
    cluster.event("post-start-fails", "Killing", "FailedPostStartHook")


# -- the end of a pod -------------------------------------------------------------------------------------------------


def test_sigterm(cluster: Cluster) -> None:
    """A deleted pod's containers are sent SIGTERM; how they end is in the status before the pod goes from the API."""
    last, _ = released(cluster, "told")
    assert ended(last)["exitCode"] == 5
    cluster.event("told", "Killing", "Stopping container main")


def test_sigkill_after_the_grace_period(cluster: Cluster) -> None:
    """Once the grace period has expired, SIGKILL is sent to processes that still run: exit code 137."""
    last, _ = released(cluster, "deaf")
    assert ended(last)["exitCode"] == 137
    # the deletionTimestamp is when the grace period is over; times are to the second
    assert parse_rfc3339(ended(last)["finishedAt"]) >= parse_rfc3339(last["metadata"]["deletionTimestamp"]) - 1


def test_pre_stop(cluster: Cluster) -> None:
    """A preStop hook must complete before the signal to stop the container is sent."""
    _, log = released(cluster, "hooked")
    assert log.splitlines() == ["hook", "told to end"]


def test_pre_stop_within_the_grace_period(cluster: Cluster) -> None:
    """The grace period includes the hook: one that takes longer is cut off, then the container is told to end."""
    last, _ = released(cluster, "hooked-for-long")
    late_s = parse_rfc3339(ended(last)["finishedAt"]) - parse_rfc3339(last["metadata"]["deletionTimestamp"])
    assert -1 <= late_s < 20
    assert ended(last)["exitCode"] == 6


def test_sidecars_end_last(cluster: Cluster) -> None:
    """On deletion the app containers end first, then the sidecars in the reverse order of their start."""
    _, log = released(cluster, "with-sidecars")
    assert log.splitlines() == ["one runs", "two runs", "main runs", "main ends", "two ends", "one ends"]


def test_force_deletion(cluster: Cluster) -> None:
    """A forced deletion takes the pod from the API at once; the node still ends its containers after it."""
    words = f"of {cluster.sandbox.name} by force"
    cluster.create(pod("forced", shell(f": {words}; {FOREVER}"), terminationGracePeriodSeconds=600))
    cluster.pod("forced", ready)
    assert said_by(words)
    cluster.kubectl("delete", "pod", "forced", "--force", "--grace-period=0")
    assert cluster.run("get", "pod", "forced").returncode == 1
    eventually(lambda: not said_by(words), "the end of its containers")


# -- events -----------------------------------------------------------------------------------------------------------


def test_events_of_a_start(cluster: Cluster) -> None:
    """A start is told by Pulling, Pulled, Created and Started, in this order, after Scheduled."""
    cluster.event("pulled", "Started")
    told = cluster.events("pulled")
    assert [reason for reason, _ in told] == ["Scheduled", "Pulling", "Pulled", "Created", "Started"]
    assert dict(told)["Pulling"] == 'Pulling image "busybox:1.37"'
    assert dict(told)["Pulled"].startswith('Successfully pulled image "busybox:1.37" in ')


# -- what takes longest comes last ------------------------------------------------------------------------------------


def test_crash_loop_back_off(cluster: Cluster) -> None:
    """Containers are restarted with an exponential back-off (10 s, 20 s, 40 s, …), told by CrashLoopBackOff."""
    last = cluster.pod(
        "backs-off", lambda each: restarted(3, "fails")(each) and waits("CrashLoopBackOff", "fails")(each), 120
    )
    lines = cluster.kubectl("exec", "backs-off", "--container=reader", "--", "cat", "/work/starts").split()
    starts = [int(line) for line in lines][:4]
    first, second, third = (later - earlier for earlier, later in pairwise(starts))
    assert first < 9  # at once, on a machine that others use too
    assert second >= 9  # the times are to the second
    assert third >= 19
    assert status(last, "fails")["state"]["waiting"]["message"].startswith("back-off 40s restarting failed container")
    cluster.event("backs-off", "BackOff", "Back-off restarting failed container fails in pod backs-off_")
