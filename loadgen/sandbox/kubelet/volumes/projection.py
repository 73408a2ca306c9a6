"""The files that ConfigMaps, Secrets, the downward API and tokens become in a volume: pure."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from loadgen.sandbox.kubelet.downward_api import FieldError, Place, field_value, resource_value
from loadgen.sandbox.kubelet.meta import Json

_DEFAULT_MODE = 0o644


class VolumeFault(ValueError):
    """A volume cannot be set up yet; the pod waits, and an event says this sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileContent:
    """One file of a volume."""

    data: bytes
    mode: int = _DEFAULT_MODE


Payload = dict[str, FileContent]
"""Files by their path in the volume."""


def from_object(kind: str, name: str, found: Json | None, source: Json, namespace: str) -> Payload:
    """Files of a ConfigMap or Secret: one a key, or those that `items` picks.

    Args:
        kind: `configmaps` or `secrets`.
        name: Its name.
        found: The object, or None when there is none.
        source: The volume source: `items`, `defaultMode`, `optional`.
        namespace: Its namespace.

    Raises:
        VolumeFault: the object or a picked key is missing and not optional.
    """
    optional = bool(source.get("optional"))
    if found is None:
        if optional:
            return {}
        raise VolumeFault(f'{kind[:-1]} "{name}" not found')
    entries = {key: value.encode() for key, value in (found.get("data") or {}).items()}
    if kind == "secrets":
        entries = {key: base64.b64decode(value) for key, value in entries.items()}
    entries |= {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}
    default = int(source.get("defaultMode") or _DEFAULT_MODE)
    if not source.get("items"):
        return {key: FileContent(data=data, mode=default) for key, data in entries.items()}
    payload: Payload = {}
    for item in source["items"]:
        if item["key"] not in entries:
            if optional:
                continue
            word = "configmap" if kind == "configmaps" else "secret"
            raise VolumeFault(f"references non-existent {word} key: {item['key']} ({namespace}/{name})")
        mode = int(item.get("mode") or default)
        payload[item["path"]] = FileContent(data=entries[item["key"]], mode=mode)
    return payload


def from_fields(pod: Json, source: Json, place: Place) -> Payload:
    """Files of the downward API.

    Raises:
        VolumeFault: a reference names nothing.
    """
    default = int(source.get("defaultMode") or _DEFAULT_MODE)
    payload: Payload = {}
    for item in source.get("items") or []:
        try:
            if item.get("fieldRef"):
                text = field_value(pod, item["fieldRef"]["fieldPath"], place)
            else:
                text = resource_value(pod, item["resourceFieldRef"], None, place)
        except FieldError as error:
            raise VolumeFault(str(error)) from error
        payload[item["path"]] = FileContent(data=text.encode(), mode=int(item.get("mode") or default))
    return payload


def with_mode(payload: Payload, mode: int | None) -> Payload:
    """The files with the mode of the projected volume where their source says none."""
    if mode is None:
        return payload
    changed = {path: FileContent(data=each.data, mode=mode) for path, each in payload.items()}
    return {path: changed[path] if each.mode == _DEFAULT_MODE else each for path, each in payload.items()}


def resolv_conf(pod: Json, *, cluster_dns: str, domain: str, node: Mapping[str, list[str]]) -> str:
    """The pod's `/etc/resolv.conf` by its dnsPolicy and dnsConfig.

    Args:
        pod: The pod.
        cluster_dns: Address of the cluster's DNS server.
        domain: Domain of the cluster.
        node: The node's own `nameservers`, `searches` and `options`.
    """
    spec, namespace = pod["spec"], pod["metadata"]["namespace"]
    policy = spec.get("dnsPolicy", "ClusterFirst")
    if policy == "ClusterFirst" and spec.get("hostNetwork"):
        policy = "Default"
    if policy == "None":
        servers, searches, options = [], [], []
    elif policy == "Default":
        servers, searches, options = (list(node.get(key, [])) for key in ("nameservers", "searches", "options"))
    else:
        servers = [cluster_dns]
        searches = [f"{namespace}.svc.{domain}", f"svc.{domain}", domain, *node.get("searches", [])]
        options = ["ndots:5"]
    config = spec.get("dnsConfig") or {}
    servers += [each for each in config.get("nameservers") or [] if each not in servers]
    searches += [each for each in config.get("searches") or [] if each not in searches]
    for option in config.get("options") or []:
        options = [each for each in options if each.partition(":")[0] != option["name"]]
        options.append(f"{option['name']}:{option['value']}" if option.get("value") else option["name"])
    lines = [f"nameserver {each}" for each in servers[:3]]
    if searches:
        lines.append("search " + " ".join(dict.fromkeys(searches)))
    if options:
        lines.append("options " + " ".join(options))
    return "".join(f"{line}\n" for line in lines)


def read_resolv_conf(text: str) -> dict[str, list[str]]:
    """Name servers, search domains and options of a `resolv.conf`."""
    found: dict[str, list[str]] = {"nameservers": [], "searches": [], "options": []}
    for line in text.splitlines():
        word, *values = line.split() or [""]
        if word == "nameserver":
            found["nameservers"] += values[:1]
        elif word == "search":
            found["searches"] = values
        elif word == "options":
            found["options"] += values
    return found


def hosts_file(pod: Json, pod_ip: str, hostname: str, node_file: str | None) -> str:
    """The pod's `/etc/hosts`: its own, or of a pod in the node's network the node's, then its host aliases."""
    if node_file is None:
        domain = pod["spec"].get("subdomain")
        full = f"{hostname}.{domain}.{pod['metadata']['namespace']}.svc.cluster.local\t" if domain else ""
        text = (
            "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"
            "::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\n"
            f"fe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n{pod_ip}\t{full}{hostname}\n"
        )
    else:
        text = f"# Kubernetes-managed hosts file (host network).\n{node_file}"
    aliases = pod["spec"].get("hostAliases") or []
    if aliases:
        text += "\n# Entries added by HostAliases.\n"
        text += "".join("\t".join([each["ip"], *(each.get("hostnames") or [])]) + "\n" for each in aliases)
    return text


def host_name(pod: Json, node: str) -> str:
    """The pod's host name: as it says, else its name, 63 characters at most; in the node's network the node's."""
    if pod["spec"].get("hostNetwork"):
        return node
    return str(pod["spec"].get("hostname") or pod["metadata"]["name"])[:63].rstrip("-.")
