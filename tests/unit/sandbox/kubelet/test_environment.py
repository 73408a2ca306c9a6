"""Environment, command and downward API: https://kubernetes.io/docs/tasks/inject-data-application/."""

import asyncio
import base64
from typing import Any

import pytest

from loadgen.sandbox.kubelet.container.environment import (
    ContainerConfigError,
    EnvironmentSources,
    command,
    environment,
    expand,
    service_variables,
)
from loadgen.sandbox.kubelet.container.images import Image
from loadgen.sandbox.kubelet.downward_api import FieldError, Placement, divided, field_value, resource_value

PLACEMENT = Placement(node_ip="172.30.0.11", pod_ip="10.244.1.5", allocatable={"cpu": "8", "memory": "16Gi"})
IMAGE = Image(
    match="x", entrypoint=("serve", "--fast"), cmd=("default",), env={"FROM": "image", "A": "image"}, path=("/opt",)
)
LIMITED = {"name": "c", "resources": {"limits": {"memory": "1536Mi"}, "requests": {"cpu": "250m"}}}
POD: dict[str, Any] = {
    "metadata": {
        "name": "p",
        "namespace": "n",
        "uid": "u",
        "labels": {"b": "2", "a": "1"},
        "annotations": {"build/number": "7"},
    },
    "spec": {"nodeName": "node-0", "serviceAccountName": "runner", "containers": [LIMITED]},
}
OBJECTS: dict[tuple[str, str], dict[str, Any]] = {
    ("configmaps", "settings"): {"data": {"mode": "fast", "A": "settings"}},
    ("secrets", "key"): {"data": {"token": base64.b64encode(b"hush").decode()}},
}


def variables(env: list[dict[str, Any]] | None = None, **container: Any) -> dict[str, str]:
    async def lookup(kind: str, name: str) -> dict[str, Any] | None:
        return OBJECTS.get((kind, name))

    sources = EnvironmentSources(pod=POD, placement=PLACEMENT, hostname="p", services={"SVC_PORT": "80"}, lookup=lookup)
    return asyncio.run(environment({"name": "c", "env": env or [], **container}, IMAGE, sources))


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)-$(B)", "1-2"),
        ("$(A)$(A)", "11"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(C)", "$(C)"),
        ("$A ${A} $", "$A ${A} $"),
    ],
)
def test_expansion(text: str, expanded: str) -> None:
    """$(NAME) is replaced by the variable's value, $$(NAME) escapes it, and unknown names stay unchanged."""
    assert expand(text, {"A": "1"}, {"A": "9", "B": "2"}) == expanded


def test_variables_refer_to_earlier_ones_only() -> None:
    """A variable may refer to variables declared before it and to those of Services."""
    env = [{"name": "X", "value": "$(Y)"}, {"name": "Y", "value": "y"}, {"name": "Z", "value": "$(Y):$(SVC_PORT)"}]
    found = variables(env)
    assert (found["X"], found["Z"]) == ("$(Y)", "y:80")


@pytest.mark.parametrize("empty", [{"value": ""}, {}])
def test_empty_value(empty: dict[str, str]) -> None:
    """An empty or missing value sets the variable to the empty string, which overrides envFrom and the image."""
    found = variables(
        [{"name": "A", **empty}, {"name": "B", "value": "<$(A)>"}], envFrom=[{"configMapRef": {"name": "settings"}}]
    )
    assert (found["A"], found["B"]) == ("", "<>")


def test_env_overrides_env_from_and_the_image() -> None:
    """env takes precedence over envFrom, and envFrom over the image."""
    source = [{"configMapRef": {"name": "settings"}}]
    assert variables(envFrom=source)["A"] == "settings"
    assert variables([{"name": "A", "value": "own"}], envFrom=source)["A"] == "own"
    assert variables()["A"] == "image"


def test_env_from_with_prefix() -> None:
    """Every key becomes a variable with the prefix before its name."""
    found = variables(
        envFrom=[{"prefix": "CFG_", "configMapRef": {"name": "settings"}}, {"secretRef": {"name": "key"}}]
    )
    assert (found["CFG_mode"], found["token"]) == ("fast", "hush")


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ({"configMapKeyRef": {"name": "settings", "key": "mode"}}, "fast"),
        ({"secretKeyRef": {"name": "key", "key": "token"}}, "hush"),
        ({"fieldRef": {"fieldPath": "status.podIP"}}, "10.244.1.5"),
        ({"resourceFieldRef": {"resource": "limits.cpu"}}, "8"),
    ],
)
def test_value_from(source: dict[str, Any], value: str) -> None:
    """A value may come from a key of a ConfigMap or Secret, a field of the pod or a resource of the container."""
    assert variables([{"name": "V", "valueFrom": source}])["V"] == value


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ({"configMapKeyRef": {"name": "nope", "key": "a"}}, 'configmap "nope" not found'),
        ({"secretKeyRef": {"name": "nope", "key": "a"}}, 'secret "nope" not found'),
        ({"configMapKeyRef": {"name": "settings", "key": "a"}}, "couldn't find key a in ConfigMap n/settings"),
        ({"fieldRef": {"fieldPath": "spec.nope"}}, "unsupported fieldPath: spec.nope"),
    ],
)
def test_missing_source(source: dict[str, Any], sentence: str) -> None:
    """A container whose variable has a missing source cannot be created (CreateContainerConfigError)."""
    with pytest.raises(ContainerConfigError, match=f"^{sentence}$"):
        variables([{"name": "V", "valueFrom": source}])


@pytest.mark.parametrize("reference", [{"name": "nope", "key": "a"}, {"name": "settings", "key": "nope"}])
def test_optional_source(reference: dict[str, Any]) -> None:
    """A missing optional source omits the variable."""
    assert "V" not in variables([{"name": "V", "valueFrom": {"configMapKeyRef": {**reference, "optional": True}}}])


def test_path_begins_with_the_image() -> None:
    """PATH begins with the folders of the image table."""
    assert variables()["PATH"].startswith("/opt:/usr/local/sbin:")


@pytest.mark.parametrize(
    ("container", "argv"),
    [
        ({}, ["serve", "--fast", "default"]),
        ({"args": ["x"]}, ["serve", "--fast", "x"]),
        ({"command": ["other"]}, ["other"]),
        ({"command": ["other"], "args": ["$(A)"]}, ["other", "1"]),
    ],
)
def test_command_and_args(container: dict[str, Any], argv: list[str]) -> None:
    """command replaces entrypoint and cmd of the image, args alone only the cmd; variables are expanded in both."""
    assert command(container, IMAGE, {"A": "1"}) == argv


def test_no_command() -> None:
    """A container without a command cannot be created if its image has none either."""
    with pytest.raises(ContainerConfigError, match="no command specified"):
        command({}, Image(match="x"), {})


def service(name: str, namespace: str, ip: str, *ports: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": ip, "ports": list(ports)}}


SERVICES = [
    service("kubernetes", "default", "10.96.0.1", {"name": "https", "port": 443, "protocol": "TCP"}),
    service("web-app", "n", "10.96.0.7", {"port": 80}),
    service("headless", "n", "None", {"port": 80}),
    service("other", "m", "10.96.0.8", {"port": 80}),
]


def test_service_variables() -> None:
    """Services of the pod's namespace with an address define {NAME}_SERVICE_HOST, _SERVICE_PORT and Docker's links."""
    found = service_variables(SERVICES, "n", links=True)
    assert found["WEB_APP_SERVICE_HOST"] == "10.96.0.7"
    assert found["WEB_APP_SERVICE_PORT"] == "80"
    assert found["WEB_APP_PORT_80_TCP_ADDR"] == "10.96.0.7"
    assert found["WEB_APP_PORT"] == found["WEB_APP_PORT_80_TCP"] == "tcp://10.96.0.7:80"
    assert not any(name.startswith(("HEADLESS", "OTHER")) for name in found)


def test_api_server_variables_are_always_set() -> None:
    """enableServiceLinks: false omits all variables of Services except KUBERNETES_SERVICE_HOST and _PORT."""
    found = service_variables(SERVICES, "n", links=False)
    assert (found["KUBERNETES_SERVICE_HOST"], found["KUBERNETES_SERVICE_PORT_HTTPS"]) == ("10.96.0.1", "443")
    assert not any(name.startswith("WEB_APP") for name in found)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "p"),
        ("metadata.namespace", "n"),
        ("metadata.uid", "u"),
        ("metadata.labels['a']", "1"),
        ("metadata.labels['none']", ""),
        ("metadata.annotations['build/number']", "7"),
        ("metadata.labels", 'a="1"\nb="2"'),
        ("spec.nodeName", "node-0"),
        ("spec.serviceAccountName", "runner"),
        ("status.hostIP", "172.30.0.11"),
        ("status.podIPs", "10.244.1.5"),
    ],
)
def test_fields_of_the_downward_api(path: str, value: str) -> None:
    """All documented fields of the downward API are supported."""
    assert field_value(POD, path, PLACEMENT) == value


@pytest.mark.parametrize(
    ("reference", "value"),
    [
        ({"resource": "limits.memory", "divisor": "1Mi"}, "1536"),
        ({"resource": "limits.memory", "divisor": "1Gi"}, "2"),
        ({"resource": "limits.memory"}, str(1536 * 2**20)),
        ({"resource": "limits.cpu"}, "8"),
        ({"resource": "requests.cpu"}, "1"),
        ({"resource": "requests.cpu", "divisor": "1m"}, "250"),
        ({"resource": "requests.memory"}, "0"),
        ({"resource": "limits.memory", "containerName": "c", "divisor": "0"}, str(1536 * 2**20)),
    ],
)
def test_resources_of_the_downward_api(reference: dict[str, str], value: str) -> None:
    """Resources are divided by the divisor and rounded up; a missing limit is the node's allocatable amount."""
    assert resource_value(POD, reference, LIMITED, PLACEMENT) == value


def test_unknown_container_of_a_resource() -> None:
    """A reference to an unknown container is an error."""
    with pytest.raises(FieldError, match="container z not found"):
        resource_value(POD, {"resource": "limits.cpu", "containerName": "z"}, LIMITED, PLACEMENT)


@pytest.mark.parametrize(
    ("quantity", "divisor", "shown"),
    [
        ("100m", "1", "1"),
        ("100u", "1m", "1"),
        ("1e3", "1", "1000"),
        ("4Ki", "1k", "5"),
        ("2Ki", "1Ki", "2"),
        ("3", "0", "3"),
    ],
)
def test_division_rounds_up(quantity: str, divisor: str, shown: str) -> None:
    """100m of a CPU in whole CPUs is 1; 4096 bytes in units of 1000 are 5."""
    assert divided(quantity, divisor) == shown
