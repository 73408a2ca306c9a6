"""Values of a chart as a person gives them: YAML files, and single ones on the command line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from loadgen.base.errors import SettingsError


def read_values(*files: Path) -> dict[str, Any]:
    """Values of the chart from YAML files, of which a later one wins.

    Raises:
        SettingsError: a file is not there, or is no mapping.
    """
    values: dict[str, Any] = {}
    for file in files:
        try:
            read = yaml.safe_load(file.read_text())
        except OSError as error:
            raise SettingsError(f"cannot read the values {file}: {error.strerror}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise SettingsError(f"{file} is no YAML: {' '.join(str(error).split())}") from error
        if not isinstance(read, dict | None):
            raise SettingsError(f"{file} holds no values: write it as charts/triton-trtllm/values.yaml is written")
        values = merged(values, read or {})
    return values


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Values over values, as helm lays them: mappings key by key, everything else whole."""
    both = dict(below)
    for key, value in above.items():
        under = both.get(key)
        both[key] = merged(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return both


def one_value(setting: str) -> dict[str, Any]:
    """`a.b=1` as values.

    Raises:
        SettingsError: it is no key and value.
    """
    key, equals, text = setting.partition("=")
    if not equals or not all(key.split(".")):
        raise SettingsError(f"--set {setting} is no KEY=VALUE, such as autoscaling.maxReplicas=8")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"--set {setting}: the value is no YAML") from error
    for part in reversed(key.split(".")):
        value = {part: value}
    found: dict[str, Any] = value
    return found
