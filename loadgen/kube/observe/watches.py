"""Watches Kubernetes resources through disconnections, expired resource versions and restarts of the API server.

    list ▸ watch ▸ timeout: watch again from the last resource version ▸ …
                 ▸ error or expired version (410): list again; the time in between is a gap

The server ends each watch after `_WATCH_TIMEOUT_S`. A quiet watch gives no other sign that it works: a connection that
a firewall has dropped is quiet, too, and is detected when the server does not end the watch in time.
"""

import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import urllib3
from kubernetes import client
from kubernetes.watch.watch import iter_resp_lines

from loadgen.dataset.names import RescaleReason
from loadgen.kube.client.api import Api
from loadgen.kube.client.permissions import LEASE_NAMESPACE
from loadgen.kube.objects.raw import Raw, parse_time
from loadgen.kube.objects.shapes import checked
from loadgen.kube.observe.config import ObserverConfig
from loadgen.kube.observe.watch_event import DISCONNECTED, LISTED, WatchEvent

_WATCH_TIMEOUT_S = 10
"""A quiet watch confirms its connection only when it ends, so a gap may start at most this much too early."""
_READ_TIMEOUT_S = _WATCH_TIMEOUT_S + 10
"""The server ends a watch before that, so a connection that was silent for so long is dead."""
_RETRY_S = 0.5
_MAX_RETRY_S = 3.0
_REQUEST_TIMEOUT_S = 10
_PAGE_SIZE = 500
_log = logging.getLogger("loadgen.kube.observe.watches")


class WatchedResource(NamedTuple):
    """A resource to watch.

    Attributes:
        source: Name in events and logs.
        list_function: Function of the Kubernetes library that lists and watches it.
        arguments: Arguments of that function, such as namespace and selectors.
        plural: Plural name of the resource, where `source` is another.
    """

    source: str
    list_function: Callable[..., Any]
    arguments: Mapping[str, str]
    plural: str = ""


def watched_resources(api: Api, config: ObserverConfig) -> list[WatchedResource]:
    """Return the resources to watch for a workload, without those that the account may not read."""
    core, apps = client.CoreV1Api(api.client), client.AppsV1Api(api.client)
    namespace = {"namespace": config.namespace}
    selected = {**namespace, "label_selector": config.selector}
    by_name = {**namespace, "field_selector": f"metadata.name={config.workload}"}
    of_pods = {**namespace, "field_selector": "involvedObject.kind=Pod"}
    resources = [WatchedResource("pods", core.list_namespaced_pod, selected)]
    if config.kind == "Deployment":
        resources.append(WatchedResource("workloads", apps.list_namespaced_deployment, by_name, "deployments"))
        resources.append(WatchedResource("replicasets", apps.list_namespaced_replica_set, selected))
    else:
        custom = client.CustomObjectsApi(api.client).list_namespaced_custom_object
        group = {"group": "leaderworkerset.x-k8s.io", "version": "v1", "plural": "leaderworkersets"}
        resources.append(WatchedResource("workloads", custom, {**group, **by_name}, "leaderworkersets"))
    resources.append(WatchedResource("events", core.list_namespaced_event, of_pods))
    resources.append(WatchedResource("nodes", core.list_node, {}))
    if config.hpa is not None:
        hpas = client.AutoscalingV2Api(api.client).list_namespaced_horizontal_pod_autoscaler
        hpa_by_name = {**namespace, "field_selector": f"metadata.name={config.hpa}"}
        resources.append(WatchedResource("hpas", hpas, hpa_by_name, "horizontalpodautoscalers"))
        involved = f"involvedObject.kind=HorizontalPodAutoscaler,involvedObject.name={config.hpa}"
        if "events" not in config.forbidden:
            of_hpa = {**namespace, "field_selector": f"{involved},reason={RescaleReason.BY_AUTOSCALER}"}
            resources.append(WatchedResource("rescales", core.list_namespaced_event, of_hpa, "events"))
    return [each for each in resources if each.source not in config.forbidden]


class Watcher(threading.Thread):
    """Lists and watches one resource, and puts what it observes into a queue; ends with the process.

    Args:
        api: The cluster.
        resource: The resource to watch.
        events: Queue of events.

    Attributes:
        stopped: Whether the thread ended intentionally: the account may not watch a resource that is optional.
    """

    def __init__(self, api: Api, resource: WatchedResource, events: "queue.Queue[WatchEvent]") -> None:
        super().__init__(name=resource.source, daemon=True)
        self.stopped = False
        self._api, self._resource, self._events = api, resource, events
        self._last_contact_s = time.time()
        self._version: str | None = None
        self._failures = 0

    def run(self) -> None:
        """Watch until the process ends; an error interrupts the watch and is reported as `DISCONNECTED`."""
        while not self.stopped:
            started = time.monotonic()
            try:
                self._watch_once()
            except Exception as error:  # if the thread died, its events would be missing from the run
                self._handle_failure(error)
            retry_s = min(_RETRY_S * 2.0 ** min(max(self._failures - 1, 0), 10), _MAX_RETRY_S)
            time.sleep(max(0.0, started + retry_s - time.monotonic()))

    def _watch_once(self) -> None:
        """Watch until the server ends the watch, from the last resource version or after a new list."""
        if self._version is None:
            self._version = self._list()
        response = self._resource.list_function(
            **self._resource.arguments,
            watch=True,
            resource_version=self._version,
            allow_watch_bookmarks=True,
            timeout_seconds=_WATCH_TIMEOUT_S,
            _preload_content=False,
            _request_timeout=(_REQUEST_TIMEOUT_S, _READ_TIMEOUT_S),
        )
        try:
            for line in iter_resp_lines(response):
                self._handle_line(json.loads(line))
                self._failures = 0
        finally:
            response.close()
            response.release_conn()
        self._last_contact_s, self._failures = time.time(), 0

    def _list(self) -> str:
        items: list[Raw] = []
        page: dict[str, Any] = {"limit": _PAGE_SIZE}
        while True:
            response = self._resource.list_function(
                **self._resource.arguments, **page, _preload_content=False, _request_timeout=_REQUEST_TIMEOUT_S
            )
            content = json.loads(response.data)
            items += [self._checked(each) for each in content["items"] or ()]
            if not content["metadata"].get("continue"):
                break
            page["_continue"] = content["metadata"]["continue"]
        self._last_contact_s = time.time()
        self._events.put(WatchEvent(source=self.name, type=LISTED, at_s=self._last_contact_s, items=items))
        return str(content["metadata"]["resourceVersion"])

    def _handle_line(self, event: dict[str, Any]) -> None:
        raw = event["object"]
        if event["type"] == "ERROR":
            raise client.ApiException(status=raw.get("code"), reason=raw.get("message") or raw.get("reason"))
        now_s, version = time.time(), str(raw["metadata"]["resourceVersion"])
        if event["type"] != "BOOKMARK":  # a bookmark carries a resource version and no object
            content = self._checked(raw)
            self._events.put(WatchEvent(source=self.name, type=str(event["type"]), at_s=now_s, object=content))
        self._last_contact_s, self._version = now_s, version

    def _checked(self, raw: Any) -> Raw:
        content = checked(self._resource.plural or self._resource.source, raw)
        if "uid" not in content["metadata"]:
            raise ValueError(f"not a Kubernetes object: {str(raw)[:80]}")
        return content

    def _handle_failure(self, error: Exception) -> None:
        status = getattr(error, "status", None)
        if self.name == "nodes" and status == HTTPStatus.FORBIDDEN:
            _log.warning("missing RBAC permissions: list and watch nodes; lost nodes are not recorded")
            self.stopped = True
            return
        message = (str(error) or type(error).__name__).splitlines()[0]
        _log.warning("the watch of %s was interrupted (%s) and is restarted", self.name, message)
        if status == HTTPStatus.UNAUTHORIZED:
            try:
                self._api.renew()
            except Exception as renewal_error:  # the kubeconfig may be half-written: the next attempt reads it again
                _log.warning("the credentials could not be renewed: %s", renewal_error)
        self._failures += 1
        self._version = None
        self._events.put(
            WatchEvent(
                source=self.name,
                type=DISCONNECTED,
                at_s=time.time(),
                last_contact_s=self._last_contact_s,
                reason=_reason(error),
            )
        )


def _reason(error: Exception) -> str:
    if isinstance(error, client.ApiException):
        if error.status == HTTPStatus.GONE:
            return "the last resource version has expired (410)"
        if error.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return f"the API server refused the request ({error.status})"
        return f"the API server returned an error ({error.status or 'no status'})"
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return "the connection timed out"
    if isinstance(error, urllib3.exceptions.HTTPError | OSError):
        return "the API server did not respond"
    return "the API server sent an invalid response"


def lease_renewal_s(api: Api, node: str) -> float | None:
    """Read when a node last renewed its lease, in seconds since the epoch by the API's clock; None if unreadable."""
    coordination = client.CoordinationV1Api(api.client)
    try:
        response: Any = coordination.read_namespaced_lease(
            node, LEASE_NAMESPACE, _preload_content=False, _request_timeout=_REQUEST_TIMEOUT_S
        )
    except (client.ApiException, urllib3.exceptions.HTTPError, OSError):
        return None
    return renew_time_s(response.data)


def renew_time_s(body: bytes) -> float | None:
    """Return the time of the last renewal in a lease, in seconds since the epoch; None if it cannot be read."""
    try:
        return parse_time(json.loads(body)["spec"]["renewTime"])
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
