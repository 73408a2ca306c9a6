"""Watches of the Kubernetes API that go on whatever happens to it.

    list ▸ watch from there ▸ its time is up: watch on from the last change ▸ …
                            ▸ an error, or the last change is too old (410): list again, and the time between is a gap

A watch is ended by the server every `_WATCH_S`. That it ends in order is the only word that a quiet watch has for
certain: a connection that a firewall dropped says nothing either, and is found out by the end that does not come.
"""

import json
import logging
import queue
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple

import urllib3
from kubernetes import client
from kubernetes.watch.watch import iter_resp_lines

from loadgen.dataset.names import RescaleReason
from loadgen.kube.client.api import Api
from loadgen.kube.client.permissions import LEASES
from loadgen.kube.objects.changes import unix_s
from loadgen.kube.observe.config import ObserverConfig

_WATCH_S = 10
"""Its end is the least that is heard of a watch, so a gap begins at most that much too early."""
_SILENT_S = _WATCH_S + 10
"""A watch ends by itself before that: without a word for so long, its connection is dead."""
_AGAIN_S = 0.5
_AGAIN_AT_MOST_S = 3.0
_REQUEST_TIMEOUT_S = 10
_PAGE = 500
_log = logging.getLogger("loadgen.kube.observe.watches")

Seen = tuple[str, str, dict[str, Any], float]
"""Source, what it is, its content, when (Unix, s).

`ADDED`, `MODIFIED` and `DELETED` carry the raw object; `LISTED` all of them (`items`), `UNHEARD` since when nothing is
known and why (`since`, `why`), until the next list; `HEARD` of the source `leases` when a node renewed its lease last.
"""

Listing = Callable[..., Any]


class Watched(NamedTuple):
    """One kind of object to watch: name of the source, function of the library that lists it, its arguments."""

    source: str
    listing: Listing
    fields: dict[str, str]


def watches(api: Api, observed: ObserverConfig) -> list[Watched]:
    """What is watched of a workload."""
    core, apps = client.CoreV1Api(api.client), client.AppsV1Api(api.client)
    place = {"namespace": observed.namespace}
    selected = {**place, "label_selector": observed.selector}
    by_name = {**place, "field_selector": f"metadata.name={observed.workload}"}
    of_pods = {**place, "field_selector": "involvedObject.kind=Pod"}
    found = [Watched("pods", core.list_namespaced_pod, selected)]
    if observed.kind == "Deployment":
        found.append(Watched("workloads", apps.list_namespaced_deployment, by_name))
        found.append(Watched("replicasets", apps.list_namespaced_replica_set, selected))
    else:
        custom = client.CustomObjectsApi(api.client).list_namespaced_custom_object
        group = {"group": "leaderworkerset.x-k8s.io", "version": "v1", "plural": "leaderworkersets"}
        found.append(Watched("workloads", custom, {**group, **by_name}))
    found += [Watched("events", core.list_namespaced_event, of_pods), Watched("nodes", core.list_node, {})]
    if observed.hpa is not None:
        scaling = client.AutoscalingV2Api(api.client).list_namespaced_horizontal_pod_autoscaler
        found.append(Watched("hpas", scaling, {**place, "field_selector": f"metadata.name={observed.hpa}"}))
        about = f"involvedObject.kind=HorizontalPodAutoscaler,involvedObject.name={observed.hpa}"
        if "events" not in observed.unread:
            of_hpa = {**place, "field_selector": f"{about},reason={RescaleReason.BY_AUTOSCALER}"}
            found.append(Watched("rescales", core.list_namespaced_event, of_hpa))
    return [each for each in found if each.source not in observed.unread]


class Watcher(threading.Thread):
    """Puts every object, then every change of one kind of object into a queue; ends with the process.

    Args:
        api: The cluster.
        watched: What is watched.
        into: Where it goes.

    Attributes:
        given_up: Whether it ended on purpose: what it watches may not be read, and a run can do without.
    """

    def __init__(self, api: Api, watched: Watched, into: "queue.Queue[Seen]") -> None:
        super().__init__(name=watched.source, daemon=True)
        self.given_up = False
        self._api, self._watched, self._into = api, watched, into
        self._heard_s = time.time()
        self._version: str | None = None
        self._failures = 0

    def run(self) -> None:
        """Watch for ever: an error costs the time until the next list, and that time is told."""
        while not self.given_up:
            begun = time.monotonic()
            try:
                self._round()
            except Exception as error:  # a thread that ends unseen would leave its part of the run untold
                self._failed(error)
            wait_s = min(_AGAIN_S * 2.0 ** min(max(self._failures - 1, 0), 10), _AGAIN_AT_MOST_S)
            time.sleep(max(0.0, begun + wait_s - time.monotonic()))

    def _round(self) -> None:
        """One watch, from a list, or from where the last one ended."""
        if self._version is None:
            self._version = self._list()
        response = self._watched.listing(
            **self._watched.fields,
            watch=True,
            resource_version=self._version,
            allow_watch_bookmarks=True,
            timeout_seconds=_WATCH_S,
            _preload_content=False,
            _request_timeout=(_REQUEST_TIMEOUT_S, _SILENT_S),
        )
        try:
            for line in iter_resp_lines(response):
                self._take(json.loads(line))
                self._failures = 0
        finally:
            response.close()
            response.release_conn()
        self._heard_s, self._failures = time.time(), 0

    def _list(self) -> str:
        items: list[dict[str, Any]] = []
        page: dict[str, Any] = {"limit": _PAGE}
        while True:
            answer = self._watched.listing(
                **self._watched.fields, **page, _preload_content=False, _request_timeout=_REQUEST_TIMEOUT_S
            )
            listed = json.loads(answer.data)
            items += [_checked(each) for each in listed["items"] or ()]
            if not listed["metadata"].get("continue"):
                break
            page["_continue"] = listed["metadata"]["continue"]
        self._heard_s = time.time()
        self._into.put((self.name, "LISTED", {"items": items}, self._heard_s))
        return str(listed["metadata"]["resourceVersion"])

    def _take(self, seen: dict[str, Any]) -> None:
        raw = seen["object"]
        if seen["type"] == "ERROR":
            raise client.ApiException(status=raw.get("code"), reason=raw.get("message") or raw.get("reason"))
        now_s, version = time.time(), str(raw["metadata"]["resourceVersion"])
        if seen["type"] != "BOOKMARK":  # a bookmark only says that the watch is up to here
            self._into.put((self.name, str(seen["type"]), _checked(raw), now_s))
        self._heard_s, self._version = now_s, version

    def _failed(self, error: Exception) -> None:
        status = getattr(error, "status", None)
        if self.name == "nodes" and status == HTTPStatus.FORBIDDEN:
            _log.warning("nodes may not be read with these rights: a run does not tell when one is lost")
            self.given_up = True
            return
        said = (str(error) or type(error).__name__).splitlines()[0]
        _log.warning("the watch of %s ended (%s) and is begun again", self.name, said)
        if status == HTTPStatus.UNAUTHORIZED:
            try:
                self._api.renew()
            except Exception as failed:  # the file is just being written, or is broken: the next round reads it again
                _log.warning("the credentials could not be read anew: %s", failed)
        self._failures += 1
        self._version = None
        self._into.put((self.name, "UNHEARD", {"since": self._heard_s, "why": _why(error)}, time.time()))


def _checked(raw: Any) -> dict[str, Any]:
    if not isinstance(raw, dict) or not {"name", "uid"} <= set(raw["metadata"]):
        raise ValueError(f"no object of the Kubernetes API: {str(raw)[:80]}")
    return raw


def _why(error: Exception) -> str:
    if isinstance(error, client.ApiException):
        if error.status == HTTPStatus.GONE:
            return "the changes since the last one seen were not kept any more (410)"
        if error.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return f"the API server refused it ({error.status})"
        return f"the API server answered with an error ({error.status or 'no code'})"
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return "nothing was heard any more"
    if isinstance(error, urllib3.exceptions.HTTPError | OSError):
        return "the API server did not answer"
    return "what was answered was none of the Kubernetes API's answers"


def heard_of(api: Api, node: str) -> float | None:
    """When a node renewed its lease last (Unix, s, by the API's clock); None where that cannot be read."""
    coordination = client.CoordinationV1Api(api.client)
    try:
        answer: Any = coordination.read_namespaced_lease(
            node, LEASES, _preload_content=False, _request_timeout=_REQUEST_TIMEOUT_S
        )
        return unix_s(json.loads(answer.data)["spec"]["renewTime"])
    except (client.ApiException, urllib3.exceptions.HTTPError, OSError, ValueError, LookupError, TypeError):
        return None
