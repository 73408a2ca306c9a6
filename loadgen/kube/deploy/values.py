"""Reads and merges chart values, from YAML files and from `--set` options."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from loadgen.base.errors import SettingsError


def read_values(*files: Path) -> dict[str, Any]:
    """Read chart values from YAML files; later files override earlier ones.

    Raises:
        SettingsError: a file cannot be read, or is not a mapping.
    """
    values: dict[str, Any] = {}
    for file in files:
        try:
            content = yaml.safe_load(file.read_text())
        except OSError as error:
            raise SettingsError(f"cannot read the values {file}: {error.strerror}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise SettingsError(f"{file} is not valid YAML: {' '.join(str(error).split())}") from error
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
    if not equals or not all(key.split(".")):
        raise SettingsError(f"--set {option} is invalid: use KEY=VALUE, such as autoscaling.maxReplicas=8")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"--set {option} is invalid: the value is not valid YAML") from error
    for part in reversed(key.split(".")):
        value = {part: value}
    values: dict[str, Any] = value
    return values
