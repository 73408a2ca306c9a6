"""Values of further inputs of the model, which a scenario sends with every request."""

import math
from typing import Annotated, Any

from pydantic import AfterValidator


def _checked(value: Any) -> Any:
    """Return a value with tuples for lists.

    Raises:
        ValueError: it is neither an element, nor a list or dictionary of values.
    """
    if isinstance(value, dict):
        return {_checked_name(name): _checked(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_checked(item) for item in value)
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"half of a surrogate pair in {value!a} is not valid text")
    if not isinstance(value, bool | int | float | str) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"an input takes a finite number, True, False, text, or a list of these, got {value!r:.80}")
    return value


def _checked_name(name: Any) -> str:
    if not isinstance(name, str):
        raise ValueError(f"the names in a dictionary are text, got {name!r:.80}")
    return str(_checked(name))


Inputs = dict[Annotated[str, AfterValidator(_checked)], Annotated[Any, AfterValidator(_checked)]]
"""Values by name of the input: one element, or nested lists of elements; also dictionaries, for bodies of JSON."""
