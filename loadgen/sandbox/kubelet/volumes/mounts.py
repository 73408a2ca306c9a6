"""Builds the mounts of a container from the volumes of its pod, and mounts a tmpfs."""

import os
from pathlib import Path

from loadgen.sandbox.kubelet.container import launcher
from loadgen.sandbox.kubelet.container.environment import expand
from loadgen.sandbox.kubelet.objects import Json
from loadgen.sandbox.kubelet.volumes.payload import VolumeError, is_updatable


def container_mounts(pod: Json, container: Json, paths: dict[str, Path], variables: dict[str, str]) -> list[Json]:
    """Return the mounts of a container for the launcher, parents before the paths below them.

    Args:
        pod: The pod.
        container: Spec of the container.
        paths: Folders of the pod's volumes, by volume name.
        variables: Environment of the container, for `subPathExpr`.

    Raises:
        VolumeError: a `subPath` leaves its volume.
    """
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or []}
    mounts = []
    for mount in container.get("volumeMounts") or []:
        name, source = mount["name"], paths[mount["name"]]
        sub_path = expand(mount["subPathExpr"], variables) if mount.get("subPathExpr") else mount.get("subPath")
        if sub_path:
            volume_root, source = source.resolve(), (source / sub_path).resolve()
            if not source.is_relative_to(volume_root):
                raise VolumeError(f"subPath {sub_path} leaves the volume {name}")
            if not source.exists():
                source.mkdir(parents=True)
        volume: Json = volumes.get(name, {})
        read_only_claim = (volume.get("persistentVolumeClaim") or {}).get("readOnly", False)
        read_only = bool(mount.get("readOnly") or read_only_claim or is_updatable(volume))
        mounts.append({"source": str(source), "path": os.path.normpath(mount["mountPath"]), "read_only": read_only})
    return sorted(mounts, key=lambda mount: str(mount["path"]).count("/"))


def mount_tmpfs(folder: Path, size_bytes: int | None) -> Path:
    """Mount a new tmpfs on a folder, in this kubelet's mount namespace."""
    folder.mkdir(parents=True, exist_ok=True)
    size = f",size={size_bytes}" if size_bytes else ""
    launcher.mount("tmpfs", str(folder), "tmpfs", 0, f"mode=1777{size}")
    return folder
