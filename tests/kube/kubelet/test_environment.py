"""What a container gets beside its volumes: environment, arguments, service account and names.

Checked against the Kubernetes documentation. Needs the sandbox's build; takes about a minute.
"""

import base64
import json
from typing import Any

import pytest

from support.kube.cluster import (
    FOREVER,
    PYTHON,
    Cluster,
    Json,
    container,
    data_of,
    mount,
    pod,
    ready,
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


DATA = [
    data_of("ConfigMap", "settings", colour="red", size="large"),
    data_of("Secret", "hidden", password="open sesame"),
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "my-service"},
        "spec": {"ports": [{"name": "http", "port": 8000}]},
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

NEVER: Json = {"restartPolicy": "Never"}
PODS = [
    pod("variables", VARIABLES, **NEVER),
    pod(
        "arguments",
        container("echo", env=[variable("WHO", "me")], args=["$(WHO)", "$$(WHO)", "$(NOBODY)"]),
        **NEVER,
    ),
    pod("no-map", shell(FOREVER, env=[variable_from("V", "configMapKeyRef", name="comes-later", key="word")])),
    pod("no-key", shell("exit 0", env=[variable_from("V", "secretKeyRef", name="hidden", key="none")])),
    pod("account", container(PYTHON, "-c", WHO_AM_I), **NEVER),
    pod("no-account", shell("ls /var/run/secrets/kubernetes.io"), automountServiceAccountToken=False, **NEVER),
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
        **NEVER,
    ),
    pod(
        "names",
        shell("hostname; cat /etc/hosts; cat /etc/resolv.conf"),
        hostAliases=[{"ip": "192.0.2.1", "hostnames": ["far.example", "away.example"]}],
        **NEVER,
    ),
]


@pytest.fixture(scope="module", autouse=True)
def _pods(cluster: Cluster) -> None:
    cluster.create(*DATA, *PODS)


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
