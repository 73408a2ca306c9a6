"""Resolves the environment variables and the command of a container."""

import base64
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from loadgen.sandbox.kubelet.container.images import Image
from loadgen.sandbox.kubelet.downward_api import FieldError, Placement, field_value, resource_value
from loadgen.sandbox.kubelet.objects import Json

_REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Lookup = Callable[[str, str], Awaitable[Json | None]]
"""Returns an object of the pod's namespace, by kind (`configmaps` or `secrets`) and name; None if there is none."""


class ContainerConfigError(ValueError):
    """The environment refers to a missing object, key or field, or there is no command."""


def expand(text: str, *variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by its value from the first mapping that has it; `$$` becomes `$`, unknown names stay."""

    def value(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return next((each[match[1]] for each in variables if match[1] in each), match[0])

    return _REFERENCE.sub(value, text)


def service_variables(services: Iterable[Json], namespace: str, *, links: bool) -> dict[str, str]:
    """Return the variables of Services: of the API server, and with `links` of the pod's namespace."""
    variables: dict[str, str] = {}
    for service in services:
        meta, spec = service["metadata"], service["spec"]
        is_api_server = meta["namespace"] == "default" and meta["name"] == "kubernetes"
        included = is_api_server or (links and meta["namespace"] == namespace)
        if spec.get("clusterIP") in (None, "", "None") or not included:
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
            link = f"{prefix}_PORT_{port['port']}_{protocol}"
            variables |= {link: url, f"{link}_PROTO": protocol.lower(), f"{link}_PORT": str(port["port"])}
            variables[f"{link}_ADDR"] = address
    return variables


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSources:
    """The sources of a container's environment apart from its spec and image.

    Attributes:
        pod: The pod.
        placement: Where the pod runs.
        hostname: Host name of the pod.
        services: Variables of Services.
        lookup: Returns ConfigMaps and Secrets.
    """

    pod: Json
    placement: Placement
    hostname: str
    services: Mapping[str, str]
    lookup: Lookup


async def environment(container: Json, image: Image, sources: EnvironmentSources) -> dict[str, str]:
    """Return all variables of a container: image, Services, `envFrom` and `env`; later ones take precedence.

    Raises:
        ContainerConfigError: a ConfigMap, Secret, key or field is missing and not optional.
    """
    declared: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        for kind, field in (("configmaps", "configMapRef"), ("secrets", "secretRef")):
            if source.get(field):
                data = await _data(kind, source[field], sources)
                declared |= {f"{source.get('prefix', '')}{key}": value for key, value in data.items()}
    for variable in container.get("env") or []:
        if variable.get("value"):
            declared[variable["name"]] = expand(variable["value"], declared, sources.services)
        else:
            value = await _value_from(variable.get("valueFrom") or {}, container, sources)
            if value is not None:
                declared[variable["name"]] = value
    path = ":".join([*image.path, _PATH])
    return {"PATH": path, "HOSTNAME": sources.hostname, "HOME": "/root", **image.env, **sources.services, **declared}


def command(container: Json, image: Image, variables: Mapping[str, str]) -> list[str]:
    """Return program and arguments: `command` replaces entrypoint and cmd of the image, `args` alone only the cmd.

    Raises:
        ContainerConfigError: neither the container nor the image has a command.
    """
    program = [expand(part, variables) for part in container.get("command") or []]
    arguments = [expand(part, variables) for part in container.get("args") or []]
    argv = [*program, *arguments] if program else [*image.entrypoint, *(arguments or image.cmd)]
    if not argv:
        raise ContainerConfigError("no command specified")
    return [image.programs.get(argv[0], argv[0]), *argv[1:]]


def _text_entries(kind: str, existing: Json) -> dict[str, str]:
    entries = existing.get("data") or {}
    if kind == "configmaps":
        return dict(entries)
    return {key: base64.b64decode(value).decode(errors="surrogateescape") for key, value in entries.items()}


async def _data(kind: str, reference: Json, sources: EnvironmentSources) -> dict[str, str]:
    existing = await sources.lookup(kind, reference["name"])
    if existing is None:
        if reference.get("optional"):
            return {}
        raise ContainerConfigError(f'{kind[:-1]} "{reference["name"]}" not found')
    return _text_entries(kind, existing)


async def _value_from(source: Json, container: Json, sources: EnvironmentSources) -> str | None:
    """Return the value of a `valueFrom`; None omits the variable; without a source the value is empty."""
    try:
        if "fieldRef" in source:
            return field_value(sources.pod, source["fieldRef"]["fieldPath"], sources.placement)
        if "resourceFieldRef" in source:
            return resource_value(sources.pod, source["resourceFieldRef"], container, sources.placement)
    except FieldError as error:
        raise ContainerConfigError(str(error)) from error
    for kind, field, label in (("configmaps", "configMapKeyRef", "ConfigMap"), ("secrets", "secretKeyRef", "Secret")):
        if field in source:
            reference = source[field]
            data = await _data(kind, reference, sources)
            if reference["key"] in data:
                return data[reference["key"]]
            if reference.get("optional"):
                return None
            namespace = sources.pod["metadata"]["namespace"]
            raise ContainerConfigError(
                f"couldn't find key {reference['key']} in {label} {namespace}/{reference['name']}"
            )
    return ""
