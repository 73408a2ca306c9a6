"""Validates settings when they are constructed, and reports an error as one sentence."""

import re
from collections.abc import Iterable
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from loadgen.base.errors import SettingsError
from loadgen.base.proposals import listed, meant
from loadgen.base.text import clean

_MAX_SHOWN, _MAX_MESSAGE = 200, 1000


class Settings(BaseModel):
    """Base of all settings: frozen, without unknown fields, and with errors as one `SettingsError` sentence."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise SettingsError(error_sentence(type(self).__name__, error, _names(type(self)))) from None

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


def _names(settings: type[BaseModel]) -> list[str]:
    """Return the settings that a user writes; `kind` has one value, which only tells classes apart in a run folder."""
    fields = settings.model_fields.items()
    return [name for name, field in fields if not (name == "kind" and get_origin(field.annotation) is Literal)]


_QUOTED = re.compile(r"'([^']*)'")


def _choice(given: object, expected: str) -> str:
    """Return the value that was probably meant, where a message lists the values in quotation marks."""
    return meant(given, _QUOTED.findall(expected)) if isinstance(given, str) else ""


def _shown(value: object) -> str:
    """Return a value as Python writes it, on one line of limited length."""
    try:
        return clean(repr(value), _MAX_SHOWN)
    except RecursionError:
        return f"a {type(value).__name__} that is nested too deeply"


def error_sentence(what: str, error: ValidationError, names: Iterable[str] = ()) -> str:
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
        message = f"no such setting; check its spelling{meant(where, names)}; the settings are {listed(names)}"
    elif first["type"] == "missing":
        message = "field required: give it a value"
    elif first["type"] == "literal_error":
        value = first["input"]
        message = f"{message[0].lower()}{message[1:]}, got {_shown(value)}{_choice(value, first['ctx']['expected'])}"
    elif first["type"] == "union_tag_invalid":
        kind, kinds = first["ctx"]["tag"], first["ctx"]["expected_tags"]
        message = f"no such kind {_shown(kind)}{_choice(kind, kinds)}; the kinds are {kinds}"
    elif first["type"] == "union_tag_not_found":
        message = f"the kind is missing, got {_shown(first['input'])}"
    elif first["type"] != "value_error":
        message = f"{message[0].lower()}{message[1:]}, got {_shown(first['input'])}"
    return f"{what}{f'.{where}' if where else ''}: {message}"
