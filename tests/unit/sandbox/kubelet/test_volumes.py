"""Files of volumes: https://kubernetes.io/docs/concepts/storage/projected-volumes/ and /volumes/."""

import asyncio
import base64
import re
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from loadgen.sandbox.kubelet.api import Api
from loadgen.sandbox.kubelet.config import KubeletConfig
from loadgen.sandbox.kubelet.downward_api import Place
from loadgen.sandbox.kubelet.meta import rfc3339
from loadgen.sandbox.kubelet.volumes.files import write_atomically
from loadgen.sandbox.kubelet.volumes.projection import (
    FileContent,
    VolumeFault,
    from_fields,
    from_object,
    host_name,
    hosts_file,
    read_resolv_conf,
    resolv_conf,
    with_mode,
)
from loadgen.sandbox.kubelet.volumes.volumes import Volumes, _host_path, container_mounts

SETTINGS = {"data": {"a": "1", "b": "2"}, "binaryData": {"c": base64.b64encode(b"\0\1").decode()}}


def files(source: dict[str, Any], found: dict[str, Any] | None = SETTINGS, kind: str = "configmaps") -> dict[str, Any]:
    payload = from_object(kind, "settings", found, source, "n")
    return {path: (each.data, each.mode) for path, each in payload.items()}


def test_every_key_is_a_file() -> None:
    """Each key of a ConfigMap becomes a file, 0644 unless defaultMode says another mode."""
    assert files({}) == {"a": (b"1", 0o644), "b": (b"2", 0o644), "c": (b"\0\1", 0o644)}
    assert files({"defaultMode": 0o400})["a"] == (b"1", 0o400)


def test_items_pick_and_place_keys() -> None:
    """With items only the listed keys appear, at their paths, with their own modes."""
    items = [{"key": "a", "path": "deep/er/a.txt"}, {"key": "b", "path": "b", "mode": 0o600}]
    assert files({"items": items}) == {"deep/er/a.txt": (b"1", 0o644), "b": (b"2", 0o600)}


def test_secrets_are_decoded() -> None:
    """The values of a Secret are written as the bytes that they encode."""
    assert files({}, {"data": {"k": base64.b64encode(b"hush").decode()}}, "secrets") == {"k": (b"hush", 0o644)}


@pytest.mark.parametrize(
    ("found", "source", "sentence"),
    [
        (None, {}, 'configmap "settings" not found'),
        (SETTINGS, {"items": [{"key": "z", "path": "z"}]}, "references non-existent configmap key: z"),
    ],
)
def test_missing_source(found: dict[str, Any] | None, source: dict[str, Any], sentence: str) -> None:
    """A pod does not start while an object or key of a volume is missing."""
    with pytest.raises(VolumeFault, match=sentence):
        files(source, found)


def test_optional_source() -> None:
    """An optional object that is missing gives an empty volume, an optional key no file."""
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
    payload = from_fields(pod, source, Place(node_ip="", pod_ip="", allocatable={}))
    assert {path: each.data for path, each in payload.items()} == {"labels": b'a="1"', "cpu": b"500"}


def test_projected_mode_is_a_default() -> None:
    """defaultMode of a projected volume holds where a file has no mode of its own."""
    payload = {"a": FileContent(data=b""), "b": FileContent(data=b"", mode=0o600)}
    assert [each.mode for each in with_mode(payload, 0o440).values()] == [0o440, 0o600]


def payload(**contents: str) -> dict[str, FileContent]:
    return {name: FileContent(data=text.encode()) for name, text in contents.items()}


def test_volume_is_swapped_as_a_whole(tmp_path: Path) -> None:
    """An update replaces the ..data link, so a reader who holds the old folder sees the old files until it is gone."""
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


def test_volume_is_laid_out_as_a_kubelet_does(tmp_path: Path) -> None:
    """A folder named after the time has the files, `..data` points at it, and first elements of paths into `..data`."""
    write_atomically(
        tmp_path, {"a": FileContent(data=b"1"), "x/y": FileContent(data=b"2"), "x/z": FileContent(data=b"3")}
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


def test_unchanged_volume_is_left_alone(tmp_path: Path) -> None:
    """Writing the same files again touches nothing."""
    write_atomically(tmp_path, payload(a="1"))
    before = (tmp_path / "..data").readlink()
    assert not write_atomically(tmp_path, payload(a="1"))
    assert (tmp_path / "..data").readlink() == before


class TokenApi(Api):
    """Issues numbered tokens that live as long as they are asked to, by a clock that stands."""

    def __init__(self) -> None:
        self.now_unix_s = 1e9
        self.asked: list[dict[str, Any]] = []

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert path == "/api/v1/namespaces/n/serviceaccounts/runner/token"
        self.asked.append(body["spec"])
        ends = rfc3339(self.now_unix_s + body["spec"]["expirationSeconds"])
        return {"status": {"token": f"token {len(self.asked)}", "expirationTimestamp": ends}}


def test_token_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A projected token is asked for again, bound to its pod, once it is older than 80 percent of its lifetime."""
    api = TokenApi()
    monkeypatch.setattr("loadgen.sandbox.kubelet.volumes.volumes.time", SimpleNamespace(time=lambda: api.now_unix_s))
    source = {"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 600}}
    pod = {
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {"serviceAccountName": "runner", "volumes": [{"name": "v", "projected": {"sources": [source]}}]},
    }
    place = Place(node_ip="", pod_ip="", allocatable={})
    volumes = Volumes(KubeletConfig.model_construct(), api, tmp_path / "disk", tmp_path / "memory")

    async def tokens(*ages_s: float) -> list[str]:
        await volumes.set_up(pod, place)
        found = []
        for age_s in ages_s:
            api.now_unix_s = 1e9 + age_s
            await volumes.refresh(pod, place)
            found.append((volumes.paths["v"] / "token").read_text())
        return found

    # 80 % of 600 s are 480 s; the second token, issued at 480 s, is due at 960 s
    assert asyncio.run(tokens(0, 479, 480, 959, 960)) == ["token 1", "token 1", "token 2", "token 2", "token 3"]
    assert api.asked[0]["audiences"] == ["vault"]
    assert api.asked[0]["boundObjectRef"] == {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}


def test_nested_paths_and_modes(tmp_path: Path) -> None:
    """Paths of items may be nested, and files have the modes asked for."""
    write_atomically(tmp_path, {"x/y": FileContent(data=b"1", mode=0o400)})
    assert stat.S_IMODE((tmp_path / "x" / "y").stat().st_mode) == 0o400


def mounts(*volume_mounts: dict[str, Any], volume: dict[str, Any] | None = None, at: Path) -> list[dict[str, Any]]:
    pod = {"spec": {"volumes": [{"name": "v", **(volume or {"emptyDir": {}})}]}}
    return container_mounts(pod, {"volumeMounts": list(volume_mounts)}, {"v": at}, {"NAME": "web-1"})


def test_outer_mounts_come_first(tmp_path: Path) -> None:
    """A mount below another one is made after it, in whatever order the pod lists them."""
    found = mounts({"name": "v", "mountPath": "/a/b"}, {"name": "v", "mountPath": "/a"}, at=tmp_path)
    assert [each["path"] for each in found] == ["/a", "/a/b"]


def test_sub_path(tmp_path: Path) -> None:
    """subPath mounts a folder of the volume, which is created; subPathExpr expands variables."""
    found = mounts(
        {"name": "v", "mountPath": "/a", "subPath": "x/y"},
        {"name": "v", "mountPath": "/b", "subPathExpr": "$(NAME)"},
        at=tmp_path,
    )
    assert [Path(each["source"]) for each in found] == [tmp_path / "x" / "y", tmp_path / "web-1"]
    assert (tmp_path / "x" / "y").is_dir()


def test_sub_path_stays_inside(tmp_path: Path) -> None:
    """A subPath that leads out of its volume through a link is refused."""
    (tmp_path / "out").symlink_to("/etc")
    with pytest.raises(VolumeFault, match="leaves the volume"):
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
    """A mount is read-only when it or its claim says so, and always for ConfigMaps, Secrets and projections."""
    (found,) = mounts({"name": "v", "mountPath": "/a", **mount}, volume=volume, at=tmp_path)
    assert found["read_only"] is read_only


def test_host_path_types(tmp_path: Path) -> None:
    """DirectoryOrCreate and FileOrCreate create what is missing, Directory, File and Socket check."""
    (tmp_path / "file").touch()
    assert _host_path(tmp_path / "new", "DirectoryOrCreate").is_dir()
    assert _host_path(tmp_path / "new.txt", "FileOrCreate").is_file()
    assert _host_path(tmp_path / "file", "File").is_file()
    for kind, word in (("Directory", "directory"), ("Socket", "socket"), ("CharDevice", "character device")):
        with pytest.raises(VolumeFault, match=f"hostPath type check failed: .* is not a {word}"):
            _host_path(tmp_path / "file", kind)


def dns(**spec: Any) -> str:
    node = {"nameservers": ["9.9.9.9"], "searches": ["lan"], "options": ["timeout:1"]}
    pod = {"metadata": {"namespace": "n"}, "spec": spec}
    return resolv_conf(pod, cluster_dns="10.96.0.10", domain="cluster.local", node=node)


CLUSTER = "nameserver 10.96.0.10\nsearch n.svc.cluster.local svc.cluster.local cluster.local lan\noptions ndots:5\n"
NODE = "nameserver 9.9.9.9\nsearch lan\noptions timeout:1\n"


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({}, CLUSTER),
        ({"dnsPolicy": "Default"}, NODE),
        ({"hostNetwork": True}, NODE),
        ({"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}, CLUSTER),
        ({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"]}}, "nameserver 1.1.1.1\n"),
        ({"dnsConfig": {"options": [{"name": "ndots", "value": "2"}]}}, CLUSTER.replace("ndots:5", "ndots:2")),
    ],
)
def test_dns_policy(spec: dict[str, Any], text: str) -> None:
    """Each dnsPolicy gives the servers, search domains and options that the documentation names; dnsConfig merges."""
    assert dns(**spec) == text


def test_node_dns_is_read() -> None:
    """The node's own file gives servers, searches and options."""
    found = read_resolv_conf("# note\nnameserver 1.2.3.4\nsearch a b\noptions x y:1\n")
    assert found == {"nameservers": ["1.2.3.4"], "searches": ["a", "b"], "options": ["x", "y:1"]}


@pytest.mark.parametrize(
    ("spec", "name"),
    [({}, "p"), ({"hostname": "h"}, "h"), ({"hostNetwork": True}, "node-0")],
)
def test_host_name(spec: dict[str, Any], name: str) -> None:
    """The host name is the pod's name unless it asks for another; in the node's network it is the node's."""
    assert host_name({"metadata": {"name": "p"}, "spec": spec}, "node-0") == name


def test_long_host_names_are_cut() -> None:
    """A host name has 63 characters at most and does not end with a dash."""
    assert host_name({"metadata": {"name": "a" * 62 + "-b"}, "spec": {}}, "") == "a" * 62


def test_hosts_file() -> None:
    """/etc/hosts names the pod's address and the host aliases."""
    pod = {"metadata": {"namespace": "n"}, "spec": {"hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]}}
    text = hosts_file(pod, "10.244.1.5", "p", None)
    assert "\n10.244.1.5\tp\n" in text
    assert text.endswith("# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")
