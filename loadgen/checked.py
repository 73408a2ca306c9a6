"""Settings that are checked when they are built, and told as one sentence when they are wrong."""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from loadgen.errors import SettingsError


class Settings(BaseModel):
    """Base of all settings: frozen, unknown fields refused, faults told as one `SettingsError` sentence."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise SettingsError(sentence(type(self).__name__, error)) from None


def sentence(what: str, error: ValidationError) -> str:
    """A pydantic error as one sentence: where, what is wrong, and what was given."""
    errors = error.errors()
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    where = ".".join(str(part) for part in first["loc"] if not str(part).startswith("function-"))
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "no such setting; check its spelling"
    elif first["type"] != "value_error":
        message = f"{message[0].lower()}{message[1:]}, got {first['input']!r}"
    return f"{what}{f'.{where}' if where else ''}: {message}"
