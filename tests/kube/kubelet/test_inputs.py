"""What a container is given: environment, arguments, volumes, names, held against the Kubernetes documentation."""

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
    waits,
)

pytestmark = pytest.mark.timeout(240)


def variable(name: str, value: str) -> Json:
    """A variable with a value."""
    return {"name": name, "value": value}


def variable_from(name: str, kind: str, /, **source: Any) -> Json:
    """A variable whose value is found elsewhere."""
    return {"name": name, "valueFrom": {kind: source}}


def data_of(kind: str, name: str, /, **data: str) -> Json:
    """A ConfigMap or Secret."""
    field = "stringData" if kind == "Secret" else "data"
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, field: data}


def persistent(name: str, folder: Path) -> Json:
    """A PersistentVolume of the class `by-hand`."""
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
asked = urllib.request.Request(
    url + "/apis/authentication.k8s.io/v1/selfsubjectreviews",
    data=b'{"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}',
    headers={"Authorization": "Bearer " + open(folder + "token").read(), "Content-Type": "application/json"},
)
context = ssl.create_default_context(cafile=folder + "ca.crt")
print(json.load(urllib.request.urlopen(asked, context=context, timeout=20))["status"]["userInfo"]["username"])
print(open(folder + "namespace").read())
"""


def pods(folder: Path) -> list[Json]:
    """All pods; the folder is one of the machine."""
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
    """A folder of the machine; all pods are made with it."""
    made = tmp_path_factory.mktemp("machine")
    (made / "in").write_text("from the machine")
    cluster.create(*DATA, persistent("first", made), persistent("second", made), *pods(made))
    cluster.pod("changing", ready)
    cluster.kubectl("patch", "configmap", "changing", '--patch={"data":{"word":"new"}}')
    return made


@pytest.fixture(scope="module")
def variables(cluster: Cluster) -> dict[str, str]:
    """What `env` prints in the container with many variables."""
    return dict(line.split("=", 1) for line in cluster.log("variables").splitlines())


# -- environment ------------------------------------------------------------------------------------------------------


def test_values(variables: dict[str, str]) -> None:
    """A variable has the value that its container states, an empty one too; without a value it is empty."""
    assert variables["LITERAL"] == "as it is"
    assert variables["EMPTY"] == ""
    assert variables["WITHOUT"] == ""


def test_references_are_expanded(variables: dict[str, str]) -> None:
    """$(VAR) is replaced by the value of a variable defined before; unresolved ones stay, $$(VAR) is $(VAR)."""
    assert variables["EXPANDED"] == "<as it is> <red>"
    assert variables["EXPANDED_EMPTY"] == "<>"
    assert variables["ESCAPED"] == "$(LITERAL)"
    assert variables["UNKNOWN"] == "$(NO_SUCH)"
    assert variables["TOO_EARLY"] == "$(LATER)"


def test_fields(cluster: Cluster, variables: dict[str, str]) -> None:
    """The downward API gives a container name, node, addresses and labels of its pod, and its resources."""
    seen = cluster.get("pod", "variables")
    assert variables["NAME"] == variables["LABEL"] == "variables"
    assert variables["NODE"] == seen["spec"]["nodeName"]
    assert variables["HOST_IP"] == seen["status"]["hostIP"]
    assert variables["POD_IP"] == seen["status"]["podIP"]
    assert variables["LIMIT_MIB"] == "128"


def test_keys(variables: dict[str, str]) -> None:
    """A variable may be one key of a ConfigMap or Secret; an optional one that is missing leaves it out."""
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
    """A pod is given variables for each Service that existed before it: {NAME}_SERVICE_HOST and _PORT."""
    address = cluster.get("service", "my-service")["spec"]["clusterIP"]
    assert variables["MY_SERVICE_SERVICE_HOST"] == address
    assert variables["MY_SERVICE_SERVICE_PORT"] == variables["MY_SERVICE_SERVICE_PORT_HTTP"] == "8000"
    assert variables["MY_SERVICE_PORT"] == f"tcp://{address}:8000"


def test_arguments_are_expanded(cluster: Cluster) -> None:
    """$(VAR) in command and args is replaced by the container's environment."""
    assert cluster.log("arguments") == "me $(WHO) $(NOBODY)\n"


def test_missing_map(cluster: Cluster) -> None:
    """A missing ConfigMap keeps the container from starting, CreateContainerConfigError, until it is there."""
    cluster.pod("no-map", waits("CreateContainerConfigError"))
    cluster.event("no-map", "Failed", 'configmap "comes-later" not found')
    cluster.create(data_of("ConfigMap", "comes-later", word="late"))
    cluster.pod("no-map", ready)
    assert cluster.kubectl("exec", "no-map", "--", "printenv", "V") == "late\n"


def test_missing_key(cluster: Cluster) -> None:
    """A missing key keeps the container from starting as well."""
    cluster.pod("no-key", waits("CreateContainerConfigError"))
    cluster.event("no-key", "Failed", f"couldn't find key none in Secret {cluster.namespace}/hidden")


# -- volumes ----------------------------------------------------------------------------------------------------------


def test_files_of_maps_and_secrets(cluster: Cluster) -> None:
    """Every key is a file, or those that items pick at their paths, with the default mode 0644; they are read-only.

    Beside the names are the folder with a date and `..data`, through which all names lead.
    """
    said = cluster.log("files")
    assert said.startswith("redlarge644\nrednested\nopen sesame\n400\n")
    assert said.endswith("read-only\n")
    dated = r"\.\.\d{4}(_\d\d){5}\.\w+"
    listed = rf"{dated}\n\.\.data\nnested\n{dated}\n\.\.data\npassword\n\.\.data/nested\n\.\.data/password\n"
    assert re.search(rf"^400\n{listed}", said, re.MULTILINE), said


def test_sub_path(cluster: Cluster) -> None:
    """With subPath one file of a volume is mounted at a path."""
    assert cluster.log("one-file") == "largesize\n"


def test_missing_volume_source(cluster: Cluster) -> None:
    """A volume whose Secret is missing keeps the pod in ContainerCreating, told by FailedMount."""
    cluster.event("no-volume", "FailedMount", 'secret "nowhere" not found')
    cluster.pod("no-volume", waits("ContainerCreating"))


def test_empty_dir(cluster: Cluster) -> None:
    """All containers of a pod share an emptyDir, at their own paths, and it survives a crash of a container."""
    cluster.pod("crashes", restarted(1))
    assert cluster.kubectl("exec", "crashes", "--container=other", "--", "ls", "/elsewhere") == "was\n"
    cluster.pod("crashes", ready)


def test_empty_dir_in_memory(cluster: Cluster) -> None:
    """An emptyDir of the medium Memory is a tmpfs, as large as its sizeLimit."""
    assert cluster.log("memory") == "tmpfs\nfull\n"


def test_host_path(cluster: Cluster, folder: Path) -> None:
    """A hostPath volume mounts a folder of the node; with readOnly nothing can be written."""
    assert cluster.log("host-path").endswith("read-only\n")
    assert (folder / "out").read_text() == "from the machine"


def test_host_path_of_a_type(cluster: Cluster) -> None:
    """A directory must exist at the given path for the type Directory."""
    cluster.event("no-host-path", "FailedMount", "hostPath type check failed")


def test_claim(cluster: Cluster) -> None:
    """A PersistentVolumeClaim is bound to a volume that outlives the pod, and a later pod finds its data there."""
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
    """A generic ephemeral volume is a claim named after pod and volume, owned by the pod, and gone with it."""
    assert cluster.log("ephemeral") == "word\n"
    claim = cluster.get("persistentvolumeclaim", "ephemeral-v")
    assert [owner["name"] for owner in claim["metadata"]["ownerReferences"]] == ["ephemeral"]
    cluster.kubectl("delete", "pod", "ephemeral")
    eventually(
        lambda: "NotFound" in cluster.run("get", "persistentvolumeclaim", "ephemeral-v").stderr, "the claim goes"
    )


def test_downward_api_files(cluster: Cluster) -> None:
    """A downwardAPI volume has fields and resources of the pod as files."""
    assert cluster.log("downward") == 'app="downward"0'


# -- service accounts -------------------------------------------------------------------------------------------------


def test_token_authenticates(cluster: Cluster) -> None:
    """The mounted token lets a pod access the API as its ServiceAccount; its folder has authority and namespace."""
    assert cluster.log("account").split() == [f"system:serviceaccount:{cluster.namespace}:default", cluster.namespace]


def test_no_token(cluster: Cluster) -> None:
    """With automountServiceAccountToken: false there is no token."""
    assert "No such file or directory" in cluster.log("no-account")


def test_projected_token(cluster: Cluster) -> None:
    """A projected token is bound to its pod, and has the audience and the lifetime that are asked for."""
    part = cluster.log("token").split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    assert claims["aud"] == ["vault.example"]
    assert claims["exp"] - claims["iat"] == 600
    assert claims["kubernetes.io"]["pod"]["uid"] == cluster.get("pod", "token")["metadata"]["uid"]


# -- names ------------------------------------------------------------------------------------------------------------


def test_names(cluster: Cluster) -> None:
    """A pod's host name is its name, /etc/hosts has it and the hostAliases, resolv.conf asks the cluster's DNS."""
    said = cluster.log("names")
    assert said.startswith("names\n")
    assert f"{cluster.get('pod', 'names')['status']['podIP']}\tnames\n" in said
    assert "192.0.2.1\tfar.example\taway.example\n" in said
    space = cluster.namespace
    assert f"nameserver 10.96.0.10\nsearch {space}.svc.cluster.local svc.cluster.local cluster.local" in said
    assert said.endswith("options ndots:5\n")


# -- what takes longest comes last ------------------------------------------------------------------------------------


def test_changed_map(cluster: Cluster) -> None:
    """When a ConfigMap that is mounted is updated, its files are eventually updated as well."""
    eventually(
        lambda: cluster.run("exec", "changing", "--", "cat", "/etc/word/word").stdout == "new", "the new word", 120
    )
