"""Watches of the Kubernetes API that go on whatever happens to it."""

import json
import logging
import queue
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import urllib3
from kubernetes import client, watch

from loadgen.kube.api import Api
from loadgen.kube.rights import LEASES

if TYPE_CHECKING:
    from loadgen.kube.observer import Observed

_WATCH_S = 60
_SILENT_S = _WATCH_S + 15
"""A watch ends by itself before that: without a word for so long, its connection is dead."""
_AGAIN_S = 0.5
_REQUEST_TIMEOUT_S = 10
_log = logging.getLogger("loadgen.kube.watches")

Seen = tuple[str, str, dict[str, Any], float]
"""Source, type of the change (`ADDED`, `MODIFIED`, `DELETED`; `LISTED` begins a watch), raw object, when (Unix, s)."""


Listing = Callable[..., Any]


def watches(api: Api, observed: "Observed") -> list[tuple[str, Listing, dict[str, str]]]:
    """What is watched of a workload: source, function of the library that lists it, its arguments."""
    core, apps = client.CoreV1Api(api.client), client.AppsV1Api(api.client)
    place = {"namespace": observed.namespace}
    by_name = {**place, "field_selector": f"metadata.name={observed.workload}"}
    workload: tuple[str, Listing, dict[str, str]]
    if observed.kind == "Deployment":
        workload = ("workloads", apps.list_namespaced_deployment, by_name)
    else:
        custom = client.CustomObjectsApi(api.client).list_namespaced_custom_object
        group = {"group": "leaderworkerset.x-k8s.io", "version": "v1", "plural": "leaderworkersets"}
        workload = ("workloads", custom, {**group, **by_name})
    found: list[tuple[str, Listing, dict[str, str]]] = [
        ("pods", core.list_namespaced_pod, {**place, "label_selector": observed.selector}),
        workload,
        ("replicasets", apps.list_namespaced_replica_set, {**place, "label_selector": observed.selector}),
        ("events", core.list_namespaced_event, place),
        ("nodes", core.list_node, {}),
    ]
    if observed.hpa is not None:
        scaling = client.AutoscalingV2Api(api.client).list_namespaced_horizontal_pod_autoscaler
        found.append(("hpas", scaling, {**place, "field_selector": f"metadata.name={observed.hpa}"}))
    unread = {*observed.unread, *(["replicasets"] if observed.kind != "Deployment" else [])}
    return [each for each in found if each[0] not in unread]


def watch_for_ever(
    api: Api, source: str, listing: Listing, fields: Mapping[str, str], into: "queue.Queue[Seen]"
) -> None:
    """Put every object, then every change of one kind of object into a queue; ends with the process."""
    blind_since: float | None = None
    while True:
        try:
            listed = json.loads(listing(**fields, _preload_content=False, _request_timeout=_REQUEST_TIMEOUT_S).data)
            now_s = time.time()
            names = [each["metadata"]["name"] for each in listed["items"]]
            into.put((source, "LISTED", {"names": names, "blind_since": blind_since}, now_s))
            blind_since = None
            for each in listed["items"]:
                into.put((source, "MODIFIED", each, now_s))
            version = listed["metadata"]["resourceVersion"]
            changes = watch.Watch().stream(
                listing,
                resource_version=version,
                timeout_seconds=_WATCH_S,
                _request_timeout=(_REQUEST_TIMEOUT_S, _SILENT_S),
                **fields,
            )
            for seen in changes:
                into.put((source, str(seen["type"]), seen["raw_object"], time.time()))
        except (client.ApiException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            status = getattr(error, "status", None)
            if source == "nodes" and status == HTTPStatus.FORBIDDEN:
                _log.warning("nodes may not be read with these rights: a run does not tell when one is lost")
                return
            if status == HTTPStatus.UNAUTHORIZED:
                api.renew()
            blind_since = blind_since or time.time()
            why = (str(error) or type(error).__name__).splitlines()[0]
            _log.warning("the watch of %s ended (%s) and is begun again", source, why)
        time.sleep(_AGAIN_S)


def heard_of(api: Api, node: str) -> float | None:
    """When a node renewed its lease last (Unix, s, by the API's clock); None where that cannot be read."""
    coordination = client.CoordinationV1Api(api.client)
    try:
        lease = coordination.read_namespaced_lease(node, LEASES, _request_timeout=_REQUEST_TIMEOUT_S)
    except (client.ApiException, urllib3.exceptions.HTTPError):
        return None
    renewed = lease.spec.renew_time if lease.spec else None
    return None if renewed is None else float(renewed.timestamp())
