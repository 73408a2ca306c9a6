"""Parses YAML from a file or an option, with limits on its size, its depth and what its aliases expand to."""

import re
from itertools import accumulate
from typing import Any

import yaml

_MAX_CHARACTERS = 4 << 20
_MAX_BRACKETS = 200
"""Open brackets: the library's time is quadratic in them."""
_MAX_NODES = 1_000_000
_BOUNDARY = re.compile(r"^(?:---(?=[ \t\r\n]|\Z)|\.\.\.[ \t]*\r?$)", re.MULTILINE)
_EMPTY = re.compile(r"(?:[ \t]*(?:[#%][^\n]*)?(?:\r?\n|\Z))*")
"""Comments and directives between documents."""


class _Loader(yaml.SafeLoader):
    """Makes only values that JSON has: a date stays text, as for Helm and kubectl."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as PyYAML declares it
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def parse_yaml(text: str) -> Any:
    """Return the values of a YAML document, which are those of JSON.

    Raises:
        ValueError: it is not YAML, or beyond a limit. The message is one line and continues a sentence that begins with
            the name of the source.
    """
    if len(text) > _MAX_CHARACTERS:
        raise ValueError(f"has more than {_MAX_CHARACTERS >> 20} MiB")
    steps = ((each in "[{") - (each in "]}") for each in text if each in "[]{}")
    if max(accumulate(steps), default=0) > _MAX_BRACKETS:
        raise ValueError("is nested too deeply")
    try:
        value = yaml.load(text, _Loader)  # noqa: S506 - a subclass of SafeLoader
        nodes = _nodes(value, {})
    except RecursionError:  # nested too deeply, or an alias of what it is in
        raise ValueError("is nested too deeply") from None
    except yaml.YAMLError as error:
        raise ValueError(f"is not valid YAML: {' '.join(str(error).split())[:300]}") from None
    except (TypeError, ValueError, OverflowError, LookupError, AttributeError) as error:  # such as the date 2026-13-01
        raise ValueError(f"has a value that cannot be read: {' '.join(str(error).split())[:300]}") from None
    if nodes > _MAX_NODES:
        raise ValueError("has aliases that expand to too many values")
    return value


def parse_yaml_documents(text: str) -> list[Any]:
    """Return the values of the YAML documents of a text; those without a value are left out.

    Raises:
        ValueError: as `parse_yaml`, for one of them; of several the message names its number.
    """
    parts = [part for part in _BOUNDARY.split(text) if not _EMPTY.fullmatch(part)]
    values = []
    for number, part in enumerate(parts, 1):
        try:
            values.append(parse_yaml(part))
        except ValueError as error:
            raise ValueError(f"(document {number}) {error}" if len(parts) > 1 else str(error)) from None
    return [each for each in values if each is not None]


def _nodes(value: Any, known: dict[int, int]) -> int:
    """Return the number of values with every alias expanded; the same object is counted once and remembered."""
    if not isinstance(value, dict | list):
        if not isinstance(value, str | int | float | None):
            raise TypeError(f"{value!r:.60} is not of JSON: write it in quotes")
        return 1
    if id(value) not in known:
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_nodes(each, known) for each in inner)
    return known[id(value)]
