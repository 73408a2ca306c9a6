"""Watches of the Kubernetes API that go on whatever happens to it."""

import json
import logging
import queue
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import urllib3
from kubernetes import client, watch

_WATCH_S = 300
_AGAIN_S = 0.5
_REQUEST_TIMEOUT_S = 10
_LEASES = "kube-node-lease"
_log = logging.getLogger("loadgen.kube.watches")

Seen = tuple[str, str, dict[str, Any], float]
"""Source, type of the change (`ADDED`, `MODIFIED`, `DELETED`; `LISTED` begins a watch), raw object, when (Unix, s)."""


def watch_for_ever(
    source: str, listing: Callable[..., Any], fields: Mapping[str, str], into: "queue.Queue[Seen]"
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
            changes = watch.Watch().stream(listing, resource_version=version, timeout_seconds=_WATCH_S, **fields)
            for seen in changes:
                into.put((source, str(seen["type"]), seen["raw_object"], time.time()))
        except (client.ApiException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            if source == "nodes" and getattr(error, "status", None) == HTTPStatus.FORBIDDEN:
                _log.warning("nodes may not be read with these rights: a run does not tell when one is lost")
                return
            blind_since = blind_since or time.time()
            why = (str(error) or type(error).__name__).splitlines()[0]
            _log.warning("the watch of %s ended (%s) and is begun again", source, why)
        time.sleep(_AGAIN_S)


def heard_of(node: str) -> float | None:
    """When a node renewed its lease last (Unix, s); None where that cannot be read."""
    try:
        lease = client.CoordinationV1Api().read_namespaced_lease(node, _LEASES, _request_timeout=_REQUEST_TIMEOUT_S)
    except (client.ApiException, urllib3.exceptions.HTTPError):
        return None
    renewed = lease.spec.renew_time if lease.spec else None
    return None if renewed is None else float(renewed.timestamp())
