"""Loads engine profiles: the parameters of an emulated engine and their source."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from loadgen.base.errors import SettingsError
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
                f"There is no engine profile {str(name_or_path)!r}: choose one of {', '.join(profile_names())}, "
                "or give the path of a .yaml file."
            )
    try:
        data = parse_yaml(path.read_text(encoding="utf-8"))
        return TypeAdapter(EngineProfile).validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        reason = clean(f"{where}: {first['msg']}")
        raise SettingsError(f"The engine profile {path} is not valid: {reason}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The engine profile {path} cannot be read: {error}") from error
    except ValueError as error:
        raise SettingsError(f"The engine profile {path} cannot be read: it {error}") from error
