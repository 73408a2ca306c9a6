"""A container's environment and command, as its pod spells them."""

import base64
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from loadgen.sandbox.kubelet.container.images import Image
from loadgen.sandbox.kubelet.downward_api import FieldError, Place, field_value, resource_value
from loadgen.sandbox.kubelet.meta import Json

_REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Lookup = Callable[[str, str], Awaitable[Json | None]]
"""Finds a `configmaps` or `secrets` object of the pod's namespace by name; None when there is none."""


class EnvironmentFault(ValueError):
    """The environment refers to something that is not there; the container waits with this sentence."""


def expand(text: str, *known: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by its value from the first mapping that has it; `$$` is a dollar, unknown names stay."""

    def replaced(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        return next((each[found[1]] for each in known if found[1] in each), found[0])

    return _REFERENCE.sub(replaced, text)


def service_variables(services: Iterable[Json], namespace: str, *, links: bool) -> dict[str, str]:
    """Variables about Services: the API server's always, with links those of the pod's namespace too."""
    variables: dict[str, str] = {}
    for service in services:
        meta, spec = service["metadata"], service["spec"]
        of_api = meta["namespace"] == "default" and meta["name"] == "kubernetes"
        if spec.get("clusterIP") in (None, "", "None") or not (of_api or (links and meta["namespace"] == namespace)):
            continue
        prefix, address = meta["name"].upper().replace("-", "_"), spec["clusterIP"]
        ports = spec["ports"]
        variables[f"{prefix}_SERVICE_HOST"] = address
        variables[f"{prefix}_SERVICE_PORT"] = str(ports[0]["port"])
        for index, port in enumerate(ports):
            protocol = port.get("protocol", "TCP")
            url = f"{protocol.lower()}://{address}:{port['port']}"
            if port.get("name"):
                variables[f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
            if index == 0:
                variables[f"{prefix}_PORT"] = url
            one = f"{prefix}_PORT_{port['port']}_{protocol}"
            variables |= {one: url, f"{one}_PROTO": protocol.lower(), f"{one}_PORT": str(port["port"])}
            variables[f"{one}_ADDR"] = address
    return variables


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a container's environment is made of besides the container.

    Attributes:
        pod: The pod.
        place: Where it runs.
        hostname: Its host name.
        services: Variables about Services.
        lookup: Finds ConfigMaps and Secrets.
    """

    pod: Json
    place: Place
    hostname: str
    services: Mapping[str, str]
    lookup: Lookup


async def environment(container: Json, image: Image, scene: Scene) -> dict[str, str]:
    """All variables of a container: the image's, those of Services, `envFrom`, then `env`, the later ones winning.

    Raises:
        EnvironmentFault: a ConfigMap, Secret, key or field that is not optional is missing.
    """
    declared: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        for kind, field in (("configmaps", "configMapRef"), ("secrets", "secretRef")):
            if source.get(field):
                data = await _data(kind, source[field], scene)
                declared |= {f"{source.get('prefix', '')}{key}": value for key, value in data.items()}
    for variable in container.get("env") or []:
        if variable.get("value"):
            declared[variable["name"]] = expand(variable["value"], declared, scene.services)
        else:
            value = await _referred(variable.get("valueFrom") or {}, container, scene)
            if value is not None:
                declared[variable["name"]] = value
    path = ":".join([*image.path, _PATH])
    return {"PATH": path, "HOSTNAME": scene.hostname, "HOME": "/root", **image.env, **scene.services, **declared}


def command(container: Json, image: Image, variables: Mapping[str, str]) -> list[str]:
    """Program and arguments: the container's command replaces entrypoint and cmd, its args alone only the cmd.

    Raises:
        EnvironmentFault: neither container nor image says what to run.
    """
    own = [expand(part, variables) for part in container.get("command") or []]
    arguments = [expand(part, variables) for part in container.get("args") or []]
    argv = [*own, *arguments] if own else [*image.entrypoint, *(arguments or image.cmd)]
    if not argv:
        raise EnvironmentFault("no command specified")
    return [image.programs.get(argv[0], argv[0]), *argv[1:]]


def text_of(kind: str, data: Json) -> dict[str, str]:
    """The text entries of a ConfigMap or Secret."""
    entries = data.get("data") or {}
    if kind == "configmaps":
        return dict(entries)
    return {key: base64.b64decode(value).decode(errors="surrogateescape") for key, value in entries.items()}


async def _data(kind: str, reference: Json, scene: Scene) -> dict[str, str]:
    found = await scene.lookup(kind, reference["name"])
    if found is None:
        if reference.get("optional"):
            return {}
        raise EnvironmentFault(f'{kind[:-1]} "{reference["name"]}" not found')
    return text_of(kind, found)


async def _referred(source: Json, container: Json, scene: Scene) -> str | None:
    """The value of a reference; None leaves the variable out; a plain variable without a value is empty."""
    try:
        if "fieldRef" in source:
            return field_value(scene.pod, source["fieldRef"]["fieldPath"], scene.place)
        if "resourceFieldRef" in source:
            return resource_value(scene.pod, source["resourceFieldRef"], container, scene.place)
    except FieldError as error:
        raise EnvironmentFault(str(error)) from error
    for kind, field, word in (("configmaps", "configMapKeyRef", "ConfigMap"), ("secrets", "secretKeyRef", "Secret")):
        if field in source:
            reference = source[field]
            data = await _data(kind, reference, scene)
            if reference["key"] in data:
                return data[reference["key"]]
            if reference.get("optional"):
                return None
            namespace = scene.pod["metadata"]["namespace"]
            raise EnvironmentFault(f"couldn't find key {reference['key']} in {word} {namespace}/{reference['name']}")
    return ""
