"""Volumes and their mounts: https://kubernetes.io/docs/concepts/storage/projected-volumes/ and /volumes/."""

import asyncio
import base64
import re
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from loadgen.sandbox.kubelet.api_client import ApiClient, ApiError
from loadgen.sandbox.kubelet.config import KubeletConfig
from loadgen.sandbox.kubelet.downward_api import Placement
from loadgen.sandbox.kubelet.objects import rfc3339
from loadgen.sandbox.kubelet.volumes.atomic_writer import write_atomically
from loadgen.sandbox.kubelet.volumes.mounts import container_mounts
from loadgen.sandbox.kubelet.volumes.payload import (
    FileProjection,
    VolumeError,
    downward_api_payload,
    object_payload,
    with_default_mode,
)
from loadgen.sandbox.kubelet.volumes.volumes import Volumes, _host_path

SETTINGS = {"data": {"a": "1", "b": "2"}, "binaryData": {"c": base64.b64encode(b"\0\1").decode()}}


def files(source: dict[str, Any], found: dict[str, Any] | None = SETTINGS, kind: str = "configmaps") -> dict[str, Any]:
    payload = object_payload(kind, "settings", found, source, "n")
    return {path: (each.data, each.mode) for path, each in payload.items()}


def test_every_key_is_a_file() -> None:
    """Each key of a ConfigMap becomes a file with mode 0644, or with defaultMode."""
    assert files({}) == {"a": (b"1", 0o644), "b": (b"2", 0o644), "c": (b"\0\1", 0o644)}
    assert files({"defaultMode": 0o400})["a"] == (b"1", 0o400)


def test_items_select_keys_and_paths() -> None:
    """With items only the listed keys become files, with their own paths and modes."""
    items = [{"key": "a", "path": "deep/er/a.txt"}, {"key": "b", "path": "b", "mode": 0o600}]
    assert files({"items": items}) == {"deep/er/a.txt": (b"1", 0o644), "b": (b"2", 0o600)}


def test_secrets_are_decoded() -> None:
    """The values of a Secret are decoded from base64."""
    assert files({}, {"data": {"k": base64.b64encode(b"hush").decode()}}, "secrets") == {"k": (b"hush", 0o644)}


@pytest.mark.parametrize(
    ("found", "source", "sentence"),
    [
        (None, {}, 'configmap "settings" not found'),
        (SETTINGS, {"items": [{"key": "z", "path": "z"}]}, "references non-existent configmap key: z"),
    ],
)
def test_missing_source(found: dict[str, Any] | None, source: dict[str, Any], sentence: str) -> None:
    """A missing object or key of a volume is an error."""
    with pytest.raises(VolumeError, match=sentence):
        files(source, found)


def test_optional_source() -> None:
    """A missing optional object gives an empty volume, a missing optional key no file."""
    assert files({"optional": True}, None) == {}
    assert files({"optional": True, "items": [{"key": "z", "path": "z"}, {"key": "a", "path": "a"}]}) == {
        "a": (b"1", 0o644)
    }


def test_downward_api_files() -> None:
    """Fields and resources of the pod become files."""
    container = {"name": "c", "resources": {"limits": {"cpu": "500m"}}}
    pod = {
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"a": "1"}},
        "spec": {"containers": [container]},
    }
    source = {
        "items": [
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
            {"path": "cpu", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu", "divisor": "1m"}},
        ]
    }
    payload = downward_api_payload(pod, source, Placement(node_ip="", pod_ip="", allocatable={}))
    assert {path: each.data for path, each in payload.items()} == {"labels": b'a="1"', "cpu": b"500"}


def test_default_mode_of_a_projected_volume() -> None:
    """defaultMode of a projected volume applies to files without a mode of their own."""
    payload = {"a": FileProjection(data=b""), "b": FileProjection(data=b"", mode=0o600)}
    assert [each.mode for each in with_default_mode(payload, 0o440).values()] == [0o440, 0o600]


def payload(**contents: str) -> dict[str, FileProjection]:
    return {name: FileProjection(data=text.encode()) for name, text in contents.items()}


def test_volume_is_updated_atomically(tmp_path: Path) -> None:
    """An update replaces the ..data link, and with it all files at once; the old folder is deleted."""
    folder = tmp_path / "v"
    assert write_atomically(folder, payload(a="1", b="2"))
    before = (folder / "..data").readlink()
    assert write_atomically(folder, payload(a="3", c="4"))
    assert (folder / "..data").readlink() != before
    assert {file.name: file.read_text() for file in folder.iterdir() if not file.name.startswith("..")} == {
        "a": "3",
        "c": "4",
    }
    assert not (folder / before).exists()


def test_volume_has_the_layout_of_the_kubelet(tmp_path: Path) -> None:
    """The files are in a folder named after the time, to which `..data` points, and entries link into `..data`."""
    write_atomically(
        tmp_path, {"a": FileProjection(data=b"1"), "x/y": FileProjection(data=b"2"), "x/z": FileProjection(data=b"3")}
    )
    dated = (tmp_path / "..data").readlink()
    assert re.fullmatch(r"\.\.\d{4}(_\d\d){5}\.\w+", str(dated))
    assert {each.name for each in tmp_path.iterdir()} == {str(dated), "..data", "a", "x"}
    assert [str((tmp_path / each).readlink()) for each in ("a", "x")] == ["..data/a", "..data/x"]
    assert {str(each.relative_to(tmp_path / dated)) for each in (tmp_path / dated).rglob("*")} == {
        "a",
        "x",
        "x/y",
        "x/z",
    }


def test_unchanged_volume_is_not_written(tmp_path: Path) -> None:
    """Writing the same files again changes nothing."""
    write_atomically(tmp_path, payload(a="1"))
    before = (tmp_path / "..data").readlink()
    assert not write_atomically(tmp_path, payload(a="1"))
    assert (tmp_path / "..data").readlink() == before


TOKEN_SOURCE = {"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 600}}
TOKEN_POD = {
    "metadata": {"name": "p", "namespace": "n", "uid": "u"},
    "spec": {"serviceAccountName": "runner", "volumes": [{"name": "v", "projected": {"sources": [TOKEN_SOURCE]}}]},
}
PLACEMENT = Placement(node_ip="", pod_ip="", allocatable={})


class TokenApi(ApiClient):
    """Issues numbered tokens with the requested lifetime, by a clock that the test sets.

    Args:
        forbidden_count: Calls that are forbidden at first.
    """

    def __init__(self, forbidden_count: int = 0) -> None:
        self.now_unix_s = 1e9
        self.forbidden_count = forbidden_count
        self.requests: list[dict[str, Any]] = []

    async def call(self, method: str, path: str, *, body: dict[str, Any] | None = None, **_: Any) -> dict[str, Any]:
        assert (method, path) == ("POST", "/api/v1/namespaces/n/serviceaccounts/runner/token")
        assert body is not None
        if self.forbidden_count:
            self.forbidden_count -= 1
            raise ApiError("no relationship found between node and this object", status=403)
        self.requests.append(body["spec"])
        expires = rfc3339(self.now_unix_s + body["spec"]["expirationSeconds"])
        return {"status": {"token": f"token {len(self.requests)}", "expirationTimestamp": expires}}


def test_token_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A projected token is bound to its pod and renewed after 80 percent of its lifetime."""
    api = TokenApi()
    monkeypatch.setattr("loadgen.sandbox.kubelet.volumes.volumes.time", SimpleNamespace(time=lambda: api.now_unix_s))
    volumes = Volumes(KubeletConfig.model_construct(), api, tmp_path / "disk", tmp_path / "memory")

    async def tokens(*ages_s: float) -> list[str]:
        await volumes.set_up(TOKEN_POD, PLACEMENT)
        contents = []
        for age_s in ages_s:
            api.now_unix_s = 1e9 + age_s
            await volumes.refresh(TOKEN_POD, PLACEMENT)
            contents.append((volumes.paths["v"] / "token").read_text())
        return contents

    # 80 % of 600 s are 480 s; the second token, issued at 480 s, is due at 960 s
    assert asyncio.run(tokens(0, 479, 480, 959, 960)) == ["token 1", "token 1", "token 2", "token 2", "token 3"]
    assert api.requests[0]["audiences"] == ["vault"]
    assert api.requests[0]["boundObjectRef"] == {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}


@pytest.mark.parametrize(("forbidden_count", "text"), [(2, "token 1"), (100, "no relationship found")])
def test_forbidden_at_first(forbidden_count: int, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The authorizer learns of a new pod with a delay: a forbidden call is retried, for a few seconds."""
    monkeypatch.setattr("loadgen.sandbox.kubelet.volumes.volumes._FORBIDDEN_RETRIES_S", (0.001,) * 5)
    api = TokenApi(forbidden_count)
    volumes = Volumes(KubeletConfig.model_construct(), api, tmp_path / "disk", tmp_path / "memory")
    if forbidden_count > 5:
        with pytest.raises(VolumeError, match=text):
            asyncio.run(volumes.set_up(TOKEN_POD, PLACEMENT))
        assert api.forbidden_count == forbidden_count - 6
    else:
        asyncio.run(volumes.set_up(TOKEN_POD, PLACEMENT))
        assert (volumes.paths["v"] / "token").read_text() == text


def test_nested_paths_and_modes(tmp_path: Path) -> None:
    """Paths of items may be nested, and files have their own modes."""
    write_atomically(tmp_path, {"x/y": FileProjection(data=b"1", mode=0o400)})
    assert stat.S_IMODE((tmp_path / "x" / "y").stat().st_mode) == 0o400


def mounts(*volume_mounts: dict[str, Any], volume: dict[str, Any] | None = None, at: Path) -> list[dict[str, Any]]:
    pod = {"spec": {"volumes": [{"name": "v", **(volume or {"emptyDir": {}})}]}}
    return container_mounts(pod, {"volumeMounts": list(volume_mounts)}, {"v": at}, {"NAME": "web-1"})


def test_parent_mounts_come_first(tmp_path: Path) -> None:
    """A mount below another one comes after it, whatever their order in the pod."""
    found = mounts({"name": "v", "mountPath": "/a/b"}, {"name": "v", "mountPath": "/a"}, at=tmp_path)
    assert [each["path"] for each in found] == ["/a", "/a/b"]


def test_sub_path(tmp_path: Path) -> None:
    """subPath mounts a folder of the volume and creates it; subPathExpr expands variables."""
    found = mounts(
        {"name": "v", "mountPath": "/a", "subPath": "x/y"},
        {"name": "v", "mountPath": "/b", "subPathExpr": "$(NAME)"},
        at=tmp_path,
    )
    assert [Path(each["source"]) for each in found] == [tmp_path / "x" / "y", tmp_path / "web-1"]
    assert (tmp_path / "x" / "y").is_dir()


def test_sub_path_stays_inside(tmp_path: Path) -> None:
    """A subPath that leaves its volume through a link is refused."""
    (tmp_path / "out").symlink_to("/etc")
    with pytest.raises(VolumeError, match="leaves the volume"):
        mounts({"name": "v", "mountPath": "/a", "subPath": "out"}, at=tmp_path)


@pytest.mark.parametrize(
    ("mount", "volume", "read_only"),
    [
        ({}, {"emptyDir": {}}, False),
        ({"readOnly": True}, {"emptyDir": {}}, True),
        ({}, {"configMap": {"name": "c"}}, True),
        ({}, {"secret": {"secretName": "s"}}, True),
        ({}, {"persistentVolumeClaim": {"claimName": "c", "readOnly": True}}, True),
    ],
)
def test_read_only(mount: dict[str, Any], volume: dict[str, Any], read_only: bool, tmp_path: Path) -> None:
    """A mount is read-only if the mount or its claim is, and always for ConfigMaps and Secrets."""
    (found,) = mounts({"name": "v", "mountPath": "/a", **mount}, volume=volume, at=tmp_path)
    assert found["read_only"] is read_only


def test_host_path_types(tmp_path: Path) -> None:
    """DirectoryOrCreate and FileOrCreate create a missing path; the other types check the path."""
    (tmp_path / "file").touch()
    assert _host_path(tmp_path / "new", "DirectoryOrCreate").is_dir()
    assert _host_path(tmp_path / "new.txt", "FileOrCreate").is_file()
    assert _host_path(tmp_path / "file", "File").is_file()
    for kind, description in (("Directory", "directory"), ("Socket", "socket"), ("CharDevice", "character device")):
        with pytest.raises(VolumeError, match=f"hostPath type check failed: .* is not a {description}"):
            _host_path(tmp_path / "file", kind)
