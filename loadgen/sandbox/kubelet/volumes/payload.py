"""Builds the files of a volume from ConfigMaps, Secrets and the downward API."""

import base64
from dataclasses import dataclass

from loadgen.sandbox.kubelet.downward_api import FieldError, Placement, field_value, resource_value
from loadgen.sandbox.kubelet.objects import Json

_DEFAULT_MODE = 0o644
_UPDATABLE_KINDS = ("configMap", "secret", "downwardAPI", "projected")


class VolumeError(ValueError):
    """A volume cannot be set up yet; the message goes to a FailedMount event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileProjection:
    """One file of a volume."""

    data: bytes
    mode: int = _DEFAULT_MODE


Payload = dict[str, FileProjection]
"""Files of a volume, by path."""


def is_updatable(volume: Json) -> bool:
    """Return whether the content of a volume follows objects of the API."""
    return any(volume.get(kind) is not None for kind in _UPDATABLE_KINDS)


def object_payload(kind: str, name: str, existing: Json | None, source: Json, namespace: str) -> Payload:
    """Return the files of a ConfigMap or Secret: one for each key, or for the keys that `items` selects.

    Args:
        kind: `configmaps` or `secrets`.
        name: Name of the object.
        existing: The object, or None if it does not exist.
        source: The volume source: `items`, `defaultMode`, `optional`.
        namespace: Namespace of the object.

    Raises:
        VolumeError: the object or a selected key is missing and not optional.
    """
    optional = bool(source.get("optional"))
    if existing is None:
        if optional:
            return {}
        raise VolumeError(f'{kind[:-1]} "{name}" not found')
    entries = {key: value.encode() for key, value in (existing.get("data") or {}).items()}
    if kind == "secrets":
        entries = {key: base64.b64decode(value) for key, value in entries.items()}
    entries |= {key: base64.b64decode(value) for key, value in (existing.get("binaryData") or {}).items()}
    default = int(source.get("defaultMode") or _DEFAULT_MODE)
    if not source.get("items"):
        return {key: FileProjection(data=data, mode=default) for key, data in entries.items()}
    payload: Payload = {}
    for item in source["items"]:
        if item["key"] not in entries:
            if optional:
                continue
            raise VolumeError(f"references non-existent {kind[:-1]} key: {item['key']} ({namespace}/{name})")
        mode = int(item.get("mode") or default)
        payload[item["path"]] = FileProjection(data=entries[item["key"]], mode=mode)
    return payload


def downward_api_payload(pod: Json, source: Json, placement: Placement) -> Payload:
    """Return the files of a downwardAPI volume.

    Raises:
        VolumeError: a field or resource does not exist.
    """
    default = int(source.get("defaultMode") or _DEFAULT_MODE)
    payload: Payload = {}
    for item in source.get("items") or []:
        try:
            if item.get("fieldRef"):
                text = field_value(pod, item["fieldRef"]["fieldPath"], placement)
            else:
                text = resource_value(pod, item["resourceFieldRef"], None, placement)
        except FieldError as error:
            raise VolumeError(str(error)) from error
        payload[item["path"]] = FileProjection(data=text.encode(), mode=int(item.get("mode") or default))
    return payload


def with_default_mode(payload: Payload, mode: int | None) -> Payload:
    """Return the files with the default mode of a projected volume, unless they have a mode of their own."""
    if mode is None:
        return payload
    changed = {path: FileProjection(data=each.data, mode=mode) for path, each in payload.items()}
    return {path: changed[path] if each.mode == _DEFAULT_MODE else each for path, each in payload.items()}
