"""Reads and merges chart values, from YAML files and from `--set` options."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loadgen.base.errors import SettingsError
from loadgen.base.text import clean
from loadgen.base.yaml_text import parse_yaml

_MAX_DEPTH = 50


def read_values(*files: Path) -> dict[str, Any]:
    """Read chart values from YAML files; later files override earlier ones.

    Raises:
        SettingsError: a file cannot be read, or is not a mapping.
    """
    values: dict[str, Any] = {}
    for file in files:
        try:
            content = parse_yaml(file.read_text())
        except OSError as error:
            raise SettingsError(f"cannot read the values {file}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise SettingsError(f"{file} is not valid YAML: {error}") from error
        except ValueError as error:
            raise SettingsError(f"{file} {error}") from error
        if not isinstance(content, dict | None):
            raise SettingsError(f"{file} is not a mapping of values: see charts/triton-trtllm/values.yaml")
        values = merge(values, content or {})
    return values


def merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Merge values as helm does: mappings key by key; any other value is replaced."""
    result = dict(base)
    for key, value in override.items():
        old = result.get(key)
        result[key] = merge(old, value) if isinstance(value, dict) and isinstance(old, dict) else value
    return result


def parse_set(option: str) -> dict[str, Any]:
    """Parse a `--set` option: `a.b=1` becomes `{"a": {"b": 1}}`.

    Raises:
        SettingsError: the option is not of the form KEY=VALUE, or the value is not valid YAML.
    """
    key, equals, text = option.partition("=")
    shown = clean(option)
    if not equals or not all(key.split(".")):
        raise SettingsError(f"--set {shown} is invalid: use KEY=VALUE, such as autoscaling.maxReplicas=8")
    if key.count(".") > _MAX_DEPTH:
        raise SettingsError(f"--set {shown} is invalid: its key has more than {_MAX_DEPTH} parts")
    try:
        value = parse_yaml(text)
    except ValueError as error:
        raise SettingsError(f"--set {shown} is invalid: the value {error}") from error
    for part in reversed(key.split(".")):
        value = {part: value}
    values: dict[str, Any] = value
    return values
