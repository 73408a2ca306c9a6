"""Records one series on the real HPA controller: inputs and decision of every sync.

      scale? ─▶ metrics? ─▶ scale!        0.5 s pause: outcome read, next step prepared        scale? ─▶ …
    └───────── sync n ─────────┘                                                             └── sync n+1

The target is a kind of our own server (`metrics_server`), so every sync begins with a request that we answer. What the
next step changes is changed in the pause after a sync, and only there: nothing races with the controller. One series
has a real Deployment, and its syncs begin with their metric query. Nothing here knows the twin.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from support.hpa.api import MERGE, Api, Clock, merged
from support.hpa.pods import DeployedPods, Pods
from support.hpa.steps import Fault, Series, Step, resource
from support.servers.metrics_api import ApiError, MetricsServer

# errors of a client whose server is unavailable; the second one after it has discovered the API's versions again
_UNREACHABLE = "the server is currently unable to handle the request (get {})"
_NO_VERSIONS = "no known available metric versions found"
_RIVAL = "rival"
_PAUSE_S = 0.5
_SETTLE_S = 0.2


class Recorder:
    """A running series.

    Attributes:
        series: The series.
        namespace: Its namespace.
        done: Set when it is over, or was disturbed.
        disturbed: What came when it should not have.
    """

    def __init__(
        self,
        series: Series,
        api: Api,
        *,
        hold_s: float,
        servers: dict[str, MetricsServer],
        restart: Callable[[], Awaitable[None]],
    ) -> None:
        self.series, self.namespace, self.clock = series, f"twin-{series.name}", Clock()
        self.done, self.disturbed = asyncio.Event(), ""
        self._api, self._hold_s, self._servers, self._restart = api, hold_s, servers, restart
        self._pods = (DeployedPods if series.deployed else Pods)(series, self.namespace, api, self.clock)
        self._hpas = f"/apis/autoscaling/v2/namespaces/{self.namespace}/horizontalpodautoscalers"
        self._target = f"/apis/apps/v1/namespaces/{self.namespace}/deployments/web"
        self._spec: dict[str, Any] = series.manifest()["spec"]
        self._specs: dict[int, dict[str, Any]] = {}  # by generation
        self._replicas = series.replicas
        self._syncs: list[dict[str, Any]] = []
        self._sync: dict[str, Any] | None = None  # the current sync
        self._pause: asyncio.Task[None] | None = None
        self._refused: list[Fault] = []
        self._reads_again = False
        self._status: dict[str, Any] = {}
        self._counts: dict[str, int] = {}

    async def begin(self) -> None:
        """Create the namespace, the pods of the first step, and the HPA, which the controller syncs at once."""
        await self._until("POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        await self._until("GET", f"/api/v1/namespaces/{self.namespace}/serviceaccounts/default")
        if isinstance(self._pods, DeployedPods):
            await self._pods.create(self._target)
        await self._prepare(self.series.steps[0], None)
        await asyncio.sleep(_SETTLE_S)
        created = await self._api.call("POST", self._hpas, self.series.manifest())
        self._specs[created["metadata"]["generation"]] = self._spec

    def recording(self) -> dict[str, Any]:
        """Return the recording."""
        series = self.series
        about = {"series": series.name, "claim": series.claim, "manifest": series.manifest()}
        if self.disturbed:
            about["disturbed"] = f"sync {len(self._syncs)}: {self.disturbed}"
        return about | {"containers": series.containers, "syncs": self._syncs}

    # requests of the controller

    async def scale(self, name: str) -> dict[str, Any]:
        """Answer a read of the scale, the first request of a sync."""
        again, self._reads_again = self._reads_again, False
        # after a refused write the controller reads the scale again in the same sync
        if name != _RIVAL and not again and not self.done.is_set():
            await self._start()
            if not self.done.is_set() and self._step.scale_error:
                raise _raised(self._step.scale_error)
        return self._scale()

    async def rescale(self, replicas: int) -> dict[str, Any]:
        """Answer a write of the scale, the last request of a sync."""
        sync = self._open("a write of the scale")
        if self._refused:
            fault = self._refused.pop(0)
            self._reads_again = True
            if not self._refused and fault.reason != "Conflict":
                sync["update_error"] = fault.message
            raise _raised(fault)
        sync["decided"]["replicas"] = self._replicas = replicas
        return self._scale()

    async def metric(self, name: str) -> Any:
        """Answer a request for a metric."""
        if self.series.deployed and self._sync is None and not self.done.is_set():
            await self._start()
        sync, answer = self._open(f"a query of {name}"), self._step.metrics[name]
        sync["at_s"] = self.clock.now()
        if isinstance(answer, Fault):
            sync["readings"][name] = {"error": answer.message}
            raise _raised(answer)
        kind, reading = self._reading(name, answer)
        sync["readings"][name] = {kind: reading}
        return reading

    # steps of a sync

    @property
    def _step(self) -> Step:
        return self.series.steps[max(len(self._syncs) - 1, 0)]

    async def _start(self) -> None:
        if self._pause is not None:
            await self._pause
        await asyncio.sleep(self._hold_s)
        if self._syncs:
            # this sync has no answer yet, so the current status is the outcome of the previous one
            self._syncs[-1]["decided"]["events"] += await self._events()
            if (await self._hpa()).get("status", {}) != self._status:
                self._disturb("the status was written after it had been read")
        if len(self._syncs) == len(self.series.steps) or self.disturbed:
            self.done.set()
            return
        step = self.series.steps[len(self._syncs)]
        sync: dict[str, Any] = {"at_s": self.clock.now(), "spec_replicas": self._replicas}
        self._syncs.append(sync)
        if self.series.deployed:
            self._replicas = sync["spec_replicas"] = (await self._deployment())["spec"]["replicas"]
        sync["status_replicas"] = self._scale()["status"]["replicas"]
        if step.scale_error or step.unreadable:
            sync["scale_error"] = step.scale_error.message if step.scale_error else step.unreadable
        if step.restart:
            sync["restarted"] = True
        if step.selector is not None:
            sync["selector"] = step.selector
        sync["pods"] = {name: dict(state) for name, state in self._pods.states.items()}
        sync |= {"readings": {}, "decided": {"replicas": None}}
        self._sync, self._refused = sync, list(step.refused)
        self._pause = asyncio.create_task(self._between())

    async def _between(self) -> None:
        try:
            await asyncio.sleep(_PAUSE_S)
            await self._read_outcome()
            self._sync = None
            if len(self._syncs) < len(self.series.steps):
                await self._prepare(self.series.steps[len(self._syncs)], self._step)
        except (RuntimeError, aiohttp.ClientError, TimeoutError, KeyError) as error:
            self._disturb(f"{error!r}")

    async def _read_outcome(self) -> None:
        sync = self._open("nothing")
        if self.series.deployed:
            after = (await self._deployment())["spec"]["replicas"]
            sync["decided"]["replicas"] = after if after != sync["spec_replicas"] else None
        self._status = status = (await self._hpa()).get("status", {})
        used = self._specs.get(status.get("observedGeneration"), self._spec)
        if used is not self._spec:
            self._spec = used
            sync["manifest"] = {**self.series.manifest(), "spec": used}
        conditions = status.get("conditions") or ()
        unversioned = any(each["message"].endswith(_NO_VERSIONS) for each in conditions)
        for name, what in self._step.unreachable.items():
            error = _NO_VERSIONS if unversioned else _UNREACHABLE.format(what)
            sync["readings"].setdefault(name, {"error": error})
        for each in conditions:
            if each["reason"] == "AmbiguousSelector":
                sync["ambiguous"] = each["message"]  # it names both HPAs in any order
        last = status.get("lastScaleTime")
        sync["decided"] |= {
            "current_replicas": status.get("currentReplicas", 0),
            "desired_replicas": status.get("desiredReplicas", 0),
            "last_scale_s": self.clock.seconds(last) if last else None,
            "conditions": [
                [*(each[key] for key in ("type", "status", "reason", "message")), self._since(each)]
                for each in conditions
            ],
            "current": [_current(each) for each in status.get("currentMetrics") or ()],
            "events": await self._events(),
        }

    async def _events(self) -> list[list[str]]:
        """Return the new events, in the order of their last write."""
        listed = await self._api.call("GET", f"/api/v1/namespaces/{self.namespace}/events?limit=500")
        found: list[tuple[int, list[str]]] = []
        for event in listed["items"]:
            about = event["involvedObject"]
            if (about["kind"], about["name"]) != ("HorizontalPodAutoscaler", "web"):
                continue
            name, count = event["metadata"]["name"], event.get("count") or 1
            text = [event["type"], event["reason"], event.get("message", "")]
            found += [(int(event["metadata"]["resourceVersion"]), text)] * (count - self._counts.get(name, 0))
            self._counts[name] = count
        return [text for _, text in sorted(found, key=lambda each: each[0])]

    async def _prepare(self, step: Step, before: Step | None) -> None:
        if step.replicas is not None:
            self._replicas = step.replicas
            if self.series.deployed:
                await self._api.call("PATCH", self._target, {"spec": {"replicas": step.replicas}}, MERGE)
        await self._pods.prepare(step, self._replicas)
        for server in step.stop:
            await self._servers[server].stop()
        for server in step.start:
            await self._servers[server].start()
        had_rival = before is not None and before.rival
        if step.rival and not had_rival:
            rival = self.series.manifest() | {"metadata": {"name": _RIVAL}}
            rival["spec"]["scaleTargetRef"]["name"] = _RIVAL
            await self._api.call("POST", self._hpas, rival)
        if had_rival and not step.rival:
            await self._api.call("DELETE", f"{self._hpas}/{_RIVAL}")
        if step.restart:
            await self._restart()
        if step.spec:
            await asyncio.sleep(_SETTLE_S)  # a new spec triggers a sync at once, so it is written last
            changed = await self._api.call("PATCH", f"{self._hpas}/web", {"spec": step.spec}, MERGE)
            self._specs[changed["metadata"]["generation"]] = merged(self._spec, step.spec)

    # helpers

    def _reading(self, name: str, answer: Any) -> tuple[str, Any]:
        metrics = self._spec.get("metrics", [resource(utilization=80)])
        metric = next(each for each in metrics if _name(each) == name)
        if metric["type"] == "Object":
            return "value", answer
        if metric["type"] == "External":
            return "values", answer
        by_pod = answer if isinstance(answer, dict) else dict.fromkeys(self._pods.running(), answer)
        by_pod = {pod: value for pod, value in by_pod.items() if value is not None}
        if metric["type"] == "Pods":
            return "pods", by_pod
        at_s, kind = int(self.clock.now()) - self._step.sample_ago_s, metric[_field(metric)]["name"]
        return "samples", {
            pod: {"at_s": at_s, "window_s": 1, "usage": _usage(value, kind, self.series.containers)}
            for pod, value in by_pod.items()
        }

    def _scale(self) -> dict[str, Any]:
        step = self._step
        exist = self._pods.existing() if self.series.with_pods else self._replicas
        exist = exist if step.status_replicas is None else step.status_replicas
        selector = "app=web" if step.selector is None else step.selector
        return {"replicas": self._replicas, "status": {"replicas": exist, "selector": selector}}

    def _open(self, what: str) -> dict[str, Any]:
        if self.done.is_set():
            raise ApiError(404, "NotFound", "the series is over")
        if self._sync is None:
            self._disturb(f"{what} came outside of a sync")
            raise ApiError(500, "InternalError", "outside of a sync")
        return self._sync

    def _disturb(self, sentence: str) -> None:
        self.disturbed = self.disturbed or sentence
        self.done.set()

    def _since(self, condition: dict[str, Any]) -> float:
        return self.clock.seconds(condition["lastTransitionTime"])

    async def _hpa(self) -> Any:
        return await self._api.call("GET", f"{self._hpas}/web")

    async def _deployment(self) -> Any:
        return await self._api.call("GET", self._target)

    async def _until(self, method: str, path: str, body: object = None) -> None:
        for _ in range(200):
            with contextlib.suppress(RuntimeError):
                await self._api.call(method, path, body)
                return
            await asyncio.sleep(0.1)
        raise RuntimeError(f"{method} {path} was refused for 20 s")


def _name(metric: dict[str, Any]) -> str:
    """Return the name of a metric in a script; `resource` for a Resource metric, whose query has no name."""
    source = metric[_field(metric)]
    return source["metric"]["name"] if "metric" in source else "resource"


def _field(metric: dict[str, Any]) -> str:
    return metric["type"][:1].lower() + metric["type"][1:]


def _usage(value: Any, kind: str, containers: Any) -> dict[str, dict[str, str]]:
    """Return the usage by container: the same value for all, or the values of the script."""
    by_container = value if isinstance(value, dict) else dict.fromkeys(containers, value)
    return {name: ({} if each is None else {kind: each}) for name, each in by_container.items()}


def _current(metric: dict[str, Any]) -> dict[str, Any] | None:
    source = metric.get(_field(metric))
    if source is None:
        return None
    now = source["current"]
    value = {"value": now.get("value", now.get("averageValue"))}
    return value | ({"utilization": now["averageUtilization"]} if "averageUtilization" in now else {})


def _raised(fault: Fault) -> ApiError:
    return ApiError(fault.code, fault.reason, fault.message)
