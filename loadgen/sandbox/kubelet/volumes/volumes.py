"""A pod's volumes as folders and files of this machine, and the mounts of its containers."""

import asyncio
import contextlib
import os
import stat
import time
from pathlib import Path

from loadgen.base.quantity import parse_bytes
from loadgen.sandbox.kubelet.api import Api, ApiError
from loadgen.sandbox.kubelet.config import KubeletConfig
from loadgen.sandbox.kubelet.container import launcher as launcher
from loadgen.sandbox.kubelet.container.environment import expand
from loadgen.sandbox.kubelet.downward_api import Place
from loadgen.sandbox.kubelet.meta import Json, unix_s
from loadgen.sandbox.kubelet.volumes.files import write_atomically
from loadgen.sandbox.kubelet.volumes.projection import (
    FileContent,
    Payload,
    VolumeFault,
    from_fields,
    from_object,
    with_mode,
)

REFRESH_S = 60.0
_TOKEN_S = 3607
_RENEW_RATIO = 0.8
_LIVE = ("configMap", "secret", "downwardAPI", "projected")


class Volumes:
    """The volumes of one pod.

    Args:
        config: The node.
        api: The API server.
        disk: Folder of the pod on disk.
        memory: Folder of the pod on a tmpfs that only this kubelet sees.
    """

    def __init__(self, config: KubeletConfig, api: Api, disk: Path, memory: Path) -> None:
        self._config = config
        self._api = api
        self._disk = disk
        self._memory = memory
        self._tokens: dict[tuple[str, int], tuple[str, float]] = {}
        self.paths: dict[str, Path] = {}

    async def set_up(self, pod: Json, place: Place) -> None:
        """Set up all volumes of the pod; those that stand already stay.

        Raises:
            VolumeFault: one cannot be set up; try again later.
        """
        for volume in pod["spec"].get("volumes") or []:
            if volume["name"] not in self.paths:
                try:
                    self.paths[volume["name"]] = await self._set_up(pod, volume, place)
                except (VolumeFault, ApiError, OSError) as error:
                    raise VolumeFault(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from error

    async def refresh(self, pod: Json, place: Place) -> None:
        """Write what has changed in ConfigMaps, Secrets, fields and tokens; what cannot be read stays as it is."""
        for volume in pod["spec"].get("volumes") or []:
            if any(volume.get(kind) is not None for kind in _LIVE):
                with contextlib.suppress(VolumeFault, ApiError, OSError):
                    write_atomically(self.paths[volume["name"]], await self._payload(pod, volume, place))

    @staticmethod
    def changes(pod: Json) -> bool:
        """Whether the pod has volumes whose content can change."""
        return any(volume.get(kind) is not None for volume in pod["spec"].get("volumes") or [] for kind in _LIVE)

    async def find(self, kind: str, namespace: str, name: str) -> Json | None:
        """A ConfigMap or Secret, or None.

        The API server lets a node read only what its pods refer to, and learns of a new pod a moment late.
        """
        for pause_s in (0.1, 0.2, 0.4, 0.8, None):
            try:
                return await self._api.get(f"/api/v1/namespaces/{namespace}/{kind}/{name}")
            except ApiError as error:
                if error.status == 404:
                    return None
                if error.status != 403 or pause_s is None:
                    raise
            await asyncio.sleep(pause_s)
        return None

    async def _set_up(self, pod: Json, volume: Json, place: Place) -> Path:
        name = volume["name"]
        if any(volume.get(kind) is not None for kind in _LIVE):
            folder: Path = self._memory / "volumes" / name
            write_atomically(folder, await self._payload(pod, volume, place))
            return folder
        if volume.get("hostPath"):
            return _host_path(Path(volume["hostPath"]["path"]), volume["hostPath"].get("type") or "")
        if volume.get("persistentVolumeClaim"):
            return await self._claimed(pod, volume["persistentVolumeClaim"]["claimName"])
        if volume.get("ephemeral"):
            return await self._claimed(pod, f"{pod['metadata']['name']}-{name}")
        if volume.get("emptyDir") is not None or set(volume) == {"name"}:
            return self._empty_dir(name, volume.get("emptyDir") or {})
        kind = next((key for key in volume if key != "name"), "none")
        raise VolumeFault(f"the process kubelet has no volumes of type {kind}")

    def _empty_dir(self, name: str, source: Json) -> Path:
        if source.get("medium") == "Memory":
            limit = source.get("sizeLimit")
            return memory_folder(self._memory / "volumes" / name, parse_bytes(limit) if limit else None)
        folder = self._disk / "volumes" / name
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)
        return folder

    async def _claimed(self, pod: Json, claim: str) -> Path:
        namespace = pod["metadata"]["namespace"]
        found = await self._api.get(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{claim}")
        name = found["spec"].get("volumeName")
        if not name or found.get("status", {}).get("phase") != "Bound":
            raise VolumeFault(f'persistentvolumeclaim "{claim}" is not bound')
        persistent = await self._api.get(f"/api/v1/persistentvolumes/{name}")
        if not any(kind in persistent["spec"] for kind in ("hostPath", "local")):
            raise VolumeFault(f"persistentvolume {name} is neither hostPath nor local")
        folder: Path = self._config.volumes_dir / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    async def _payload(self, pod: Json, volume: Json, place: Place) -> Payload:
        namespace = pod["metadata"]["namespace"]
        if volume.get("projected") is not None:
            source = volume["projected"]
            payload: Payload = {}
            for each in source.get("sources") or []:
                payload |= with_mode(await self._projected(pod, each, place), source.get("defaultMode"))
            return payload
        if volume.get("downwardAPI") is not None:
            return from_fields(pod, volume["downwardAPI"], place)
        kind, field, named = ("configmaps", "configMap", "name")
        if volume.get("secret") is not None:
            kind, field, named = ("secrets", "secret", "secretName")
        source = volume[field]
        found = await self.find(kind, namespace, source[named])
        return from_object(kind, source[named], found, source, namespace)

    async def _projected(self, pod: Json, source: Json, place: Place) -> Payload:
        namespace = pod["metadata"]["namespace"]
        for kind, field in (("configmaps", "configMap"), ("secrets", "secret")):
            if source.get(field) is not None:
                name = source[field]["name"]
                found = await self.find(kind, namespace, name)
                return from_object(kind, name, found, source[field], namespace)
        if source.get("downwardAPI") is not None:
            return from_fields(pod, source["downwardAPI"], place)
        if source.get("serviceAccountToken") is not None:
            return await self._token(pod, source["serviceAccountToken"])
        raise VolumeFault(f"the process kubelet does not project {', '.join(source)}")

    async def _token(self, pod: Json, source: Json) -> Payload:
        """A token of the pod's service account, renewed when four fifths of its life are over."""
        audience, life_s = str(source.get("audience") or ""), int(source.get("expirationSeconds") or _TOKEN_S)
        token, renew_unix_s = self._tokens.get((audience, life_s), ("", 0.0))
        if time.time() >= renew_unix_s:
            meta = pod["metadata"]
            bound = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
            asked = {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {
                    "audiences": [audience] if audience else [],
                    "expirationSeconds": life_s,
                    "boundObjectRef": bound,
                },
            }
            account = pod["spec"].get("serviceAccountName") or "default"
            path = f"/api/v1/namespaces/{meta['namespace']}/serviceaccounts/{account}/token"
            status = (await self._api.create(path, asked))["status"]
            token, ends = str(status["token"]), unix_s(status["expirationTimestamp"])
            now = time.time()
            self._tokens[audience, life_s] = (token, now + _RENEW_RATIO * (ends - now))
        return {source["path"]: FileContent(data=token.encode())}


def memory_folder(folder: Path, size_bytes: int | None) -> Path:
    """A tmpfs of its own at a folder, in this kubelet's mount namespace."""
    folder.mkdir(parents=True, exist_ok=True)
    size = f",size={size_bytes}" if size_bytes else ""
    launcher.mount("tmpfs", str(folder), "tmpfs", 0, f"mode=1777{size}")
    return folder


def container_mounts(pod: Json, container: Json, paths: dict[str, Path], variables: dict[str, str]) -> list[Json]:
    """What is mounted where in a container, outer mounts first.

    Raises:
        VolumeFault: a mount's `subPath` leaves its volume.
    """
    mounts = []
    for each in container.get("volumeMounts") or []:
        source = paths[each["name"]]
        below = expand(each["subPathExpr"], variables) if each.get("subPathExpr") else each.get("subPath")
        if below:
            whole, source = source.resolve(), (source / below).resolve()
            if not source.is_relative_to(whole):
                raise VolumeFault(f"subPath {below} leaves the volume {each['name']}")
            if not source.exists():
                source.mkdir(parents=True)
        source_kind: Json = next((v for v in pod["spec"].get("volumes") or [] if v["name"] == each["name"]), {})
        fixed = any(source_kind.get(kind) is not None for kind in _LIVE)
        claim = (source_kind.get("persistentVolumeClaim") or {}).get("readOnly", False)
        read_only = bool(each.get("readOnly") or claim or fixed)
        mounts.append({"source": str(source), "path": os.path.normpath(each["mountPath"]), "read_only": read_only})
    return sorted(mounts, key=lambda mount: str(mount["path"]).count("/"))


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
        is_kind, word = checks[kind]
        if not path.exists() or not is_kind(path.stat().st_mode):
            raise VolumeFault(f"hostPath type check failed: {path} is not {word}")
    return path
