"""Reads YAML with libyaml, which is many times as fast as the parser in Python."""

from pathlib import Path
from typing import Any

import yaml

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: Path) -> Any:
    """The document of a file."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)


def read_documents(path: Path) -> list[Any]:
    """The documents of a file that are not empty."""
    return documents(path.read_text(encoding="utf-8"))


def documents(text: str) -> list[Any]:
    """The documents of a text that are not empty."""
    return [each for each in yaml.load_all(text, Loader=_LOADER) if each]
