"""The termination of pods, checked against the Kubernetes documentation (Pod Lifecycle).

Needs the sandbox's build; takes about a minute.
"""

from typing import Any

import pytest

from loadgen.sandbox.kubelet.objects import parse_rfc3339
from support.kube.cluster import (
    FOREVER,
    Cluster,
    Json,
    eventually,
    mount,
    pod,
    processes_with,
    ready,
    shell,
    terminated,
)

pytestmark = pytest.mark.timeout(240)

FINALIZERS = ["loadgen.test/kept"]
"""They keep a deleted pod in the API after its node has stopped it, so that a test can read its last status."""
WORK = [mount("work", "/work")]
SHARED = [{"name": "work", "emptyDir": {}}]
HOOK_S = 3600
"""Duration of a preStop hook that is longer than its pod's grace period."""


def with_finalizer(manifest: Json) -> Json:
    """Return a pod that stays in the API after its deletion until its finalizer is removed."""
    manifest["metadata"]["finalizers"] = FINALIZERS
    return manifest


def logging_container(name: str, **fields: Any) -> Json:
    """Return a container that writes a line when it starts and when it receives SIGTERM."""
    script = f"echo {name} runs >> /work/log; trap 'echo {name} ends >> /work/log; exit 0' TERM; {FOREVER}"
    return shell(script, name, volumeMounts=WORK, **fields)


PODS = [
    with_finalizer(pod("handles-sigterm", shell(f"trap 'exit 5' TERM; {FOREVER}"), terminationGracePeriodSeconds=300)),
    with_finalizer(pod("ignores-sigterm", shell(f"trap '' TERM; {FOREVER}"), terminationGracePeriodSeconds=4)),
    with_finalizer(
        pod(
            "pre-stop",
            shell(
                f"trap 'echo SIGTERM; exit 0' TERM; {FOREVER}",
                lifecycle={"preStop": {"exec": {"command": ["/bin/sh", "-c", "sleep 1; echo hook >> /proc/1/fd/1"]}}},
            ),
            terminationGracePeriodSeconds=300,
        )
    ),
    with_finalizer(
        pod(
            "pre-stop-too-long",
            shell(
                f"trap 'exit 6' TERM; {FOREVER}",
                lifecycle={"preStop": {"exec": {"command": ["sleep", str(HOOK_S)]}}},
            ),
            terminationGracePeriodSeconds=3,
        )
    ),
    with_finalizer(
        pod(
            "with-sidecars",
            logging_container("main"),
            initContainers=[
                shell(
                    f"trap 'sleep 1; cat /work/log; exit 0' TERM; {FOREVER}",
                    "log",
                    restartPolicy="Always",
                    volumeMounts=WORK,
                ),
                logging_container("one", restartPolicy="Always"),
                logging_container("two", restartPolicy="Always"),
            ],
            terminationGracePeriodSeconds=300,
            volumes=SHARED,
        )
    ),
]


@pytest.fixture(scope="module", autouse=True)
def _pods(cluster: Cluster) -> None:
    cluster.create(*PODS)
    names = [each["metadata"]["name"] for each in PODS]
    for name in names:
        cluster.pod(name, ready)
    cluster.kubectl("delete", "pod", "--wait=false", *names)


def stopped(each: Json) -> bool:
    """Return whether all containers of a deleted pod have terminated."""
    statuses = each["status"].get("containerStatuses", []) + each["status"].get("initContainerStatuses", [])
    return bool(each["metadata"].get("deletionTimestamp")) and all("terminated" in one["state"] for one in statuses)


def removed(cluster: Cluster, name: str) -> tuple[Json, str]:
    """Remove the finalizer of a deleted pod; return the pod's last version and the log of its first container."""
    last = cluster.pod(name, stopped)
    log = cluster.kubectl("logs", name, *(["--container=log"] if name == "with-sidecars" else []))
    cluster.kubectl("patch", "pod", name, "--type=merge", '--patch={"metadata":{"finalizers":null}}')
    eventually(lambda: cluster.run("get", "pod", name).returncode, f"{name} is removed from the API")
    return last, log


def test_sigterm(cluster: Cluster) -> None:
    """The containers of a deleted pod receive SIGTERM; their exit codes are in the status before the pod is removed."""
    last, _ = removed(cluster, "handles-sigterm")
    assert terminated(last)["exitCode"] == 5
    cluster.event("handles-sigterm", "Killing", "Stopping container main")


def test_sigkill_after_the_grace_period(cluster: Cluster) -> None:
    """When the grace period expires, SIGKILL is sent to the remaining processes: exit code 137."""
    last, _ = removed(cluster, "ignores-sigterm")
    assert terminated(last)["exitCode"] == 137
    # the deletionTimestamp is the end of the grace period; times are to the second
    assert parse_rfc3339(terminated(last)["finishedAt"]) >= parse_rfc3339(last["metadata"]["deletionTimestamp"]) - 1


def test_pre_stop(cluster: Cluster) -> None:
    """A preStop hook must complete before SIGTERM is sent."""
    _, log = removed(cluster, "pre-stop")
    assert log.splitlines() == ["hook", "SIGTERM"]


def test_pre_stop_within_the_grace_period(cluster: Cluster) -> None:
    """The grace period includes the hook: a longer hook is cut off, then SIGTERM is sent."""
    last, _ = removed(cluster, "pre-stop-too-long")
    late_s = parse_rfc3339(terminated(last)["finishedAt"]) - parse_rfc3339(last["metadata"]["deletionTimestamp"])
    assert -1 <= late_s < HOOK_S - 3  # times are to the second
    assert terminated(last)["exitCode"] == 6


def test_sidecars_end_last(cluster: Cluster) -> None:
    """On deletion the app containers are stopped first, then the sidecars in reverse order of their start."""
    _, log = removed(cluster, "with-sidecars")
    assert log.splitlines() == ["one runs", "two runs", "main runs", "main ends", "two ends", "one ends"]


def test_force_deletion(cluster: Cluster) -> None:
    """A forced deletion removes the pod from the API at once; the node stops its containers afterwards."""
    marker = f"forced-in-{cluster.sandbox.name}"
    cluster.create(pod("forced", shell(f": {marker}; {FOREVER}"), terminationGracePeriodSeconds=600))
    cluster.pod("forced", ready)
    assert processes_with(marker)
    cluster.kubectl("delete", "pod", "forced", "--force", "--grace-period=0")
    assert cluster.run("get", "pod", "forced").returncode == 1
    eventually(lambda: not processes_with(marker), "its containers exit")
