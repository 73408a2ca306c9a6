"""Environment, arguments, volumes and host names of containers, checked against the Kubernetes documentation.

Needs the sandbox's build; takes about two minutes.
"""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from support.kube.cluster import (
    FOREVER,
    PYTHON,
    Cluster,
    Json,
    container,
    eventually,
    mount,
    pod,
    ready,
    restarted,
    shell,
    waiting,
)

pytestmark = pytest.mark.timeout(240)


def variable(name: str, value: str) -> Json:
    """Return a variable with a value."""
    return {"name": name, "value": value}


def variable_from(name: str, kind: str, /, **source: Any) -> Json:
    """Return a variable with a `valueFrom`."""
    return {"name": name, "valueFrom": {kind: source}}


def data_of(kind: str, name: str, /, **data: str) -> Json:
    """Return a ConfigMap or Secret."""
    field = "stringData" if kind == "Secret" else "data"
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, field: data}


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
        "kind": "Service",
        "metadata": {"name": "my-service"},
        "spec": {"ports": [{"name": "http", "port": 8000}]},
    },
    {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "claim"},
        "spec": CLAIM,
    },
]

VARIABLES = container(
    "env",
    resources={"limits": {"cpu": "2", "memory": "128Mi"}},
    envFrom=[
        {"configMapRef": {"name": "settings"}},
        {"prefix": "SECRET_", "secretRef": {"name": "hidden"}},
        {"configMapRef": {"name": "nowhere", "optional": True}},
    ],
    env=[
        variable("LITERAL", "as it is"),
        variable("EMPTY", ""),
        {"name": "WITHOUT"},
        variable("size", "overridden"),
        variable("EXPANDED", "<$(LITERAL)> <$(colour)>"),
        variable("EXPANDED_EMPTY", "<$(EMPTY)>"),
        variable("ESCAPED", "$$(LITERAL)"),
        variable("UNKNOWN", "$(NO_SUCH)"),
        variable("TOO_EARLY", "$(LATER)"),
        variable("LATER", "later"),
        variable_from("NAME", "fieldRef", fieldPath="metadata.name"),
        variable_from("POD_IP", "fieldRef", fieldPath="status.podIP"),
        variable_from("HOST_IP", "fieldRef", fieldPath="status.hostIP"),
        variable_from("NODE", "fieldRef", fieldPath="spec.nodeName"),
        variable_from("LABEL", "fieldRef", fieldPath="metadata.labels['app']"),
        variable_from("LIMIT_MIB", "resourceFieldRef", resource="limits.memory", divisor="1Mi"),
        variable_from("PASSWORD", "secretKeyRef", name="hidden", key="password"),
        variable_from("COLOUR", "configMapKeyRef", name="settings", key="colour"),
        variable_from("NO_KEY", "configMapKeyRef", name="settings", key="none", optional=True),
        variable_from("NO_SECRET", "secretKeyRef", name="nowhere", key="none", optional=True),
    ],
)

WHO_AM_I = """
import json, os, ssl, urllib.request
folder = "/var/run/secrets/kubernetes.io/serviceaccount/"
url = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
request = urllib.request.Request(
    url + "/apis/authentication.k8s.io/v1/selfsubjectreviews",
    data=b'{"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}',
    headers={"Authorization": "Bearer " + open(folder + "token").read(), "Content-Type": "application/json"},
)
context = ssl.create_default_context(cafile=folder + "ca.crt")
print(json.load(urllib.request.urlopen(request, context=context, timeout=20))["status"]["userInfo"]["username"])
print(open(folder + "namespace").read())
"""


def pods(folder: Path) -> list[Json]:
    """Return all pods; the folder is on the machine."""
    never: Json = {"restartPolicy": "Never"}
    return [
        pod("variables", VARIABLES, **never),
        pod(
            "arguments",
            container("echo", env=[variable("WHO", "me")], args=["$(WHO)", "$$(WHO)", "$(NOBODY)"]),
            **never,
        ),
        pod("no-map", shell(FOREVER, env=[variable_from("V", "configMapKeyRef", name="comes-later", key="word")])),
        pod("no-key", shell("exit 0", env=[variable_from("V", "secretKeyRef", name="hidden", key="none")])),
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
        pod("account", container(PYTHON, "-c", WHO_AM_I), **never),
        pod("no-account", shell("ls /var/run/secrets/kubernetes.io"), automountServiceAccountToken=False, **never),
        pod(
            "token",
            shell("cat /tokens/vault", volumeMounts=[mount("tokens", "/tokens")]),
            volumes=[
                {
                    "name": "tokens",
                    "projected": {
                        "sources": [
                            {
                                "serviceAccountToken": {
                                    "path": "vault",
                                    "audience": "vault.example",
                                    "expirationSeconds": 600,
                                }
                            }
                        ]
                    },
                }
            ],
            **never,
        ),
        pod(
            "names",
            shell("hostname; cat /etc/hosts; cat /etc/resolv.conf"),
            hostAliases=[{"ip": "192.0.2.1", "hostnames": ["far.example", "away.example"]}],
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


@pytest.fixture(scope="module")
def variables(cluster: Cluster) -> dict[str, str]:
    """Return the output of `env` in the container with many variables."""
    return dict(line.split("=", 1) for line in cluster.log("variables").splitlines())


# -- environment ------------------------------------------------------------------------------------------------------


def test_values(variables: dict[str, str]) -> None:
    """A variable has its value, which may be empty; without a value it is empty."""
    assert variables["LITERAL"] == "as it is"
    assert variables["EMPTY"] == ""
    assert variables["WITHOUT"] == ""


def test_references_are_expanded(variables: dict[str, str]) -> None:
    """$(VAR) is replaced by the value of an earlier variable; unresolved references stay, $$(VAR) becomes $(VAR)."""
    assert variables["EXPANDED"] == "<as it is> <red>"
    assert variables["EXPANDED_EMPTY"] == "<>"
    assert variables["ESCAPED"] == "$(LITERAL)"
    assert variables["UNKNOWN"] == "$(NO_SUCH)"
    assert variables["TOO_EARLY"] == "$(LATER)"


def test_fields(cluster: Cluster, variables: dict[str, str]) -> None:
    """The downward API exposes name, node, addresses and labels of the pod, and resources of the container."""
    last = cluster.get("pod", "variables")
    assert variables["NAME"] == variables["LABEL"] == "variables"
    assert variables["NODE"] == last["spec"]["nodeName"]
    assert variables["HOST_IP"] == last["status"]["hostIP"]
    assert variables["POD_IP"] == last["status"]["podIP"]
    assert variables["LIMIT_MIB"] == "128"


def test_keys(variables: dict[str, str]) -> None:
    """A variable may come from a key of a ConfigMap or Secret; a missing optional key omits the variable."""
    assert variables["PASSWORD"] == "open sesame"
    assert variables["COLOUR"] == "red"
    assert "NO_KEY" not in variables
    assert "NO_SECRET" not in variables


def test_env_from(variables: dict[str, str]) -> None:
    """envFrom sets every key, with its prefix; a variable of the same name in env takes precedence."""
    assert variables["colour"] == "red"
    assert variables["size"] == "overridden"
    assert variables["SECRET_password"] == "open sesame"


def test_services(cluster: Cluster, variables: dict[str, str]) -> None:
    """A pod has variables for each Service that existed before it: {NAME}_SERVICE_HOST and _PORT."""
    address = cluster.get("service", "my-service")["spec"]["clusterIP"]
    assert variables["MY_SERVICE_SERVICE_HOST"] == address
    assert variables["MY_SERVICE_SERVICE_PORT"] == variables["MY_SERVICE_SERVICE_PORT_HTTP"] == "8000"
    assert variables["MY_SERVICE_PORT"] == f"tcp://{address}:8000"


def test_arguments_are_expanded(cluster: Cluster) -> None:
    """$(VAR) in command and args is replaced by the container's environment."""
    assert cluster.log("arguments") == "me $(WHO) $(NOBODY)\n"


def test_missing_map(cluster: Cluster) -> None:
    """The container waits with CreateContainerConfigError until a missing ConfigMap exists."""
    cluster.pod("no-map", waiting("CreateContainerConfigError"))
    cluster.event("no-map", "Failed", 'configmap "comes-later" not found')
    cluster.create(data_of("ConfigMap", "comes-later", word="late"))
    cluster.pod("no-map", ready)
    assert cluster.kubectl("exec", "no-map", "--", "printenv", "V") == "late\n"


def test_missing_key(cluster: Cluster) -> None:
    """The container waits with CreateContainerConfigError while a key is missing."""
    cluster.pod("no-key", waiting("CreateContainerConfigError"))
    cluster.event("no-key", "Failed", f"couldn't find key none in Secret {cluster.namespace}/hidden")


# -- volumes ----------------------------------------------------------------------------------------------------------


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


# -- service accounts -------------------------------------------------------------------------------------------------


def test_token_authenticates(cluster: Cluster) -> None:
    """The mounted token authenticates as the pod's ServiceAccount; its folder has the CA certificate and namespace."""
    assert cluster.log("account").split() == [f"system:serviceaccount:{cluster.namespace}:default", cluster.namespace]


def test_no_token(cluster: Cluster) -> None:
    """With automountServiceAccountToken: false no token is mounted."""
    assert "No such file or directory" in cluster.log("no-account")


def test_projected_token(cluster: Cluster) -> None:
    """A projected token is bound to its pod, with the specified audience and lifetime."""
    part = cluster.log("token").split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    assert claims["aud"] == ["vault.example"]
    assert claims["exp"] - claims["iat"] == 600
    assert claims["kubernetes.io"]["pod"]["uid"] == cluster.get("pod", "token")["metadata"]["uid"]


# -- names ------------------------------------------------------------------------------------------------------------


def test_names(cluster: Cluster) -> None:
    """The host name is the pod's name; /etc/hosts has it and the hostAliases; resolv.conf has the cluster's DNS."""
    log = cluster.log("names")
    assert log.startswith("names\n")
    assert f"{cluster.get('pod', 'names')['status']['podIP']}\tnames\n" in log
    assert "192.0.2.1\tfar.example\taway.example\n" in log
    namespace = cluster.namespace
    assert f"nameserver 10.96.0.10\nsearch {namespace}.svc.cluster.local svc.cluster.local cluster.local" in log
    assert log.endswith("options ndots:5\n")


# -- what takes longest comes last ------------------------------------------------------------------------------------


def test_changed_map(cluster: Cluster) -> None:
    """When a mounted ConfigMap is updated, its files are eventually updated as well."""
    eventually(
        lambda: cluster.run("exec", "changing", "--", "cat", "/etc/word/word").stdout == "new", "the new content"
    )
