"""Sets up and refreshes the volumes of a pod as folders of this machine."""

import asyncio
import contextlib
import stat
import time
from http import HTTPStatus
from pathlib import Path

from loadgen.base.quantity import parse_bytes
from loadgen.sandbox.kubelet.api_client import ApiClient, ApiError
from loadgen.sandbox.kubelet.config import KubeletConfig
from loadgen.sandbox.kubelet.downward_api import Placement
from loadgen.sandbox.kubelet.objects import Json, parse_rfc3339
from loadgen.sandbox.kubelet.volumes.atomic_writer import write_atomically
from loadgen.sandbox.kubelet.volumes.mounts import mount_tmpfs
from loadgen.sandbox.kubelet.volumes.payload import (
    FileProjection,
    Payload,
    VolumeError,
    downward_api_payload,
    is_updatable,
    object_payload,
    with_default_mode,
)

REFRESH_S = 60.0
_TOKEN_LIFETIME_S = 3607
_RENEW_RATIO = 0.8
_FORBIDDEN_RETRIES_S = (0.1, 0.2, 0.4, 0.8, 1.6)


class Volumes:
    """The volumes of one pod.

    Args:
        config: Configuration of the node.
        api: Client of the API server.
        disk: Folder of the pod on disk.
        memory: Folder of the pod on a tmpfs that only this kubelet sees.

    Attributes:
        paths: Folders of the volumes that are set up, by volume name.
    """

    def __init__(self, config: KubeletConfig, api: ApiClient, disk: Path, memory: Path) -> None:
        self._config = config
        self._api = api
        self._disk = disk
        self._memory = memory
        self._tokens: dict[tuple[str, int], tuple[str, float]] = {}
        self.paths: dict[str, Path] = {}

    async def set_up(self, pod: Json, placement: Placement) -> None:
        """Set up the volumes of the pod that are not set up yet.

        Raises:
            VolumeError: a volume cannot be set up; try again later.
        """
        for volume in pod["spec"].get("volumes") or []:
            if volume["name"] not in self.paths:
                try:
                    self.paths[volume["name"]] = await self._set_up(pod, volume, placement)
                except (VolumeError, ApiError, OSError) as error:
                    raise VolumeError(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from error

    async def refresh(self, pod: Json, placement: Placement) -> None:
        """Update the files of ConfigMaps, Secrets, fields and tokens; those that cannot be read stay unchanged."""
        for volume in pod["spec"].get("volumes") or []:
            if is_updatable(volume):
                with contextlib.suppress(VolumeError, ApiError, OSError):
                    write_atomically(self.paths[volume["name"]], await self._payload(pod, volume, placement))

    @staticmethod
    def has_updatable(pod: Json) -> bool:
        """Return whether the pod has volumes whose content follows objects of the API."""
        return any(is_updatable(volume) for volume in pod["spec"].get("volumes") or [])

    async def get_object(self, kind: str, namespace: str, name: str) -> Json | None:
        """Return a ConfigMap or Secret, or None if it does not exist."""
        try:
            return await self._authorized("GET", f"/api/v1/namespaces/{namespace}/{kind}/{name}")
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def _authorized(self, method: str, path: str, body: Json | None = None) -> Json:
        """Call the API server; retry while the call is forbidden.

        A node may use only the objects that its pods refer to, and the API server's authorizer learns of a new pod with
        a delay.
        """
        for retry_s in _FORBIDDEN_RETRIES_S:
            try:
                return await self._api.call(method, path, body=body)
            except ApiError as error:
                if error.status != HTTPStatus.FORBIDDEN:
                    raise
            await asyncio.sleep(retry_s)
        return await self._api.call(method, path, body=body)

    async def _set_up(self, pod: Json, volume: Json, placement: Placement) -> Path:
        name = volume["name"]
        if is_updatable(volume):
            folder: Path = self._memory / "volumes" / name
            write_atomically(folder, await self._payload(pod, volume, placement))
            return folder
        if volume.get("hostPath"):
            return _host_path(Path(volume["hostPath"]["path"]), volume["hostPath"].get("type") or "")
        if volume.get("persistentVolumeClaim"):
            return await self._persistent_volume(pod, volume["persistentVolumeClaim"]["claimName"])
        if volume.get("ephemeral"):
            return await self._persistent_volume(pod, f"{pod['metadata']['name']}-{name}")
        if volume.get("emptyDir") is not None or set(volume) == {"name"}:
            return self._empty_dir(name, volume.get("emptyDir") or {})
        kind = next((key for key in volume if key != "name"), "none")
        raise VolumeError(f"the process kubelet does not support volumes of type {kind}")

    def _empty_dir(self, name: str, source: Json) -> Path:
        if source.get("medium") == "Memory":
            limit = source.get("sizeLimit")
            return mount_tmpfs(self._memory / "volumes" / name, parse_bytes(limit) if limit else None)
        folder = self._disk / "volumes" / name
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)
        return folder

    async def _persistent_volume(self, pod: Json, claim_name: str) -> Path:
        namespace = pod["metadata"]["namespace"]
        claim = await self._authorized("GET", f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{claim_name}")
        name = claim["spec"].get("volumeName")
        if not name or claim.get("status", {}).get("phase") != "Bound":
            raise VolumeError(f'persistentvolumeclaim "{claim_name}" is not bound')
        volume = await self._authorized("GET", f"/api/v1/persistentvolumes/{name}")
        if not any(kind in volume["spec"] for kind in ("hostPath", "local")):
            raise VolumeError(f"persistentvolume {name} is neither hostPath nor local")
        folder: Path = self._config.volumes_dir / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    async def _payload(self, pod: Json, volume: Json, placement: Placement) -> Payload:
        namespace = pod["metadata"]["namespace"]
        if volume.get("projected") is not None:
            source = volume["projected"]
            payload: Payload = {}
            for each in source.get("sources") or []:
                payload |= with_default_mode(await self._projected(pod, each, placement), source.get("defaultMode"))
            return payload
        if volume.get("downwardAPI") is not None:
            return downward_api_payload(pod, volume["downwardAPI"], placement)
        kind, field, name_field = ("configmaps", "configMap", "name")
        if volume.get("secret") is not None:
            kind, field, name_field = ("secrets", "secret", "secretName")
        source = volume[field]
        existing = await self.get_object(kind, namespace, source[name_field])
        return object_payload(kind, source[name_field], existing, source, namespace)

    async def _projected(self, pod: Json, source: Json, placement: Placement) -> Payload:
        namespace = pod["metadata"]["namespace"]
        for kind, field in (("configmaps", "configMap"), ("secrets", "secret")):
            if source.get(field) is not None:
                name = source[field]["name"]
                existing = await self.get_object(kind, namespace, name)
                return object_payload(kind, name, existing, source[field], namespace)
        if source.get("downwardAPI") is not None:
            return downward_api_payload(pod, source["downwardAPI"], placement)
        if source.get("serviceAccountToken") is not None:
            return await self._token(pod, source["serviceAccountToken"])
        raise VolumeError(f"the process kubelet does not support the projected source {', '.join(source)}")

    async def _token(self, pod: Json, source: Json) -> Payload:
        """Return the token of the pod's service account, renewed after 80 percent of its lifetime."""
        audience = str(source.get("audience") or "")
        lifetime_s = int(source.get("expirationSeconds") or _TOKEN_LIFETIME_S)
        token, renew_unix_s = self._tokens.get((audience, lifetime_s), ("", 0.0))
        if time.time() >= renew_unix_s:
            meta = pod["metadata"]
            bound = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
            request = {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {
                    "audiences": [audience] if audience else [],
                    "expirationSeconds": lifetime_s,
                    "boundObjectRef": bound,
                },
            }
            account = pod["spec"].get("serviceAccountName") or "default"
            path = f"/api/v1/namespaces/{meta['namespace']}/serviceaccounts/{account}/token"
            status = (await self._authorized("POST", path, request))["status"]
            token, expires_unix_s = str(status["token"]), parse_rfc3339(status["expirationTimestamp"])
            now_unix_s = time.time()
            renew_unix_s = now_unix_s + _RENEW_RATIO * (expires_unix_s - now_unix_s)
            self._tokens[audience, lifetime_s] = (token, renew_unix_s)
        return {source["path"]: FileProjection(data=token.encode())}


def _host_path(path: Path, kind: str) -> Path:
    if kind in ("DirectoryOrCreate", "") and not path.exists():
        path.mkdir(parents=True)
    if kind == "FileOrCreate" and not path.exists():
        path.touch()
    checks = {
        "Directory": (stat.S_ISDIR, "a directory"),
        "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
        "File": (stat.S_ISREG, "a file"),
        "FileOrCreate": (stat.S_ISREG, "a file"),
        "Socket": (stat.S_ISSOCK, "a socket"),
        "CharDevice": (stat.S_ISCHR, "a character device"),
        "BlockDevice": (stat.S_ISBLK, "a block device"),
    }
    if kind in checks:
        has_type, description = checks[kind]
        if not path.exists() or not has_type(path.stat().st_mode):
            raise VolumeError(f"hostPath type check failed: {path} is not {description}")
    return path
