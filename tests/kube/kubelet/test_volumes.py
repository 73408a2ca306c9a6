"""Volumes of pods, checked against the Kubernetes documentation.

Needs the sandbox's build; takes about two minutes.
"""

import re
from pathlib import Path

import pytest

from support.kube.cluster import (
    FOREVER,
    Cluster,
    Json,
    data_of,
    eventually,
    mount,
    pod,
    ready,
    restarted,
    shell,
    waiting,
)

pytestmark = pytest.mark.timeout(240)


def persistent(name: str, folder: Path) -> Json:
    """Return a PersistentVolume of the class `by-hand`."""
    spec = {
        "storageClassName": "by-hand",
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": str(folder / name)},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}


CLAIM = {
    "storageClassName": "by-hand",
    "accessModes": ["ReadWriteOnce"],
    "resources": {"requests": {"storage": "1Gi"}},
}

DATA = [
    data_of("ConfigMap", "settings", colour="red", size="large"),
    data_of("ConfigMap", "changing", word="old"),
    data_of("Secret", "hidden", password="open sesame"),
    {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "claim"},
        "spec": CLAIM,
    },
]


def pods(folder: Path) -> list[Json]:
    """Return all pods; the folder is on the machine."""
    never: Json = {"restartPolicy": "Never"}
    return [
        pod(
            "files",
            shell(
                "cd /etc/settings && cat colour size && stat -Lc %a size; cd /etc/some && cat nested/colour && ls;"
                " cat /etc/hidden/password; echo; stat -Lc %a /etc/hidden/password;"
                " ls -A /etc/some; ls -A /etc/hidden; readlink /etc/some/nested /etc/hidden/password;"
                " echo x > /etc/settings/colour || echo read-only",
                volumeMounts=[
                    mount("settings", "/etc/settings"),
                    mount("some", "/etc/some"),
                    mount("hidden", "/etc/hidden"),
                ],
            ),
            volumes=[
                {"name": "settings", "configMap": {"name": "settings"}},
                {
                    "name": "some",
                    "configMap": {"name": "settings", "items": [{"key": "colour", "path": "nested/colour"}]},
                },
                {"name": "hidden", "secret": {"secretName": "hidden", "defaultMode": 0o400}},
            ],
            **never,
        ),
        pod(
            "one-file",
            shell("cat /opt/app/size; ls /opt/app", volumeMounts=[mount("v", "/opt/app/size", subPath="size")]),
            volumes=[{"name": "v", "configMap": {"name": "settings"}}],
            **never,
        ),
        pod(
            "changing",
            shell(FOREVER, volumeMounts=[mount("v", "/etc/word")]),
            volumes=[{"name": "v", "configMap": {"name": "changing"}}],
        ),
        pod(
            "no-volume",
            shell("exit 0", volumeMounts=[mount("v", "/v")]),
            volumes=[{"name": "v", "secret": {"secretName": "nowhere"}}],
        ),
        pod(
            "crashes",
            shell(
                "test -e /work/was && exec sleep 600; touch /work/was; exit 1", volumeMounts=[mount("work", "/work")]
            ),
            shell(FOREVER, "other", volumeMounts=[mount("work", "/elsewhere")]),
            volumes=[{"name": "work", "emptyDir": {}}],
        ),
        pod(
            "memory",
            shell(
                "stat -f -c %T /fast; dd if=/dev/zero of=/fast/x bs=1M count=5 2> /dev/null || echo full",
                volumeMounts=[mount("fast", "/fast")],
            ),
            volumes=[{"name": "fast", "emptyDir": {"medium": "Memory", "sizeLimit": "2Mi"}}],
            **never,
        ),
        pod(
            "host-path",
            shell(
                "cat /data/in > /data/out; echo x > /fixed/in || echo read-only",
                volumeMounts=[mount("v", "/data"), mount("v", "/fixed", readOnly=True)],
            ),
            volumes=[{"name": "v", "hostPath": {"path": str(folder), "type": "Directory"}}],
            **never,
        ),
        pod(
            "no-host-path",
            shell("exit 0", volumeMounts=[mount("v", "/v")]),
            volumes=[{"name": "v", "hostPath": {"path": str(folder / "none"), "type": "Directory"}}],
        ),
        pod(
            "writes-claim",
            shell("echo from the first > /v/word", volumeMounts=[mount("v", "/v")]),
            volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "claim"}}],
            **never,
        ),
        pod(
            "ephemeral",
            shell("ls -A /v && echo word > /v/word && cat /v/word", volumeMounts=[mount("v", "/v")]),
            volumes=[{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": CLAIM}}}],
            **never,
        ),
        pod(
            "downward",
            shell("cat /about/labels /about/limit", volumeMounts=[mount("about", "/about")]),
            volumes=[
                {
                    "name": "about",
                    "downwardAPI": {
                        "items": [
                            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                            {
                                "path": "limit",
                                "resourceFieldRef": {"containerName": "main", "resource": "requests.cpu"},
                            },
                        ]
                    },
                }
            ],
            **never,
        ),
    ]


@pytest.fixture(scope="module", autouse=True)
def folder(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create all pods with a folder on the machine, and return the folder."""
    created = tmp_path_factory.mktemp("machine")
    (created / "in").write_text("from the machine")
    cluster.create(*DATA, persistent("first", created), persistent("second", created), *pods(created))
    cluster.pod("changing", ready)
    cluster.kubectl("patch", "configmap", "changing", '--patch={"data":{"word":"new"}}')
    return created


def test_files_of_maps_and_secrets(cluster: Cluster) -> None:
    """Keys are read-only files with the default mode 0644: all keys, or those of items at their paths.

    The entries of the volume link to `..data`, which links to a folder that is named after the time.
    """
    log = cluster.log("files")
    assert log.startswith("redlarge644\nrednested\nopen sesame\n400\n")
    assert log.endswith("read-only\n")
    dated = r"\.\.\d{4}(_\d\d){5}\.\w+"
    listed = rf"{dated}\n\.\.data\nnested\n{dated}\n\.\.data\npassword\n\.\.data/nested\n\.\.data/password\n"
    assert re.search(rf"^400\n{listed}", log, re.MULTILINE), log


def test_sub_path(cluster: Cluster) -> None:
    """subPath mounts one file of a volume."""
    assert cluster.log("one-file") == "largesize\n"


def test_missing_volume_source(cluster: Cluster) -> None:
    """The pod waits with ContainerCreating while the Secret of a volume is missing; the event is FailedMount."""
    cluster.event("no-volume", "FailedMount", 'secret "nowhere" not found')
    cluster.pod("no-volume", waiting("ContainerCreating"))


def test_empty_dir(cluster: Cluster) -> None:
    """All containers of a pod share an emptyDir at their own paths, and it survives container crashes."""
    cluster.pod("crashes", restarted(1))
    assert cluster.kubectl("exec", "crashes", "--container=other", "--", "ls", "/elsewhere") == "was\n"
    cluster.pod("crashes", ready)


def test_empty_dir_in_memory(cluster: Cluster) -> None:
    """An emptyDir of the medium Memory is a tmpfs, as large as its sizeLimit."""
    assert cluster.log("memory") == "tmpfs\nfull\n"


def test_host_path(cluster: Cluster, folder: Path) -> None:
    """A hostPath volume mounts a folder of the node; with readOnly it is not writable."""
    assert cluster.log("host-path").endswith("read-only\n")
    assert (folder / "out").read_text() == "from the machine"


def test_host_path_of_a_type(cluster: Cluster) -> None:
    """For the type Directory, a directory must exist at the path."""
    cluster.event("no-host-path", "FailedMount", "hostPath type check failed")


def test_claim(cluster: Cluster) -> None:
    """The volume of a PersistentVolumeClaim outlives the pod, and a later pod reads its data."""
    cluster.log("writes-claim")
    cluster.kubectl("delete", "pod", "writes-claim")
    reader = pod(
        "reads-claim",
        shell("cat /v/word", volumeMounts=[mount("v", "/v", readOnly=True)]),
        volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "claim"}}],
        restartPolicy="Never",
    )
    cluster.create(reader)
    assert cluster.log("reads-claim") == "from the first\n"


def test_generic_ephemeral_volume(cluster: Cluster) -> None:
    """A generic ephemeral volume is a claim named after pod and volume, and is deleted with the pod."""
    assert cluster.log("ephemeral") == "word\n"
    claim = cluster.get("persistentvolumeclaim", "ephemeral-v")
    assert [owner["name"] for owner in claim["metadata"]["ownerReferences"]] == ["ephemeral"]
    cluster.kubectl("delete", "pod", "ephemeral")
    eventually(
        lambda: "NotFound" in cluster.run("get", "persistentvolumeclaim", "ephemeral-v").stderr, "the claim is deleted"
    )


def test_downward_api_files(cluster: Cluster) -> None:
    """A downwardAPI volume exposes fields and resources of the pod as files."""
    assert cluster.log("downward") == 'app="downward"0'


# -- what takes longest comes last ------------------------------------------------------------------------------------


def test_changed_map(cluster: Cluster) -> None:
    """When a mounted ConfigMap is updated, its files are eventually updated as well."""
    eventually(
        lambda: cluster.run("exec", "changing", "--", "cat", "/etc/word/word").stdout == "new", "the new content"
    )
