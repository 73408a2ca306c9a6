"""The pods of a series: real objects whose status is written by the test, as there is no kubelet."""

import asyncio
from typing import Any

from support.hpa.api import MERGE, Api, Clock
from support.hpa.steps import Series, Step

_FINALIZER = "twin.loadgen.dev/hold"
_LABELS = {"app": "web"}


class Pods:
    """Pods without a controller, named p0, p1 …

    Attributes:
        states: By name, as the API has them: the fields of the twin's `PodState`.
    """

    def __init__(self, series: Series, namespace: str, api: Api, clock: Clock) -> None:
        self.states: dict[str, dict[str, Any]] = {}
        self._series, self._api, self._clock = series, api, clock
        self._path = f"/api/v1/namespaces/{namespace}/pods"

    def running(self) -> list[str]:
        """Return the names of the running pods."""
        return [name for name, state in self.states.items() if state["phase"] == "Running"]

    def existing(self) -> int:
        """Return the number of pods that a controller of pods would count."""
        return sum(not state.get("deleting") for state in self.states.values())

    async def prepare(self, step: Step, replicas: int) -> None:
        """Bring the pods to the state of a step."""
        count = replicas if step.count is None else step.count
        wanted = {f"p{number}": {} for number in range(count)} if self._series.with_pods else {}
        wanted |= {name: dict(fields) for name, fields in step.pods.items()}
        for name in [each for each in self.states if each not in wanted]:
            await self._remove(name)
        await asyncio.gather(*(self._write(name, fields) for name, fields in wanted.items()))

    async def _write(self, name: str, fields: dict[str, Any]) -> None:
        """Bring a pod to a state; times are given as seconds ago, and change only with the fact that they belong to."""
        held = self.states.get(name, {})
        if held.get("deleting") and not fields.get("deleting"):
            await self._remove(name)
            held = {}
        pod = {"phase": "Running", "ready": "True", **fields}
        state = {key: value for key, value in pod.items() if not key.endswith("_ago_s")}
        if "start_ago_s" in pod:
            state["start_s"] = held.get("start_s", int(self._clock.now()) - pod["start_ago_s"])
        if "ready_ago_s" in pod:
            stays = "ready_since_s" in held and held["ready"] == pod["ready"]
            state["ready_since_s"] = held["ready_since_s"] if stays else int(self._clock.now()) - pod["ready_ago_s"]
        if state == held:
            return
        path = f"{self._path}/{name}"
        if not held:
            body = {"metadata": {"name": name, "labels": _LABELS}, "spec": pod_spec(self._series)}
            await self._api.call("POST", self._path, body)
        await self._api.call("PATCH", f"{path}/status", {"status": self._status(state)}, MERGE)
        if state.get("deleting") and not held.get("deleting"):
            await self._api.call("PATCH", path, {"metadata": {"finalizers": [_FINALIZER]}}, MERGE)
            await self._api.call("DELETE", path)
        self.states[name] = state

    async def _remove(self, name: str) -> None:
        path = f"{self._path}/{name}"
        if self.states.pop(name).get("deleting"):
            await self._api.call("PATCH", path, {"metadata": {"finalizers": None}}, MERGE)
        else:
            await self._api.call("DELETE", f"{path}?gracePeriodSeconds=0")

    def _status(self, state: dict[str, Any]) -> dict[str, Any]:
        status: dict[str, Any] = {"phase": state["phase"]}
        if "start_s" in state:
            status["startTime"] = self._clock.text(state["start_s"])
        condition = {"type": "Ready", "status": state["ready"]}
        if "ready_since_s" in state:
            condition["lastTransitionTime"] = self._clock.text(state["ready_since_s"])
        status["conditions"] = [condition] if state["ready"] else []
        return status


class DeployedPods(Pods):
    """Pods that a real Deployment creates; the test only replaces the kubelet."""

    async def create(self, target: str) -> None:
        """Create the Deployment with the path `target` and wait for its pods."""
        self._target = target
        template = {"metadata": {"labels": _LABELS}, "spec": pod_spec(self._series)}
        spec = {"replicas": self._series.replicas, "selector": {"matchLabels": _LABELS}, "template": template}
        await self._api.call("POST", target.rpartition("/")[0], {"metadata": {"name": "web"}, "spec": spec})

    async def prepare(self, step: Step, replicas: int) -> None:
        """Wait for the desired number of pods, then set the first `step.running` of them to running for good."""
        listed: list[dict[str, Any]] = []
        for _ in range(40):
            listed = (await self._api.call("GET", self._path))["items"]
            wanted = (await self._api.call("GET", self._target))["spec"]["replicas"]
            if len(listed) == wanted and not any(pod["metadata"].get("deletionTimestamp") for pod in listed):
                break
            await asyncio.sleep(0.05)
        listed.sort(key=lambda pod: (pod["status"].get("phase") == "Pending", pod["metadata"]["name"]))
        self.states = {}
        for place, pod in enumerate(listed):
            name, runs = pod["metadata"]["name"], pod["status"].get("phase") == "Running"
            if not runs and (step.running is None or place < step.running):
                runs, status = True, self._status({"phase": "Running", "ready": "True"})
                await self._api.call("PATCH", f"{self._path}/{name}/status", {"status": status}, MERGE)
            self.states[name] = {"phase": "Running", "ready": "True"} if runs else {"phase": "Pending", "ready": None}


def pod_spec(series: Series) -> dict[str, Any]:
    """Return containers with the requests of the series; no scheduler binds the pods, so the test sets their state."""
    containers = [
        {"name": name, "image": "none", "resources": {"requests": requests}}
        for name, requests in series.containers.items()
    ]
    return {"schedulerName": "nobody", "containers": containers, "automountServiceAccountToken": False}
