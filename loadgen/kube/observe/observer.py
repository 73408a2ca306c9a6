"""Watches a workload on a cluster and writes `stack/state.json` and `stack/journal.jsonl`, as the local stack does.

    python -m loadgen.kube.observe.observer OBSERVED_JSON      (standard input: a lifeline, if it is a pipe)

Watches, each in a thread, put what they see into one queue; the main thread alone writes, and waits for nothing. A
watch that breaks (the API server restarts, what it saw last is too old) is begun again with a new list; the time
between is a gap, and what happened in it is told by the objects. Times of the API are put on this machine's clock by
the skew that was measured.
"""

import logging
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from loadgen.base.errors import ExitCode
from loadgen.base.stop import Stop
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.names import EventKind, GapSource
from loadgen.dataset.stack import ReplicaState, StackFolder, StackState
from loadgen.kube.client.api import Api
from loadgen.kube.objects.changes import Change, hpa_sync, pod_event, unix_s
from loadgen.kube.observe.config import ObserverConfig
from loadgen.kube.observe.nodes import Nodes
from loadgen.kube.observe.pods import Pod, Pods
from loadgen.kube.observe.rescales import Rescales
from loadgen.kube.observe.watches import Seen, Watcher, heard_of, watches

_POLL_S = 0.2
_LEAST_GAP_S = 1.0
"""A watch that is begun again at once missed nothing that the API's whole seconds would tell."""
_log = logging.getLogger("loadgen.kube.observe.observer")


class Observer:
    """Keeps `stack/` in step with what the watches see.

    Args:
        folder: The run's.
        observed: What is watched.
        ask: Asks when a node, by its name, was heard of last; the answer comes as what the source `leases` has seen.
    """

    def __init__(self, folder: RunFolder, observed: ObserverConfig, ask: Callable[[str], None]) -> None:
        self._observed = observed
        self._clock = folder.read_info().clock
        self._record = StackFolder(folder.path)
        self._pods = Pods(self._clock.to_unix(0.0) + observed.skew_s)
        self._nodes = Nodes(self._pods, ask)
        self._rescales = Rescales(scaled=observed.hpa is not None)
        self._sets: set[str] | None = None
        self._told_events: set[str] = set()
        self._hpa_version: str | None = None
        self._unheard: dict[str, tuple[float, str]] = {}
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
        """What a watch saw."""
        source, kind, raw, now_s = seen
        now_s += self._observed.skew_s  # as the API would stamp it
        if kind == "UNHEARD":
            self._unheard.setdefault(source, (raw["since"] + self._observed.skew_s, raw["why"]))
        elif kind == "LISTED":
            self._listed(source, raw["items"], now_s)
        elif source == "leases":
            self._tell(self._nodes.heard(raw["node"], raw["renewed_s"]))
        else:
            self._object(source, kind, raw, now_s)

    def settle(self, now_s: float, *, last: bool = False) -> None:
        """Tell what is known well enough by now; write the state when it changed."""
        now_s += self._observed.skew_s
        unheard = not self._unheard.keys().isdisjoint({"hpas", "rescales"})
        self._tell(self._rescales.settle(now_s, unheard=unheard, last=last))
        self._tell(self._nodes.settle(now_s, last=last))
        if self._rescales.desired is None:
            return  # nothing is known of the workload yet
        replicas = tuple(self._replica(pod) for pod in self._pods.there())
        phase = "ready" if any(each.phase == "ready" for each in replicas) else self._state.phase
        self._state = replace(self._state, replicas=replicas, desired=self._rescales.desired, phase=phase)
        if self._state != self._written:
            self._record.write(self._state)
            self._written = self._state

    def end(self, now_s: float) -> None:
        """The last word, also on what is not heard at the end."""
        self.settle(now_s, last=True)
        for source in list(self._unheard):
            self._heard_again(source, now_s + self._observed.skew_s)
        self._record.write(replace(self._state, phase="stopping"))

    def _listed(self, source: str, items: Sequence[dict[str, Any]], now_s: float) -> None:
        """A watch begins: what is not in its list any more was deleted while nobody looked."""
        since_s = self._heard_again(source, now_s)
        if source == "pods":
            self._tell(self._pods.listed(items, now_s))
            return
        if source == "nodes":
            self._tell(self._nodes.listed(items, now_s, since_s))
            return
        if source == "replicasets" and self._sets is None:
            self._sets = {each["metadata"]["name"] for each in items}
        for each in items:
            if source == "workloads":
                self._rescales.count(_wanted(each), now_s, since_s)
            else:
                self._object(source, "MODIFIED", each, now_s)

    def _heard_again(self, source: str, now_s: float) -> float | None:
        """Tell the gap of a source that is heard again; since when it was not (as the API would stamp it)."""
        since_s, why = self._unheard.pop(source, (None, ""))
        if since_s is None or now_s - since_s < _LEAST_GAP_S:
            return since_s
        from_s, to_s = (self._clock.at_unix(at - self._observed.skew_s) for at in (since_s, now_s))
        data = {"source": GapSource.KUBERNETES, "watch": source, "from_s": from_s, "to_s": to_s}
        self._record.emit(EventKind.COLLECT_GAP, t_s=from_s, message=f"the watch of {source}: {why}", data=data)
        return since_s

    def _object(self, source: str, kind: str, raw: dict[str, Any], now_s: float) -> None:
        if source == "pods":
            self._tell(self._pods.take(kind, raw, now_s))
        elif source == "nodes":
            self._tell(self._nodes.take(kind, raw, now_s))
        elif source == "workloads":
            self._rescales.count(_wanted(raw), now_s)
        elif source == "replicasets":
            self._set(kind, raw, now_s)
        elif source == "hpas":
            self._hpa(raw, now_s)
        elif source == "rescales" and kind != "DELETED":
            self._rescales.event(raw, now_s)
        elif source == "events":
            self._event(kind, raw, now_s)

    def _hpa(self, raw: dict[str, Any], now_s: float) -> None:
        """A write of the autoscaler's status; a new list shows the last one again."""
        version = raw["metadata"].get("resourceVersion")
        if version is not None and version == self._hpa_version:
            return
        self._hpa_version = version
        self._rescales.status(raw)
        change = hpa_sync(raw, now_s, self._observed.metric)
        self._tell([change])
        self._state = replace(self._state, metric_milli=(change.data or {}).get("metric_milli"))

    def _set(self, kind: str, raw: dict[str, Any], now_s: float) -> None:
        """A ReplicaSet that the workload had not when the run began: its template was changed, a rollout begins."""
        name, owners = raw["metadata"]["name"], raw["metadata"].get("ownerReferences", [])
        if self._sets is None or name in self._sets or kind == "DELETED":
            return
        self._sets.add(name)
        if any((each["kind"], each["name"]) == (self._observed.kind, self._observed.workload) for each in owners):
            at = unix_s(raw["metadata"].get("creationTimestamp")) or now_s
            self._tell(
                [Change(unix_s=at, kind=EventKind.ROLLOUT_STARTED, message=f"ReplicaSet {name}", data={"set": name})]
            )

    def _event(self, kind: str, raw: dict[str, Any], now_s: float) -> None:
        about = raw.get("involvedObject", {})
        if about.get("kind") == "Pod" and self._is_ours(about["name"]) and kind != "DELETED":
            change = pod_event(raw, now_s)
            uid = f"{raw['metadata'].get('uid')} {raw.get('count')}"
            if uid not in self._told_events and self._clock.at_unix(change.unix_s) >= 0:
                self._told_events.add(uid)
                self._tell([change])

    def _is_ours(self, pod: str) -> bool:
        # an event may come before the pod that it speaks of
        known = any(each.name == pod for each in self._pods.there())
        return known or pod.startswith(f"{self._observed.workload}-")

    def _replica(self, pod: Pod) -> ReplicaState:
        ip = pod.raw.get("status", {}).get("podIP")
        observed = self._observed
        host = f"[{ip}]" if ip and ":" in ip else ip
        metrics = observed.pod_url.format(ip=host, pod=pod.name) if ip and observed.pod_url else None

        def address(port: int) -> str | None:
            return f"{host}:{port}" if ip else None

        return ReplicaState(
            name=pod.name,
            phase=pod.phase,
            http=address(observed.http_port),
            grpc=address(observed.grpc_port),
            metrics=metrics,
        )

    def _tell(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self._record.emit(
                change.kind,
                t_s=self._clock.at_unix(change.unix_s - self._observed.skew_s),
                pod=change.pod,
                reason=change.reason,
                message=change.message,
                data=change.data,
            )
            _log.info("%s %s %s", change.kind, change.pod or "", change.message or "")


def _wanted(workload: Mapping[str, Any]) -> int:
    return int(workload["spec"].get("replicas", 1))


def main(file: str) -> int:
    """Watch until SIGTERM, SIGINT or the end of the lifeline."""
    stop = Stop()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    observed = ObserverConfig.model_validate_json(Path(file).read_bytes())
    api = Api(observed.context)
    seen: queue.Queue[Seen] = queue.Queue()

    def look_up(node: str) -> None:
        seen.put(("leases", "HEARD", {"node": node, "renewed_s": heard_of(api, node)}, time.time()))

    def ask(node: str) -> None:
        threading.Thread(target=look_up, args=(node,), daemon=True).start()

    observer = Observer(RunFolder(Path(file).parents[1]), observed, ask)
    watchers = [Watcher(api, each, seen) for each in watches(api, observed)]
    for each in watchers:
        each.start()
    return watch(stop, observer, watchers, seen)


def watch(stop: Stop, observer: Observer, watchers: Sequence[Watcher], seen: "queue.Queue[Seen]") -> int:
    """Write what is seen until it is time to end, or one of the watches is gone: then nothing of it would be told."""
    code = ExitCode.PASS
    while code == ExitCode.PASS and stop.wait(time.monotonic() + _POLL_S) is None:
        dead = [each.name for each in watchers if not each.is_alive() and not each.given_up]
        while not seen.empty():
            observer.take(seen.get())
        observer.settle(time.time())
        if dead:
            _log.error("the watch of %s has ended by itself", ", ".join(dead))
            code = ExitCode.TOOL
    observer.end(time.time())
    return int(code)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
