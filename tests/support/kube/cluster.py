"""A sandbox as tests of its nodes use it: kubectl with a namespace, manifests in a line, waiting for a state."""

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

IMAGE = "busybox:1.37"  # the machine's own programs stand for it
PYTHON = sys.executable
NO_ONE_NAMESPACE = "--namespace="  # for objects that name their own
FOREVER = "while :; do sleep 1 & wait $!; done"  # a trap of a signal acts at once
_CALL_TIMEOUT_S = 60.0
_POLL_S = 0.25


def eventually(look: Callable[[], T], what: str, within_s: float = 60.0) -> T:
    """What `look` finds, once it finds something."""
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(_POLL_S)
    return found


def shell(script: str, name: str = "main", **fields: Any) -> Json:
    """A container that runs a script."""
    return container("/bin/sh", "-c", script, name=name, **fields)


def container(*command: str, name: str = "main", **fields: Any) -> Json:
    """A container that runs a command."""
    return {"name": name, "image": IMAGE, "command": list(command), **fields}


def pod(name: str, *containers: Json, **spec: Any) -> Json:
    """A pod; it has two seconds to end unless it says otherwise."""
    labels = {"app": name}
    spec = {"terminationGracePeriodSeconds": 2, "containers": list(containers), **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def mount(name: str, path: str, **fields: Any) -> Json:
    """Where a container has a volume."""
    return {"name": name, "mountPath": path, **fields}


@dataclass(frozen=True, slots=True)
class Cluster:
    """One namespace of a sandbox."""

    sandbox: Any  # a sandbox, or a cluster that was given
    namespace: str

    def run(self, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """What kubectl says and how it ends."""
        return subprocess.run(
            self.command(*argv), input=stdin, capture_output=True, text=True, timeout=_CALL_TIMEOUT_S, check=False
        )

    def command(self, *argv: str) -> list[str]:
        """The command line of a kubectl inside."""
        return self.sandbox.command(["kubectl", f"--namespace={self.namespace}", *argv])

    def kubectl(self, *argv: str, stdin: str = "") -> str:
        """What kubectl prints when it succeeds."""
        done = self.run(*argv, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def create(self, *objects: Json) -> None:
        """Create objects, in one call."""
        whole = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("create", "--filename=-", stdin=json.dumps(whole))

    def get(self, kind: str, name: str) -> Json:
        """An object as the API has it."""
        found: Json = json.loads(self.kubectl("get", kind, name, "--output=json"))
        return found

    def pod(self, name: str, condition: Callable[[Json], object], within_s: float = 60.0) -> Json:
        """A pod, once a condition holds for it."""
        last: Json = {}

        def look() -> bool:
            last.update(self.get("pod", name))
            return bool(condition(last))

        try:
            eventually(look, f"the state of pod {name}", within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {json.dumps(last['status'], indent=1)}") from None
        return last

    def log(self, name: str, *options: str) -> str:
        """The log of a pod that is over."""
        self.pod(name, over)
        return self.kubectl("logs", name, *options)

    def events(self, name: str) -> list[tuple[str, str]]:
        """Reason and message of what is recorded of an object, in the order of its beginning."""
        query = f"--field-selector=involvedObject.name={name}"
        items = json.loads(self.kubectl("get", "events", query, "--output=json"))["items"]
        return [(each["reason"], each["message"]) for each in sorted(items, key=_moment)]

    def event(self, name: str, reason: str, text: str = "", within_s: float = 60.0) -> str:
        """The message of an event of this reason with this text in it, once it is there."""
        return eventually(
            lambda: next((said for each, said in self.events(name) if each == reason and text in said), ""),
            f"an event {reason} of {name} that says {text!r}",
            within_s,
        )


def volume(cluster: Cluster, name: str) -> None:
    """A volume that all nodes share, and a claim of its name that is bound to it."""
    place = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    claimed = {"name": name, "namespace": cluster.namespace}
    spec = {"capacity": {"storage": "1Gi"}, "hostPath": {"path": "/any"}, "claimRef": claimed, **place}
    asked = {"resources": {"requests": {"storage": "1Gi"}}, "volumeName": name, **place}
    cluster.create(
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": asked},
    )


def _moment(event: Json) -> tuple[str, str]:
    # times are to the second; the name ends in nanoseconds, written in hexadecimal digits of the same number
    return event["firstTimestamp"] or event["eventTime"] or "", event["metadata"]["name"]


def phase(*phases: str) -> Callable[[Json], bool]:
    """Whether a pod is in one of these phases."""
    return lambda each: each["status"].get("phase") in phases


over = phase("Succeeded", "Failed")


def ready(each: Json) -> bool:
    """Whether a pod is ready."""
    return any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in each["status"].get("conditions") or []
    )


def status(each: Json, name: str = "main") -> Json:
    """The status of one container, empty before there is one."""
    every = [*(each["status"].get("initContainerStatuses") or []), *(each["status"].get("containerStatuses") or [])]
    return next((one for one in every if one["name"] == name), {})


def waits(reason: str, name: str = "main") -> Callable[[Json], bool]:
    """Whether a container waits for this reason."""
    return lambda each: status(each, name).get("state", {}).get("waiting", {}).get("reason") == reason


def restarted(times: int, name: str = "main") -> Callable[[Json], bool]:
    """Whether a container has been started again so often."""
    return lambda each: status(each, name).get("restartCount", 0) >= times


def ended(each: Json, name: str = "main") -> Json:
    """How a container has ended, now or the last time."""
    one = status(each, name)
    told: Json = one["state"].get("terminated") or one["lastState"]["terminated"]
    return told


def said_by(words: str) -> list[int]:
    """Processes of this machine whose command line has these words."""
    found = []
    for process in psutil.process_iter():
        try:
            if words in " ".join(process.cmdline()):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found
