"""Registers the node, reports its status and renews its lease."""

import asyncio
import platform
import time
import uuid
from pathlib import Path

from loadgen.sandbox.kubelet.api_client import MERGE_PATCH, ApiClient, ApiError
from loadgen.sandbox.kubelet.config import KubeletConfig
from loadgen.sandbox.kubelet.events import Events
from loadgen.sandbox.kubelet.objects import Json, rfc3339, rfc3339_micro

VERSION = "v1.37.1"
RUNTIME = "process://1.0.0"
LEASE_S = 40
_RENEW_S = 10.0
_STATUS_REPORT_S = 300.0  # nodeStatusReportFrequency; the lease is the heartbeat
_RETRY_S = 2.0
# the API server passes the WebSockets of exec and port-forward on to nodes with this feature; others get SPDY
_DECLARED_FEATURES = ["ExtendWebSocketsToKubelet"]
_CONDITIONS = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)
_EVENT_REASONS = {
    "MemoryPressure": "NodeHasSufficientMemory",
    "DiskPressure": "NodeHasNoDiskPressure",
    "PIDPressure": "NodeHasSufficientPID",
    "Ready": "NodeReady",
}


def node_object(config: KubeletConfig) -> Json:
    """Return the Node object to register."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    labels = {
        "kubernetes.io/hostname": config.node,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine,
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": machine,
        **config.labels,
    }
    spec: Json = {"podCIDR": str(config.pod_cidr), "podCIDRs": [str(config.pod_cidr)]}
    if config.taints:
        spec["taints"] = [taint.model_dump() for taint in config.taints]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": config.node,
            "labels": labels,
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
        },
        "spec": spec,
        "status": node_status(config, {}, time.time()),
    }


def node_status(config: KubeletConfig, previous: Json, now_unix_s: float) -> Json:
    """Return the status of a healthy node; unchanged conditions keep their transition time.

    Args:
        config: Configuration of the node.
        previous: The status in the API.
        now_unix_s: Seconds since the epoch.
    """
    old = {condition["type"]: condition for condition in previous.get("conditions") or []}
    now = rfc3339(now_unix_s)
    conditions = []
    for kind, status, reason, message in _CONDITIONS:
        same = old.get(kind, {}).get("status") == status
        conditions.append(
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": now,
                "lastTransitionTime": old[kind]["lastTransitionTime"] if same else now,
            }
        )
    return {
        "capacity": dict(config.capacity),
        "allocatable": dict(config.capacity),
        "addresses": [
            {"type": "InternalIP", "address": str(config.ip)},
            {"type": "Hostname", "address": config.node},
        ],
        "conditions": conditions,
        "daemonEndpoints": {"kubeletEndpoint": {"Port": config.port}},
        "declaredFeatures": list(_DECLARED_FEATURES),
        "nodeInfo": _node_info(),
    }


def _node_info() -> Json:
    try:
        machine_id = Path("/etc/machine-id").read_text().strip()
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        machine_id = boot_id = ""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return {
        "machineID": machine_id or uuid.UUID(int=uuid.getnode()).hex,
        "systemUUID": boot_id,
        "bootID": boot_id,
        "kernelVersion": platform.release(),
        "osImage": "processes of this machine",
        "containerRuntimeVersion": RUNTIME,
        "kubeletVersion": VERSION,
        "kubeProxyVersion": VERSION,
        "operatingSystem": "linux",
        "architecture": machine,
    }


class Node:
    """Keeps the Node object and its lease up to date.

    Args:
        config: Configuration of the node.
        api: Client of the API server.
        events: Recorder of events.

    Attributes:
        object: Latest version of the Node object.
    """

    def __init__(self, config: KubeletConfig, api: ApiClient, events: Events) -> None:
        self._config = config
        self._api = api
        self._events = events
        self._path = f"/api/v1/nodes/{config.node}"
        self.object: Json = node_object(config)
        self._posted_s = 0.0

    async def register(self) -> None:
        """Create the Node object, or update an existing one; retries until the API server answers."""
        while True:
            try:
                try:
                    self.object = await self._api.create("/api/v1/nodes", node_object(self._config))
                    known: Json = {}
                except ApiError as error:
                    if error.status != 409:
                        raise
                    self.object = await self._api.get(self._path)
                    known = self.object.get("status", {})
                    labels = {"metadata": {"labels": node_object(self._config)["metadata"]["labels"]}}
                    await self._api.patch(self._path, labels, MERGE_PATCH)
                await self._post_status(known)
                break
            except ApiError as error:
                if 400 <= error.status < 500 and error.status not in (403, 429):
                    raise
            await asyncio.sleep(_RETRY_S)
        self._events.normal(self._reference(), "Starting", "Starting kubelet.")

    async def keep_ready(self) -> None:
        """Post the node's status whenever a controller has changed its conditions; runs until cancelled."""
        async for kind, item in self._api.watch(
            "/api/v1/nodes", {"fieldSelector": f"metadata.name={self._config.node}"}
        ):
            nodes = item.get("items", []) if kind == "LISTED" else [item]
            for node in nodes if kind != "DELETED" else []:
                self.object = node
                conditions = {each["type"]: each["status"] for each in node["status"].get("conditions") or []}
                if any(conditions.get(kind) != status for kind, status, _, _ in _CONDITIONS):
                    try:
                        await self._post_status(node["status"])
                    except ApiError:
                        await asyncio.sleep(_RETRY_S)

    async def renew_lease(self) -> None:
        """Renew the lease every ten seconds and post the status every five minutes, until cancelled."""
        path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        name = self._config.node
        while True:
            spec = {
                "holderIdentity": name,
                "leaseDurationSeconds": LEASE_S,
                "renewTime": rfc3339_micro(time.time()),
            }
            sleep_s = _RENEW_S
            try:
                try:
                    await self._api.patch(f"{path}/{name}", {"spec": spec}, MERGE_PATCH)
                except ApiError as error:
                    if error.status != 404:
                        raise
                    owner = {k: self._reference()[k] for k in ("apiVersion", "kind", "name")}
                    owner["uid"] = self.object["metadata"]["uid"]
                    meta = {"name": name, "namespace": "kube-node-lease", "ownerReferences": [owner]}
                    await self._api.create(path, {"metadata": meta, "spec": spec})
                if time.monotonic() - self._posted_s > _STATUS_REPORT_S:
                    await self._post_status(self.object["status"])
            except ApiError:
                sleep_s = _RETRY_S
            await asyncio.sleep(sleep_s)

    async def _post_status(self, previous: Json) -> None:
        status = node_status(self._config, previous, time.time())
        old = {condition["type"]: condition["status"] for condition in previous.get("conditions") or []}
        self.object = await self._api.patch(f"{self._path}/status", {"status": status})
        self._posted_s = time.monotonic()
        for condition in status["conditions"]:
            if old.get(condition["type"]) != condition["status"]:
                reason = _EVENT_REASONS[condition["type"]]
                self._events.normal(self._reference(), reason, f"Node {self._config.node} status is now: {reason}")

    def _reference(self) -> Json:
        # as in the kubelet, the UID in events is the node's name, so that early events are found too
        return {"kind": "Node", "apiVersion": "v1", "name": self._config.node, "uid": self._config.node}
