"""Loads engine profiles: the parameters of an emulated engine and their source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from loadgen.base.errors import SettingsError
from loadgen.base.proposals import meant
from loadgen.base.text import clean
from loadgen.base.yaml_text import parse_yaml
from loadgen.local.engine.config import EngineProfile

_FOLDER = Path(__file__).parent / "profiles"


def profile_names() -> list[str]:
    """Return the names of the profiles that come with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_profile(name_or_path: str | Path) -> EngineProfile:
    """Load a profile of the package by its name, or another by the path of its YAML file.

    Raises:
        SettingsError: The profile does not exist or is invalid.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = _FOLDER / f"{name_or_path}.yaml"
        if not path.is_file():
            raise SettingsError(
                f"There is no engine profile {str(name_or_path)!r}{meant(str(name_or_path), profile_names())}: "
                f"choose one of {', '.join(profile_names())}, or give the path of a .yaml file."
            )
    try:
        data = parse_yaml(path.read_text(encoding="utf-8"))
        return TypeAdapter(EngineProfile).validate_python(data)
    except ValidationError as error:
        errors = error.errors()
        first = next((each for each in errors if each["type"] == "unexpected_keyword_argument"), errors[0])
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        problem = first["msg"]
        if first["type"] == "unexpected_keyword_argument":
            names = _keys_at(first["loc"][:-1])
            problem = f"no such key{meant(str(first['loc'][-1]), names)}; the keys are {', '.join(names)}"
        raise SettingsError(f"The engine profile {path} is not valid: {clean(f'{where}: {problem}')}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The engine profile {path} cannot be read: {error}") from error
    except ValueError as error:
        raise SettingsError(f"The engine profile {path} cannot be read: it {error}") from error


def _keys_at(path: Sequence[str | int]) -> list[str]:
    """Return the keys of the part of a profile at a path of keys and list positions."""
    part: Any = EngineProfile
    for step in path:
        part = next(iter(get_args(part))) if isinstance(step, int) else get_type_hints(part)[step]
    return [field.name for field in fields(part)]
