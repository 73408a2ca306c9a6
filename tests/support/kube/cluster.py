"""Helpers for tests of the kubelet: kubectl in a namespace, short manifests, and waits for a state."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import psutil

Json = dict[str, Any]
T = TypeVar("T")

IMAGE = "busybox:1.37"  # replaced by the programs of this machine
PYTHON = sys.executable
NO_ONE_NAMESPACE = "--namespace="  # for objects with a namespace of their own
FOREVER = "while :; do sleep 1 & wait $!; done"  # `wait` lets a trap run at once
_CALL_TIMEOUT_S = 60.0
_POLL_S = 0.25


def eventually(condition: Callable[[], T], what: str, within_s: float = 120.0) -> T:
    """Wait until a condition returns a true value, and return the value.

    The timeout only ends a test that has failed; on a busy machine anything may take long.
    """
    deadline = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(_POLL_S)
    return value


def shell(script: str, name: str = "main", **fields: Any) -> Json:
    """Return a container that runs a shell script."""
    return container("/bin/sh", "-c", script, name=name, **fields)


def container(*command: str, name: str = "main", **fields: Any) -> Json:
    """Return a container that runs a command."""
    return {"name": name, "image": IMAGE, "command": list(command), **fields}


def pod(name: str, *containers: Json, **spec: Any) -> Json:
    """Return a pod with a grace period of two seconds by default."""
    labels = {"app": name}
    spec = {"terminationGracePeriodSeconds": 2, "containers": list(containers), **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def mount(name: str, path: str, **fields: Any) -> Json:
    """Return a volume mount."""
    return {"name": name, "mountPath": path, **fields}


def data_of(kind: str, name: str, /, **data: str) -> Json:
    """Return a ConfigMap or Secret."""
    field = "stringData" if kind == "Secret" else "data"
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, field: data}


@dataclass(frozen=True, slots=True)
class Cluster:
    """A namespace of a sandbox or of another cluster."""

    sandbox: Any  # a sandbox, or the cluster of support.kube.given
    namespace: str

    def run(self, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run kubectl and return its output and exit code."""
        return subprocess.run(
            self.command(*argv), input=stdin, capture_output=True, text=True, timeout=_CALL_TIMEOUT_S, check=False
        )

    def command(self, *argv: str) -> list[str]:
        """Return the command line of kubectl inside the sandbox."""
        return self.sandbox.command(["kubectl", f"--namespace={self.namespace}", *argv])

    def kubectl(self, *argv: str, stdin: str = "") -> str:
        """Run kubectl, which must succeed, and return its output."""
        done = self.run(*argv, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def create(self, *objects: Json) -> None:
        """Create objects with one call."""
        manifest = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("create", "--filename=-", stdin=json.dumps(manifest))

    def get(self, kind: str, name: str) -> Json:
        """Return an object from the API."""
        item: Json = json.loads(self.kubectl("get", kind, name, "--output=json"))
        return item

    def pod(self, name: str, condition: Callable[[Json], object], within_s: float = 120.0) -> Json:
        """Wait until a condition holds for a pod, and return the pod."""
        last: Json = {}

        def holds() -> bool:
            last.update(self.get("pod", name))
            return bool(condition(last))

        try:
            eventually(holds, f"the state of pod {name}", within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; its status is {json.dumps(last['status'], indent=1)}") from None
        return last

    def log(self, name: str, *options: str) -> str:
        """Wait until a pod is finished, and return its log."""
        self.pod(name, finished)
        return self.kubectl("logs", name, *options)

    def events(self, name: str) -> list[tuple[str, str]]:
        """Return reason and message of the events of an object, in the order of their first occurrence."""
        return [(each["reason"], each["message"]) for each in self._events(name)]

    def event(self, name: str, reason: str, text: str = "") -> str:
        """Wait for an event with this reason and this text in its message, and return its message."""
        return str(self.event_object(name, reason, text)["message"])

    def event_object(self, name: str, reason: str, text: str = "") -> Json:
        """Wait for an event with this reason and this text in its message, and return it."""

        def find() -> Json:
            events = (each for each in self._events(name) if each["reason"] == reason and text in each["message"])
            return next(events, {})

        return eventually(find, f"an event {reason} of {name} with {text!r}")

    def _events(self, name: str) -> list[Json]:
        query = f"--field-selector=involvedObject.name={name}"
        items: list[Json] = json.loads(self.kubectl("get", "events", query, "--output=json"))["items"]
        return sorted(items, key=_first_occurrence)


def volume(cluster: Cluster, name: str) -> None:
    """Create a PersistentVolume that all nodes share, and a claim with the same name that is bound to it."""
    common = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    claim_reference = {"name": name, "namespace": cluster.namespace}
    spec = {"capacity": {"storage": "1Gi"}, "hostPath": {"path": "/any"}, "claimRef": claim_reference, **common}
    claim_spec = {"resources": {"requests": {"storage": "1Gi"}}, "volumeName": name, **common}
    cluster.create(
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": claim_spec},
    )


def _first_occurrence(event: Json) -> tuple[str, str]:
    # times are to the second; the name ends with the time in nanoseconds, in hexadecimal digits of equal number
    return event["firstTimestamp"] or event["eventTime"] or "", event["metadata"]["name"]


def phase(*phases: str) -> Callable[[Json], bool]:
    """Return a condition: a pod is in one of these phases."""
    return lambda each: each["status"].get("phase") in phases


finished = phase("Succeeded", "Failed")


def ready(each: Json) -> bool:
    """Return whether a pod is ready."""
    return any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in each["status"].get("conditions") or []
    )


def status(each: Json, name: str = "main") -> Json:
    """Return the status of a container; empty until there is one."""
    statuses = [*(each["status"].get("initContainerStatuses") or []), *(each["status"].get("containerStatuses") or [])]
    return next((one for one in statuses if one["name"] == name), {})


def waiting(reason: str, name: str = "main") -> Callable[[Json], bool]:
    """Return a condition: a container is waiting with this reason."""
    return lambda each: status(each, name).get("state", {}).get("waiting", {}).get("reason") == reason


def restarted(times: int, name: str = "main") -> Callable[[Json], bool]:
    """Return a condition: a container has this number of restarts or more."""
    return lambda each: status(each, name).get("restartCount", 0) >= times


def terminated(each: Json, name: str = "main") -> Json:
    """Return how a container has terminated, now or the last time."""
    one = status(each, name)
    state: Json = one["state"].get("terminated") or one["lastState"]["terminated"]
    return state


def processes_with(text: str) -> list[int]:
    """Return the processes of this machine whose command line contains a text."""
    pids = []
    for process in psutil.process_iter():
        try:
            if text in " ".join(process.cmdline()):
                pids.append(process.pid)
        except psutil.Error:
            continue
    return pids
