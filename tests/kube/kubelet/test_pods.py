"""Phases, restarts and events of pods, checked against the Kubernetes documentation (Pod Lifecycle).

Needs the sandbox's build; takes about two minutes. All pods are created at once, and most have reached their final
state when their test reads it.
"""

from itertools import pairwise

import pytest

from loadgen.sandbox.kubelet.objects import go_duration, parse_rfc3339
from support.kube.cluster import (
    FOREVER,
    PYTHON,
    Cluster,
    Json,
    container,
    eventually,
    finished,
    mount,
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

PODS = [
    pod("succeeds", shell("exit 0"), restartPolicy="Never"),
    pod("fails", shell("exit 3"), restartPolicy="Never"),
    pod("one-of-two-fails", shell("exit 0", "good"), shell("exit 1", "bad"), restartPolicy="Never"),
    pod("message", shell("echo why > /dev/termination-log; exit 1"), restartPolicy="Never"),
    pod(
        "message-from-log",
        shell("echo the end of the log; exit 1", terminationMessagePolicy="FallbackToLogsOnError"),
        restartPolicy="Never",
    ),
    pod(
        "out-of-memory",
        container(
            PYTHON,
            "-c",
            "import time; x = b'x' * (200 << 20); time.sleep(60)",
            resources={"limits": {"memory": "64Mi"}},
        ),
        restartPolicy="Never",
    ),
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
def _pods(cluster: Cluster) -> None:
    cluster.create(*PODS, JOB)


# -- phase, state and reason ------------------------------------------------------------------------------------------


def test_succeeded(cluster: Cluster) -> None:
    """Succeeded: all containers have terminated in success and will not be restarted; reason Completed."""
    last = cluster.pod("succeeds", finished)
    assert last["status"]["phase"] == "Succeeded"
    assert (terminated(last)["exitCode"], terminated(last)["reason"]) == (0, "Completed")
    conditions = {each["type"]: (each["status"], each.get("reason")) for each in last["status"]["conditions"]}
    assert conditions["Ready"] == ("False", "PodCompleted")


def test_failed(cluster: Cluster) -> None:
    """Failed: a container exited with non-zero status and is not set for automatic restarting; reason Error."""
    last = cluster.pod("fails", finished)
    assert last["status"]["phase"] == "Failed"
    assert (terminated(last)["exitCode"], terminated(last)["reason"]) == (3, "Error")
    assert status(last)["restartCount"] == 0


def test_one_failure_fails_the_pod(cluster: Cluster) -> None:
    """Failed: all containers have terminated, and at least one container has terminated in failure."""
    last = cluster.pod("one-of-two-fails", finished)
    assert last["status"]["phase"] == "Failed"
    assert [terminated(last, name)["exitCode"] for name in ("good", "bad")] == [0, 1]


def test_termination_message(cluster: Cluster) -> None:
    """The content of /dev/termination-log is the termination message in the container's status."""
    assert terminated(cluster.pod("message", finished))["message"] == "why\n"


def test_termination_message_from_the_log(cluster: Cluster) -> None:
    """FallbackToLogsOnError: with an empty message file and an error, the end of the log is the message."""
    assert terminated(cluster.pod("message-from-log", finished))["message"] == "the end of the log\n"


def test_out_of_memory(cluster: Cluster) -> None:
    """A container that exceeds its memory limit is terminated: OOMKilled, exit code 137."""
    last = terminated(cluster.pod("out-of-memory", finished))
    assert (last["reason"], last["exitCode"]) == ("OOMKilled", 137)


def test_active_deadline(cluster: Cluster) -> None:
    """activeDeadlineSeconds: after that time the system marks the pod as failed and kills its containers.

    On a busy machine a short deadline may expire before the container has started, so it is doubled until it does not.
    """
    for deadline_s in (3, 6, 12, 24, 48):
        name = f"deadline-{deadline_s}"
        cluster.create(pod(name, shell(FOREVER), restartPolicy="Never", activeDeadlineSeconds=deadline_s))
        last = cluster.pod(name, finished)
        assert (last["status"]["phase"], last["status"]["reason"]) == ("Failed", "DeadlineExceeded")
        if "waiting" not in status(last)["state"]:
            break
    last = cluster.pod(name, lambda each: "terminated" in status(each)["state"])
    started, exited = last["status"]["startTime"], terminated(last)["finishedAt"]
    assert parse_rfc3339(exited) - parse_rfc3339(started) >= deadline_s - 1  # times are to the second


def test_no_program(cluster: Cluster) -> None:
    """A container whose command does not exist cannot start: StartError, exit code 128, and the event Failed."""
    last = terminated(cluster.pod("no-program", finished))
    assert (last["reason"], last["exitCode"]) == ("StartError", 128)
    assert "no such file or directory" in last["message"]
    cluster.event("no-program", "Failed", "no such file or directory")


def test_unknown_image(cluster: Cluster) -> None:
    """A container with an image that is not in the image table waits with ErrImagePull."""
    last = cluster.pod("no-image", waiting("ErrImagePull"))
    assert last["status"]["phase"] == "Pending"
    cluster.event("no-image", "Failed", 'Failed to pull image "no.example/such/image:1"')


def test_host_network(cluster: Cluster) -> None:
    """A pod with hostNetwork uses the node's network namespace, address and host name."""
    last = cluster.pod("in-the-node-s-network", finished)
    node = cluster.get("node", last["spec"]["nodeName"])
    internal = [each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP"]
    assert [last["status"]["podIP"]] == internal == [last["status"]["hostIP"]]
    assert cluster.log("in-the-node-s-network").strip() == last["spec"]["nodeName"]


def test_containers_share_the_network(cluster: Cluster) -> None:
    """The containers of a pod share its network namespace and reach each other on localhost."""
    eventually(lambda: cluster.run("logs", "share-a-network", "--container=main").stdout == "reached\n", "a connection")


# -- restarts ---------------------------------------------------------------------------------------------------------


def test_restart_policy_always(cluster: Cluster) -> None:
    """Always: the container is restarted after every termination, even a successful one."""
    last = cluster.pod("always", restarted(1))
    assert terminated(last)["exitCode"] == 0
    assert last["status"]["phase"] == "Running"


def test_restart_policy_on_failure(cluster: Cluster) -> None:
    """OnFailure: the container is restarted only if it exits with an error."""
    last = cluster.pod("on-failure", finished)
    assert (last["status"]["phase"], status(last)["restartCount"]) == ("Succeeded", 1)
    assert [status(last)[when]["terminated"]["exitCode"] for when in ("lastState", "state")] == [1, 0]


def test_job(cluster: Cluster) -> None:
    """A Job is complete when the specified number of its pods has succeeded."""

    def complete() -> bool:
        conditions = cluster.get("job", "job")["status"].get("conditions", [])
        return any(each["type"] == "Complete" and each["status"] == "True" for each in conditions)

    eventually(complete, "the Job completes")
    assert cluster.get("job", "job")["status"]["succeeded"] == 2


# -- events -----------------------------------------------------------------------------------------------------------


def test_events_of_a_start(cluster: Cluster) -> None:
    """A start is recorded by the events Scheduled, Pulling, Pulled, Created and Started in this order."""
    cluster.event("pulled", "Started")
    events = cluster.events("pulled")
    assert [reason for reason, _ in events] == ["Scheduled", "Pulling", "Pulled", "Created", "Started"], events
    assert dict(events)["Pulling"] == 'Pulling image "busybox:1.37"'
    assert dict(events)["Pulled"].startswith('Successfully pulled image "busybox:1.37" in ')


# -- what takes longest comes last ------------------------------------------------------------------------------------


def test_crash_loop_back_off(cluster: Cluster) -> None:
    """Containers restart at once, then with an exponential back-off (10 s, 20 s, 40 s, …): CrashLoopBackOff."""
    last = cluster.pod(
        "backs-off", lambda each: restarted(3, "fails")(each) and waiting("CrashLoopBackOff", "fails")(each)
    )
    lines = cluster.kubectl("exec", "backs-off", "--container=reader", "--", "cat", "/work/starts").split()
    starts_unix_s = [int(line) for line in lines][:4]
    _, second_delay_s, third_delay_s = (later - earlier for earlier, later in pairwise(starts_unix_s))
    assert second_delay_s >= 9  # times are to the second
    assert third_delay_s >= 19
    # the first restart had no back-off, or an event would have recorded it before
    event = cluster.event_object("backs-off", "BackOff", "Back-off restarting failed container fails in pod backs-off_")
    assert parse_rfc3339(event["firstTimestamp"]) >= starts_unix_s[1]
    # on a busy machine the container may have restarted more often by now
    fails = status(last, "fails")
    delay = go_duration(min(10 * 2 ** (fails["restartCount"] - 1), 300))
    assert fails["state"]["waiting"]["message"].startswith(f"back-off {delay} restarting failed container")
