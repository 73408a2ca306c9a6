"""Watches a workload on a cluster and writes `stack/state.json` and `stack/journal.jsonl`, as the local stack does.

    python -m loadgen.kube.observer OBSERVED_JSON      (standard input: a lifeline, if it is a pipe)

Watches, each in a thread, put what they see into one queue; the main thread alone writes. A watch that ends (it
expires, the API server restarts) is begun again with a new list, and what happened meanwhile is told by the objects.
Times of the API are put on this machine's clock by the skew that was measured.
"""

import logging
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from loadgen.collect.stop import Stop
from loadgen.dataset import RunFolder
from loadgen.errors import ExitCode
from loadgen.kube.api import Api
from loadgen.kube.changes import (
    Change,
    NodeStory,
    PodStory,
    hpa_sync,
    new_size,
    node_changes,
    node_gone,
    pod_changes,
    pod_event,
    pod_gone,
    rescale,
    unix_s,
)
from loadgen.kube.pod_states import StatesStory, state_changes
from loadgen.kube.watches import Seen, heard_of, watch_for_ever, watches
from loadgen.local.state import ReplicaPhase, ReplicaState, StackFolder, StackState

_POLL_S = 0.2
_EVENT_WITHIN_S = 1.0
_log = logging.getLogger("loadgen.kube.observer")


class Observed(BaseModel):
    """What to watch, and the addresses that the run folder must know.

    Attributes:
        context: Context of the kubeconfig; None for the current one.
        kind: `Deployment` or `LeaderWorkerSet`.
        namespace: Where everything is.
        workload: Name of the workload.
        hpa: Name of its autoscaler, if it has one.
        metric: Name of the metric whose value is told of each of its passes; None for its first.
        selector: Label selector of the serving pods.
        unread: Resources that may not be read.
        skew_s: By how much the API server's clock is ahead of ours.
        http_port: Port of HTTP on every pod.
        grpc_port: Port of gRPC on every pod.
        pod_url: URL of a pod's /metrics, with `{ip}` and `{pod}` to be filled in; None where it cannot be read.
        gateway: `host:port` of the one entry.
        prometheus: Base URL of Prometheus.
        custom_metrics: URL at which the custom-metrics API says what the autoscaler reads.
        model: Model driven.
        versions: Version of each program.
    """

    context: str | None = None
    kind: str = "Deployment"
    namespace: str
    workload: str
    hpa: str | None = None
    metric: str | None = None
    selector: str
    unread: list[str] = []
    skew_s: float = 0.0
    http_port: int = 8000
    grpc_port: int = 8001
    pod_url: str | None = "http://{ip}:8002/metrics"
    gateway: str | None = None
    prometheus: str | None = None
    custom_metrics: str | None = None
    model: str
    versions: dict[str, str] = {}


@dataclass(slots=True)
class _Pod:
    story: PodStory = field(default_factory=PodStory)
    states: StatesStory = field(default_factory=StatesStory)
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
        self._sets: set[str] | None = None
        self._told_events: set[str] = set()
        self._desired: int | None = None
        self._sizes: dict[int, str] = {}
        self._pending: tuple[int, int, float] | None = None
        self._state = StackState(
            phase="starting",
            gateway=observed.gateway,
            prometheus=observed.prometheus,
            custom_metrics=observed.custom_metrics,
            model=observed.model,
            desired=0,
            versions=observed.versions,
        )
        self._written: StackState | None = None

    def take(self, seen: Seen) -> None:
        """One change that a watch saw."""
        source, kind, raw, now_s = seen
        now_s += self._observed.skew_s  # as the API would stamp it
        if kind == "LISTED":
            self._listed(source, raw, now_s)
        elif source == "pods":
            self._pod(kind, raw, now_s)
        elif source == "nodes":
            self._node(kind, raw, now_s)
        elif source == "workloads":
            self._workload(raw, now_s)
        elif source == "replicasets":
            self._set(kind, raw, now_s)
        elif source == "hpas":
            change = hpa_sync(raw, now_s, self._observed.metric)
            self._tell(change)
            self._state = replace(self._state, metric_milli=(change.data or {}).get("metric_milli"))
        elif source == "events":
            self._event(kind, raw, now_s)

    def settle(self, now_s: float, *, last: bool = False) -> None:
        """Tell a rescale once its reason is there, or has been waited for; write the state when it changed."""
        now_s += self._observed.skew_s
        if self._pending is not None:
            _, after, at = self._pending
            if after in self._sizes or last or now_s > at + _EVENT_WITHIN_S:
                self._tell_pending()
        if self._desired is None:
            return  # nothing is known of the workload yet
        replicas = tuple(self._replica(name, pod) for name, pod in self._pods.items())
        phase = "ready" if any(each.phase == "ready" for each in replicas) else self._state.phase
        self._state = replace(self._state, replicas=replicas, desired=self._desired, phase=phase)
        if self._state != self._written:
            self._record.write(self._state)
            self._written = self._state

    def _tell_pending(self) -> None:
        if self._pending is not None:
            before, after, at = self._pending
            self._tell(rescale(before, after, self._sizes.pop(after, None), at))
            self._pending = None

    def end(self) -> None:
        """The last word."""
        self.settle(time.time(), last=True)
        self._record.write(replace(self._state, phase="stopping"))

    def _listed(self, source: str, raw: Mapping[str, Any], now_s: float) -> None:
        """A watch begins: what is not in its list any more was deleted while nobody looked, and that time is a gap."""
        if source == "replicasets" and self._sets is None:
            self._sets = set(raw["names"])
        if source == "nodes":
            for name in [known for known in self._nodes if known not in raw["names"]]:
                self._node("DELETED", {"metadata": {"name": name}}, now_s)
        if source != "pods":
            return
        for name in [known for known in self._pods if known not in raw["names"]]:
            self._pod("DELETED", dict(self._pods[name].raw), now_s)
        if raw["blind_since"] is not None:
            from_s, to_s = (self._clock.at_unix(at) for at in (raw["blind_since"], now_s - self._observed.skew_s))
            data = {"source": "kubernetes", "from_s": from_s, "to_s": to_s}
            self._record.emit("collect_gap", t_s=from_s, message="the API server did not answer", data=data)

    def _pod(self, kind: str, raw: dict[str, Any], now_s: float) -> None:
        name = raw["metadata"]["name"]
        pod = self._pods.setdefault(name, _Pod())
        pod.raw = raw
        for change in (*pod_changes(pod.story, raw, now_s), *state_changes(pod.states, raw, now_s)):
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

    def _set(self, kind: str, raw: dict[str, Any], now_s: float) -> None:
        """A ReplicaSet that the workload had not when the run began: its template was changed, a rollout begins."""
        name, owners = raw["metadata"]["name"], raw["metadata"].get("ownerReferences", [])
        if self._sets is None or name in self._sets or kind == "DELETED":
            return
        self._sets.add(name)
        if any((each["kind"], each["name"]) == (self._observed.kind, self._observed.workload) for each in owners):
            at = unix_s(raw["metadata"].get("creationTimestamp")) or now_s
            self._tell(Change(unix_s=at, kind="rollout_started", message=f"ReplicaSet {name}", data={"set": name}))

    def _event(self, kind: str, raw: dict[str, Any], now_s: float) -> None:
        about = raw.get("involvedObject", {})
        if about.get("kind") == "HorizontalPodAutoscaler" and about.get("name") == self._observed.hpa:
            if (size := new_size(raw)) is not None:
                self._sizes[size[0]] = size[1]
        elif about.get("kind") == "Pod" and self._is_ours(about["name"]) and kind != "DELETED":
            change = pod_event(raw, now_s)
            uid = f"{raw['metadata'].get('uid')} {raw.get('count')}"
            if uid not in self._told_events and self._clock.at_unix(change.unix_s) >= 0:
                self._told_events.add(uid)
                self._tell(change)

    def _workload(self, raw: dict[str, Any], now_s: float) -> None:
        desired = int(raw["spec"].get("replicas", 1))
        if self._desired is not None and desired != self._desired:
            self._tell_pending()
            self._pending = (self._desired, desired, now_s)
        self._desired = desired

    def _is_ours(self, pod: str) -> bool:
        # an event may come before the pod that it speaks of
        return pod in self._pods or pod.startswith(f"{self._observed.workload}-")

    def _replica(self, name: str, pod: _Pod) -> ReplicaState:
        ip = pod.raw.get("status", {}).get("podIP")
        observed = self._observed
        metrics = observed.pod_url.format(ip=ip, pod=name) if ip and observed.pod_url else None

        def address(port: int) -> str | None:
            return f"{ip}:{port}" if ip else None

        return ReplicaState(
            name=name,
            phase=_phase(pod),
            http=address(observed.http_port),
            grpc=address(observed.grpc_port),
            metrics=metrics,
        )

    def _tell(self, change: Change) -> None:
        self._record.emit(
            change.kind,
            t_s=self._clock.at_unix(change.unix_s - self._observed.skew_s),
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


def main(file: str) -> int:
    """Watch until SIGTERM, SIGINT or the end of the lifeline."""
    stop = Stop()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    observed = Observed.model_validate_json(Path(file).read_bytes())
    api = Api(observed.context)
    observer = Observer(RunFolder(Path(file).parents[1]), observed, partial(heard_of, api))
    seen: queue.Queue[Seen] = queue.Queue()
    for source, listing, fields in watches(api, observed):
        threading.Thread(target=watch_for_ever, args=(api, source, listing, fields, seen), daemon=True).start()
    while stop.wait(time.monotonic() + _POLL_S) is None:
        while not seen.empty():
            observer.take(seen.get())
        observer.settle(time.time())
    observer.end()
    return int(ExitCode.PASS)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
