"""Reads ``model.yaml``: the arguments of ``LLM()`` and, under ``triton_config``, settings of this model.

The file is in the model's version directory, or at the path in the environment variable ``LLM_CONFIG_PATH``. JSON, a
subset of YAML, is read without PyYAML.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TRITON_KEYS = {"decoupled", "max_batch_size", "cancellation_check_period_ms"}


class SettingsError(Exception):
    """The model cannot be loaded with these settings; the message says what to change."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The contents of ``model.yaml``.

    Attributes:
        llm: Arguments of ``LLM()``, with the request times and iteration statistics that the metrics need.
        cancellation_check_period_s: Period of the check whether clients have cancelled.
    """

    llm: dict[str, Any]
    cancellation_check_period_s: float


def read_settings(version_dir: Path, environ: Mapping[str, str]) -> Settings:
    """Read and check the settings of a model.

    Raises:
        SettingsError: The file cannot be read, or has unsupported settings.
    """
    path = version_dir / environ.get("LLM_CONFIG_PATH", "model.yaml")
    try:
        data = _parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    if not isinstance(data, dict) or not data.get("model"):
        raise SettingsError(
            f"{path} must name the model: a Hugging Face id or the path of a checkpoint, under 'model'."
        )
    llm = {name: value for name, value in data.items() if name != "triton_config"}
    triton = data.get("triton_config") or {}
    if unknown := sorted(set(triton) - _TRITON_KEYS):
        raise SettingsError(f"{path}: triton_config has the unknown setting {unknown[0]!r}: remove it.")
    if triton.get("decoupled", True) is not True:
        raise SettingsError(
            f"{path}: triton_config.decoupled must be true, as in config.pbtxt: the model streams responses."
        )
    if triton.get("max_batch_size", 0) != 0:
        raise SettingsError(f"{path}: triton_config.max_batch_size must be 0: the engine does the batching.")
    if llm.get("backend", "pytorch") != "pytorch":
        raise SettingsError(
            f"{path}: backend must be pytorch: other backends do not report the times that the metrics need."
        )
    for name in ("return_perf_metrics", "enable_iter_perf_stats"):
        if llm.setdefault(name, True) is not True:
            raise SettingsError(f"{path}: {name} must be true or omitted: the metrics need it.")
    period_ms = triton.get("cancellation_check_period_ms", 100)
    if isinstance(period_ms, bool) or not isinstance(period_ms, (int, float)) or period_ms <= 0:
        raise SettingsError(f"{path}: triton_config.cancellation_check_period_ms must be a number above 0.")
    return Settings(llm=llm, cancellation_check_period_s=period_ms / 1000)


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        import yaml  # type: ignore[import-untyped,unused-ignore]

        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(str(error)) from error
