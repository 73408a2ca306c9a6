"""Watches a workload on a cluster and writes `stack/state.json` and `stack/journal.jsonl`, as the local stack does.

    python -m loadgen.kube.observer RUN_FOLDER OBSERVED_JSON      (standard input: a lifeline, if it is a pipe)

Five watches, each in a thread, put what they see into one queue; the main thread alone writes. A watch that ends (it
expires, the API server restarts) is begun again with a new list, and what happened meanwhile is told by the objects.
"""

import logging
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kubernetes import client, config
from pydantic import BaseModel

from loadgen.collect.stop import Stop
from loadgen.dataset import RunFolder
from loadgen.errors import ExitCode
from loadgen.kube.changes import (
    Change,
    NodeStory,
    PodStory,
    hpa_sync,
    new_size,
    node_changes,
    node_gone,
    pod_changes,
    pod_gone,
    rescale,
)
from loadgen.kube.watches import Seen, heard_of, watch_for_ever
from loadgen.local.state import ReplicaPhase, ReplicaState, StackFolder, StackState

_POLL_S = 0.2
_EVENT_WITHIN_S = 1.0
_log = logging.getLogger("loadgen.kube.observer")


class Observed(BaseModel):
    """What to watch, and the addresses that the run folder must know.

    Attributes:
        namespace: Where everything is.
        deployment: Name of the workload.
        hpa: Name of its autoscaler.
        selector: Label selector of its pods.
        metrics_port: Port of the server's /metrics on every pod.
        http_port: Port of HTTP on every pod.
        grpc_port: Port of gRPC on every pod.
        gateway: `host:port` of the one entry.
        prometheus: Base URL of Prometheus.
        model: Model driven.
        versions: Version of each program.
    """

    namespace: str
    deployment: str
    hpa: str
    selector: str
    metrics_port: int = 8002
    http_port: int = 8000
    grpc_port: int = 8001
    gateway: str | None = None
    prometheus: str | None = None
    model: str
    versions: dict[str, str] = {}


@dataclass(slots=True)
class _Pod:
    story: PodStory = field(default_factory=PodStory)
    raw: Mapping[str, Any] = field(default_factory=dict)


class Observer:
    """Keeps `stack/` in step with what the watches see.

    Args:
        folder: The run's.
        observed: What is watched.
        heard: When a node, by its name, was heard of last (Unix, s); None where that is not known.
    """

    def __init__(self, folder: RunFolder, observed: Observed, heard: Callable[[str], float | None]) -> None:
        self._observed = observed
        self._heard = heard
        self._clock = folder.read_info().clock
        self._record = StackFolder(folder.path)
        self._pods: dict[str, _Pod] = {}
        self._nodes: dict[str, NodeStory] = {}
        self._desired: int | None = None
        self._sizes: dict[int, str] = {}
        self._pending: tuple[int, int, float] | None = None
        self._state = StackState(
            phase="starting",
            gateway=observed.gateway,
            prometheus=observed.prometheus,
            model=observed.model,
            desired=0,
            versions=observed.versions,
        )
        self._written: StackState | None = None

    def take(self, seen: Seen) -> None:
        """One change that a watch saw."""
        source, kind, raw, now_s = seen
        if kind == "LISTED":
            self._listed(source, raw, now_s)
        elif source == "pods":
            self._pod(kind, raw, now_s)
        elif source == "nodes":
            self._node(kind, raw, now_s)
        elif source == "deployments":
            self._workload(raw, now_s)
        elif source == "hpas":
            change = hpa_sync(raw, now_s)
            self._tell(change)
            self._state = replace(self._state, metric_milli=(change.data or {}).get("metric_milli"))
        elif (size := new_size(raw)) is not None:
            self._sizes[size[0]] = size[1]

    def settle(self, now_s: float, *, last: bool = False) -> None:
        """Tell a rescale once its reason is there, or has been waited for; write the state when it changed."""
        if self._pending is not None:
            before, after, at = self._pending
            if after in self._sizes or last or now_s > at + _EVENT_WITHIN_S:
                self._tell(rescale(before, after, self._sizes.pop(after, None), at))
                self._pending = None
        if self._desired is None:
            return  # nothing is known of the workload yet
        replicas = tuple(self._replica(name, pod) for name, pod in self._pods.items())
        phase = "ready" if any(each.phase == "ready" for each in replicas) else self._state.phase
        self._state = replace(self._state, replicas=replicas, desired=self._desired, phase=phase)
        if self._state != self._written:
            self._record.write(self._state)
            self._written = self._state

    def end(self) -> None:
        """The last word."""
        self.settle(time.time(), last=True)
        self._record.write(replace(self._state, phase="stopping"))

    def _listed(self, source: str, raw: Mapping[str, Any], now_s: float) -> None:
        """A watch begins: what is not in its list any more was deleted while nobody looked, and that time is a gap."""
        if source == "nodes":
            for name in [known for known in self._nodes if known not in raw["names"]]:
                self._node("DELETED", {"metadata": {"name": name}}, now_s)
        if source != "pods":
            return
        for name in [known for known in self._pods if known not in raw["names"]]:
            self._pod("DELETED", dict(self._pods[name].raw), now_s)
        if raw["blind_since"] is not None:
            from_s, to_s = (self._clock.at_unix(at) for at in (raw["blind_since"], now_s))
            data = {"source": "kubernetes", "from_s": from_s, "to_s": to_s}
            self._record.emit("collect_gap", t_s=from_s, message="the API server did not answer", data=data)

    def _pod(self, kind: str, raw: dict[str, Any], now_s: float) -> None:
        name = raw["metadata"]["name"]
        pod = self._pods.setdefault(name, _Pod())
        pod.raw = raw
        for change in pod_changes(pod.story, raw, now_s):
            self._tell(change)
        if kind == "DELETED":
            for change in pod_gone(pod.story, raw, now_s):
                self._tell(change)
            del self._pods[name]

    def _node(self, kind: str, raw: dict[str, Any], now_s: float) -> None:
        name = raw["metadata"]["name"]
        story = self._nodes.setdefault(name, NodeStory())
        pods = [pod for pod, known in self._pods.items() if known.raw.get("spec", {}).get("nodeName") == name]
        for change in (node_gone if kind == "DELETED" else node_changes)(story, raw, pods, now_s):
            # the API waits long before it calls a node lost: what broke meanwhile began when it was last heard of
            heard = self._heard(name) if change.kind == "node_lost" else None
            silent = {} if heard is None else {"silent_s": max(change.unix_s - heard, 0.0)}
            self._tell(replace(change, data={**(change.data or {}), **silent}))
        if kind == "DELETED":
            del self._nodes[name]

    def _workload(self, raw: dict[str, Any], now_s: float) -> None:
        desired = int(raw["spec"].get("replicas", 1))
        if self._desired is not None and desired != self._desired:
            self.settle(now_s, last=True)
            self._pending = (self._desired, desired, now_s)
        self._desired = desired

    def _replica(self, name: str, pod: _Pod) -> ReplicaState:
        ip = pod.raw.get("status", {}).get("podIP")
        observed = self._observed

        def address(port: int) -> str | None:
            return f"{ip}:{port}" if ip else None

        return ReplicaState(
            name=name,
            phase=_phase(pod),
            http=address(observed.http_port),
            grpc=address(observed.grpc_port),
            metrics=address(observed.metrics_port),
        )

    def _tell(self, change: Change) -> None:
        self._record.emit(
            change.kind,
            t_s=self._clock.at_unix(change.unix_s),
            pod=change.pod,
            reason=change.reason,
            message=change.message,
            data=change.data,
        )
        _log.info("%s %s %s", change.kind, change.pod or "", change.message or "")


def _phase(pod: _Pod) -> ReplicaPhase:
    story = pod.story
    if "replica_draining" in story.told:
        return "draining"
    if "replica_ready" in story.told and not story.not_ready:
        return "ready"
    if "replica_started" in story.told:
        return "started"
    return "scheduled" if "replica_scheduled" in story.told else "created"


def main(run: str, observed_file: str) -> int:
    """Watch until SIGTERM, SIGINT or the end of the lifeline."""
    stop = Stop()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    observed = Observed.model_validate_json(Path(observed_file).read_bytes())
    observer = Observer(RunFolder(Path(run)), observed, heard_of)
    config.load_config()
    core, apps, scaling = client.CoreV1Api(), client.AppsV1Api(), client.AutoscalingV2Api()
    place = {"namespace": observed.namespace}
    seen: queue.Queue[Seen] = queue.Queue()
    watches: tuple[tuple[str, Callable[..., Any], dict[str, str]], ...] = (
        ("pods", core.list_namespaced_pod, {**place, "label_selector": observed.selector}),
        (
            "deployments",
            apps.list_namespaced_deployment,
            {**place, "field_selector": f"metadata.name={observed.deployment}"},
        ),
        (
            "hpas",
            scaling.list_namespaced_horizontal_pod_autoscaler,
            {**place, "field_selector": f"metadata.name={observed.hpa}"},
        ),
        (
            "events",
            core.list_namespaced_event,
            {**place, "field_selector": "involvedObject.kind=HorizontalPodAutoscaler"},
        ),
        ("nodes", core.list_node, {}),
    )
    for source, listing, fields in watches:
        threading.Thread(target=watch_for_ever, args=(source, listing, fields, seen), daemon=True).start()
    while stop.wait(time.monotonic() + _POLL_S) is None:
        while not seen.empty():
            observer.take(seen.get())
        observer.settle(time.time())
    observer.end()
    return int(ExitCode.PASS)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
