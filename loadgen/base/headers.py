"""Parses headers from the user; error messages never repeat a value."""

import re

_NAME, _VALUE = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", r"[\x20-\x7e]+"


def parse_headers(text: str) -> dict[str, str]:
    """Parse a text with one `Name: value` per line; empty lines are skipped.

    Raises:
        ValueError: a line is not a header, or a name occurs twice. The message continues a sentence that begins with
            the name of the source.
    """
    headers: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not line.strip():
            continue
        if not (colon and re.fullmatch(_NAME, name) and re.fullmatch(_VALUE, value)):
            raise ValueError(f"has an invalid line {number}: write one `Name: value` per line, in printable ASCII")
        if name.lower() in map(str.lower, headers):
            raise ValueError(f"has the header {name} twice: leave one of them")
        headers[name] = value
    return headers
