"""Reads files: manifests of Kubernetes, rule files of Prometheus, and values of the bundled chart."""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from loadgen.base.errors import SettingsError
from loadgen.base.text import clean
from loadgen.base.yaml_text import parse_yaml_documents

STANDARD_INPUT = "-"
_ENDINGS = (".yaml", ".yml", ".json")
_MAX_BYTES = 16 << 20
_CONFIG = {"apiVersion": "v1", "kind": "ConfigMap"}
_RULES = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule"}


class Documents(NamedTuple):
    """The documents of one input.

    Attributes:
        manifests: Objects of Kubernetes, each with its source.
        values: Values of the chart; None for manifests.
    """

    manifests: list[tuple[str, Any]]
    values: dict[str, Any] | None = None


def read_input(path: str) -> Documents:
    """Read a file, all files of a folder, or standard input (`-`).

    A file with one mapping that has neither `kind` nor `apiVersion` is a file of values.

    Raises:
        SettingsError: it cannot be read, is not YAML, is empty, or holds neither manifests nor values.
    """
    if path == STANDARD_INPUT:
        return documents_of("standard input", _standard_input())
    file = Path(path)
    if file.is_dir():
        return _read_folder(file)
    return documents_of(path, _text(file))


def documents_of(source: str, text: str) -> Documents:
    """Return the documents of a text.

    Args:
        source: Its name, for messages and evidence.
        text: YAML or JSON.

    Raises:
        SettingsError: as `read_input`.
    """
    documents = _documents(source, text)
    if not documents:
        raise SettingsError(f"{source} is empty: give manifests of Kubernetes, or values of the bundled chart")
    objects = _objects(source, documents)
    if objects:
        return Documents(objects)
    only = documents[0]
    if len(documents) == 1 and isinstance(only, dict) and "kind" not in only and "apiVersion" not in only:
        return Documents([], only)
    raise SettingsError(
        f"{source} has no objects of Kubernetes (with kind and apiVersion): give manifests, as `helm template` prints "
        "them, or values of the bundled chart"
    )


def _read_folder(folder: Path) -> Documents:
    if (folder / "Chart.yaml").is_file():
        raise SettingsError(
            f"{folder} is a chart and not its manifests: pipe what `helm template` prints into `loadgen lint -`, or "
            "give the file of values of the bundled chart"
        )
    manifests: list[tuple[str, Any]] = []
    for file in sorted(each for each in folder.rglob("*") if each.suffix in _ENDINGS and each.is_file()):
        manifests += _objects(str(file), _documents(str(file), _text(file)))
    if not manifests:
        raise SettingsError(
            f"{folder} has no file with objects of Kubernetes ({', '.join(_ENDINGS)}, with kind and apiVersion): give "
            "the folder of the manifests"
        )
    return Documents(manifests)


def _standard_input() -> str:
    try:
        return sys.stdin.read(_MAX_BYTES)
    except (OSError, ValueError):
        raise SettingsError("cannot read standard input: give manifests as text in UTF-8") from None


def _text(file: Path) -> str:
    try:
        if not file.is_file() and file.exists():
            raise SettingsError(f"{file} is neither a file nor a folder: give one of them, or - for standard input")
        with file.open("rb") as stream:
            return stream.read(_MAX_BYTES).decode()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise SettingsError(
            f"cannot read {clean(file)}: {reason}; give a file, a folder, or - for standard input"
        ) from None


def _documents(source: str, text: str) -> list[Any]:
    try:
        return parse_yaml_documents(text)
    except ValueError as error:
        advice = "; render templates first, as `helm template` does" if "{{" in text else ""
        raise SettingsError(f"{source} {error}{advice}") from None


def _objects(source: str, documents: list[Any]) -> list[tuple[str, Any]]:
    """Return the objects of Kubernetes of some documents.

    A rule file of Prometheus counts as a PrometheusRule, its configuration and that of the adapter as a ConfigMap.
    """
    objects = []
    for each in documents:
        if _is_object(each):
            objects.append((source, each))
        elif isinstance(each, dict) and isinstance(each.get("groups"), list):
            metadata = {"name": Path(source).stem}
            objects.append((source, {**_RULES, "metadata": metadata, "spec": {"groups": each["groups"]}}))
        elif isinstance(each, dict) and _is_configuration(each):
            data = {Path(source).name: json.dumps(each)}
            objects.append((source, {**_CONFIG, "metadata": {"name": Path(source).stem}, "data": data}))
    return objects


def _is_configuration(document: dict[str, Any]) -> bool:
    """Whether a document is `prometheus.yml`, or has rules of prometheus-adapter, also as values of its chart."""
    rules = document.get("rules")
    lists = [rules, *(rules.get(key) for key in ("custom", "external"))] if isinstance(rules, dict) else [rules]
    has_rules = any(
        isinstance(each, list) and any(isinstance(rule, dict) and "seriesQuery" in rule for rule in each)
        for each in lists
    )
    return has_rules or isinstance(document.get("scrape_configs"), list)


def _is_object(document: Any) -> bool:
    return isinstance(document, dict) and isinstance(document.get("kind"), str) and "apiVersion" in document
