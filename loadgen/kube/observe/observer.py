"""Watches a workload on a cluster and writes `stack/state.json` and `stack/journal.jsonl`, as the local stack does.

    python -m loadgen.kube.observe.observer OBSERVER_JSON      (standard input: a lifeline, if it is a pipe)

Each watch runs in a thread of its own and puts its events into one queue; only the main thread writes, and it never
blocks. An interrupted watch is restarted with a new list; the time in between is recorded as a gap, and events in the
gap are derived from the objects. Times of the API are converted to this machine's clock by the measured skew.
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

from loadgen.base.errors import ExitCode, LoadgenError
from loadgen.base.stop import Stop
from loadgen.dataset.events import Event
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.names import EventKind, GapSource
from loadgen.dataset.stack import ReplicaState, StackState, StackWriter
from loadgen.kube.client.api import Api
from loadgen.kube.objects.events import RunEvent, hpa_sync, pod_event
from loadgen.kube.objects.raw import Raw, parse_time
from loadgen.kube.observe.config import ObserverConfig
from loadgen.kube.observe.nodes import NodeTracker
from loadgen.kube.observe.pods import Pod, PodTracker
from loadgen.kube.observe.rescales import RescaleTracker
from loadgen.kube.observe.watch_event import DELETED, DISCONNECTED, LEASE_RENEWED, LISTED, MODIFIED, WatchEvent
from loadgen.kube.observe.watches import Watcher, lease_renewal_s, watched_resources

_POLL_S = 0.2
_MIN_GAP_S = 1.0
"""A watch that is restarted within that time misses nothing that the API's whole seconds would show."""
_log = logging.getLogger("loadgen.kube.observe.observer")


class Observer:
    """Keeps `stack/` up to date with the events of the watches.

    Args:
        folder: The run folder.
        config: The workload to observe.
        request_lease: Requests the lease of a node; the answer is a `LEASE_RENEWED` event.
    """

    def __init__(self, folder: RunFolder, config: ObserverConfig, request_lease: Callable[[str], None]) -> None:
        self._config = config
        self._clock = folder.read_info().clock
        self._stack = StackWriter(folder.path, self._clock, _log.error)
        self._pods = PodTracker(self._clock.to_unix(0.0) + config.skew_s)
        self._nodes = NodeTracker(self._pods, request_lease)
        self._rescales = RescaleTracker(has_hpa=config.hpa is not None)
        self._replica_sets: set[str] | None = None
        self._recorded_events: set[str] = set()
        self._hpa_version: str | None = None
        self._disconnected: dict[str, tuple[float, str]] = {}
        self._state = StackState(
            phase="starting",
            gateway=config.gateway,
            prometheus=config.prometheus,
            custom_metrics=config.custom_metrics,
            node_use=config.node_use,
            replica_use=config.replica_use,
            model=config.model,
            desired=0,
            versions=config.versions,
        )

    def handle(self, event: WatchEvent) -> None:
        """Handle one event of a watch."""
        now_s = event.at_s + self._config.skew_s  # on the API's clock
        if event.type == DISCONNECTED:
            since_s = (event.at_s if event.last_contact_s is None else event.last_contact_s) + self._config.skew_s
            self._disconnected.setdefault(event.source, (since_s, event.reason))
        elif event.type == LISTED:
            self._relist(event.source, event.items, now_s)
        elif event.type == LEASE_RENEWED:
            self._record(self._nodes.lease_renewed(event.node, event.last_contact_s))
        else:
            self._update(event.source, event.type, event.object, now_s)

    def flush(self, now_s: float, *, final: bool = False) -> None:
        """Record pending events whose details are complete or overdue, and write the state if it has changed.

        Args:
            now_s: The current time (Unix, s).
            final: Whether to record all pending events now.
        """
        now_s += self._config.skew_s
        disconnected = not self._disconnected.keys().isdisjoint({"hpas", "rescales"})
        self._record(self._rescales.flush(now_s, disconnected=disconnected, final=final))
        self._record(self._nodes.flush(now_s, final=final))
        nodes = {pod.node for pod in self._pods.pods() if pod.node is not None}
        self._record(self._nodes.conditions(nodes, now_s))
        if self._rescales.replicas is None:
            self._stack.flush()
            return  # the workload has not been observed yet
        replicas = tuple(self._replica(pod) for pod in self._pods.pods())
        phase = "ready" if any(each.phase == "ready" for each in replicas) else self._state.phase
        self._state = replace(
            self._state,
            replicas=replicas,
            desired=self._rescales.replicas,
            phase=phase,
            nodes=self._nodes.states(nodes),
        )
        self._stack.write(self._state)

    def close(self, now_s: float) -> None:
        """Record all pending events, and the gaps of watches that are still disconnected."""
        self.flush(now_s, final=True)
        for source in list(self._disconnected):
            self._reconnected(source, now_s + self._config.skew_s)
        self._stack.write(replace(self._state, phase="stopping"))
        while not self._stack.flush():
            time.sleep(_POLL_S)

    def _relist(self, source: str, items: Sequence[Raw], now_s: float) -> None:
        """Handle a new list: known objects that are missing from it were deleted while the watch was interrupted."""
        disconnected_since_s = self._reconnected(source, now_s)
        if source == "pods":
            self._record(self._pods.relist(items, now_s))
            return
        if source == "nodes":
            self._record(self._nodes.relist(items, now_s, disconnected_since_s))
            return
        if source == "replicasets" and self._replica_sets is None:
            self._replica_sets = {each["metadata"]["name"] for each in items}
        for each in items:
            if source == "workloads":
                self._rescales.set_replicas(_spec_replicas(each), now_s, disconnected_since_s)
            else:
                self._update(source, MODIFIED, each, now_s)

    def _reconnected(self, source: str, now_s: float) -> float | None:
        """Record the gap of a watch, and return when it started (on the API's clock); None if there was none."""
        since_s, reason = self._disconnected.pop(source, (None, ""))
        if since_s is None or now_s - since_s < _MIN_GAP_S:
            return since_s
        from_s, to_s = (self._clock.at_unix(at_s - self._config.skew_s) for at_s in (since_s, now_s))
        data = {"source": GapSource.KUBERNETES, "watch": source, "from_s": from_s, "to_s": to_s}
        message = f"watch of {source} interrupted: {reason}"
        self._stack.emit(Event(from_s, EventKind.COLLECT_GAP, message=message, data=data))
        return since_s

    def _update(self, source: str, event_type: str, raw: Raw, now_s: float) -> None:
        if source == "pods":
            self._record(self._pods.update(event_type, raw, now_s))
        elif source == "nodes":
            self._record(self._nodes.update(event_type, raw, now_s))
        elif source == "workloads":
            self._rescales.set_replicas(_spec_replicas(raw), now_s)
        elif source == "replicasets":
            self._update_replica_set(event_type, raw, now_s)
        elif source == "hpas":
            self._update_hpa(raw, now_s)
        elif source == "rescales" and event_type != DELETED:
            self._rescales.add_event(raw, now_s)
        elif source == "events":
            self._add_pod_event(event_type, raw, now_s)

    def _update_hpa(self, raw: Raw, now_s: float) -> None:
        """Record a write of the HPA's status; a new list repeats the last one."""
        version = raw["metadata"].get("resourceVersion")
        if version is not None and version == self._hpa_version:
            return
        self._hpa_version = version
        self._rescales.add_status(raw)
        event = hpa_sync(raw, now_s, self._config.metric)
        self._record([event])
        self._state = replace(self._state, metric_milli=(event.data or {}).get("metric_milli"))

    def _update_replica_set(self, event_type: str, raw: Raw, now_s: float) -> None:
        """Record the start of a rollout: a ReplicaSet of the workload that did not exist when the run started."""
        name, owners = raw["metadata"]["name"], raw["metadata"].get("ownerReferences", [])
        if self._replica_sets is None or name in self._replica_sets or event_type == DELETED:
            return
        self._replica_sets.add(name)
        if any((each["kind"], each["name"]) == (self._config.kind, self._config.workload) for each in owners):
            at_s = parse_time(raw["metadata"].get("creationTimestamp")) or now_s
            event = RunEvent(
                unix_s=at_s, kind=EventKind.ROLLOUT_STARTED, message=f"ReplicaSet {name}", data={"set": name}
            )
            self._record([event])

    def _add_pod_event(self, event_type: str, raw: Raw, now_s: float) -> None:
        involved = raw.get("involvedObject", {})
        if involved.get("kind") == "Pod" and self._belongs(involved.get("name", "")) and event_type != DELETED:
            event = pod_event(raw, now_s)
            key = f"{raw['metadata'].get('uid')} {raw.get('count')}"
            if key not in self._recorded_events and self._clock.at_unix(event.unix_s) >= 0:
                self._recorded_events.add(key)
                self._record([event])

    def _belongs(self, pod: str) -> bool:
        # an event may be observed before its pod
        known = any(each.name == pod for each in self._pods.pods())
        return known or pod.startswith(f"{self._config.workload}-")

    def _replica(self, pod: Pod) -> ReplicaState:
        ip = pod.raw.get("status", {}).get("podIP")
        config = self._config
        host = f"[{ip}]" if ip and ":" in ip else ip
        metrics = config.pod_url.format(ip=host, pod=pod.name) if ip and config.pod_url else None

        def address(port: int) -> str | None:
            return f"{host}:{port}" if ip else None

        return ReplicaState(
            name=pod.name,
            phase=pod.phase,
            http=address(config.http_port),
            grpc=address(config.grpc_port),
            metrics=metrics,
            node=pod.node,
        )

    def _record(self, events: Iterable[RunEvent]) -> None:
        for event in events:
            t_s = self._clock.at_unix(event.unix_s - self._config.skew_s)
            self._stack.emit(Event(t_s, event.kind, event.pod, event.reason, event.message, event.data))
            _log.info("%s %s %s", event.kind, event.pod or "", event.message or "")


def _spec_replicas(workload: Mapping[str, Any]) -> int:
    return int(workload["spec"].get("replicas", 1))


def main(file: str) -> int:
    """Observe until SIGTERM, SIGINT or the end of the lifeline."""
    stop = Stop()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    config = ObserverConfig.model_validate_json(Path(file).read_bytes())
    api = Api(config.context)
    events: queue.Queue[WatchEvent] = queue.Queue()

    def read_lease(node: str) -> None:
        renewed_s = lease_renewal_s(api, node)
        events.put(
            WatchEvent(source="leases", type=LEASE_RENEWED, at_s=time.time(), node=node, last_contact_s=renewed_s)
        )

    def request_lease(node: str) -> None:
        threading.Thread(target=read_lease, args=(node,), daemon=True).start()

    observer = Observer(RunFolder(Path(file).parents[1]), config, request_lease)
    watchers = [Watcher(api, each, events) for each in watched_resources(api, config)]
    for each in watchers:
        each.start()
    try:
        return observe(stop, observer, watchers, events)
    except LoadgenError as error:
        _log.error("%s", error)
        return int(error.exit_code)


def observe(stop: Stop, observer: Observer, watchers: Sequence[Watcher], events: "queue.Queue[WatchEvent]") -> int:
    """Handle events until a stop is requested, or until a watcher has died, which is an error.

    Returns:
        The exit code.
    """
    code = ExitCode.PASS
    while code == ExitCode.PASS and stop.wait(time.monotonic() + _POLL_S) is None:
        dead = [each.name for each in watchers if not each.is_alive() and not each.stopped]
        while not events.empty():
            observer.handle(events.get())
        observer.flush(time.time())
        if dead:
            _log.error("the watch of %s ended unexpectedly", ", ".join(dead))
            code = ExitCode.TOOL
    observer.close(time.time())
    return int(code)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
