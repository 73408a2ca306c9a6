"""Validates settings when they are constructed, and reports an error as one sentence."""

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from loadgen.base.errors import SettingsError


class Settings(BaseModel):
    """Base of all settings: frozen, without unknown fields, and with errors as one `SettingsError` sentence."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise SettingsError(error_sentence(type(self).__name__, error)) from None

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


def error_sentence(what: str, error: ValidationError) -> str:
    """Return a pydantic error as one sentence: the field, what is wrong, and the given value."""
    errors = error.errors()
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    where = ".".join(str(part) for part in first["loc"] if not str(part).startswith("function-"))
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "no such setting; check its spelling"
    elif first["type"] != "value_error":
        message = f"{message[0].lower()}{message[1:]}, got {first['input']!r}"
    return f"{what}{f'.{where}' if where else ''}: {message}"
