"""Validates settings when they are constructed, and reports an error as one sentence."""

from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from loadgen.base.errors import SettingsError
from loadgen.base.text import clean

_MAX_SHOWN, _MAX_MESSAGE = 200, 1000


class Settings(BaseModel):
    """Base of all settings: frozen, without unknown fields, and with errors as one `SettingsError` sentence."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise SettingsError(error_sentence(type(self).__name__, error, tuple(type(self).model_fields))) from None

    @model_validator(mode="before")
    @classmethod
    def _only_numbers_are_numbers(cls, fields: Any) -> Any:
        """Refuse True and "5", which Pydantic converts; its strict mode would also refuse values read from JSON."""
        for name, value in fields.items() if isinstance(fields, dict) else ():
            if name in cls.model_fields and _is_numeric(cls.model_fields[name].annotation):
                for item in value if isinstance(value, list | tuple) else (value,):
                    if isinstance(item, bool | str):
                        raise ValueError(f"{name} must be a number, got {item!r}")
        return fields


def _is_numeric(annotation: Any) -> bool:
    """Return whether a field is a number, an optional number, or a tuple of numbers."""
    return annotation in (int, float) or any(_is_numeric(argument) for argument in get_args(annotation))


def _proposal(unknown: str, names: tuple[str, ...]) -> str:
    if not names or "." in unknown:  # in nested settings, which have other names
        return ""
    near = get_close_matches(unknown, names, n=2, cutoff=0.6)
    meant = f" (did you mean {' or '.join(near)}?)" if near else ""
    return f"{meant}; the settings are {', '.join(names)}"


def _repr(value: object) -> str:
    try:
        return repr(value)
    except RecursionError:
        return f"a {type(value).__name__} that is nested too deeply"


def error_sentence(what: str, error: ValidationError, names: tuple[str, ...] = ()) -> str:
    """Return a pydantic error as one sentence: the field, what is wrong, and the given value.

    Args:
        what: Name of the settings.
        error: The error; of several, the first unknown setting, or else the first.
        names: Settings that exist, of which an unknown one may be a misspelling.
    """
    errors = error.errors()
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    where = clean(".".join(str(part)[:_MAX_SHOWN] for part in first["loc"] if not str(part).startswith("function-")))
    message = clean(first["msg"].removeprefix("Value error, "), _MAX_MESSAGE)
    if first["type"] == "extra_forbidden":
        message = f"no such setting; check its spelling{_proposal(where, names)}"
    elif first["type"] != "value_error":
        message = f"{message[0].lower()}{message[1:]}, got {clean(_repr(first['input']), _MAX_SHOWN)}"
    return f"{what}{f'.{where}' if where else ''}: {message}"
