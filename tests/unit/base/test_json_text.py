"""JSON from files that may be damaged."""

import pytest

from loadgen.base.json_text import MAX_DEPTH, parse_json


def test_a_document_is_read() -> None:
    """Of any values, and as deep as allowed."""
    assert parse_json(b'{"a": [1, 2.5, "x", null, true, {}]}') == {"a": [1, 2.5, "x", None, True, {}]}
    assert parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert parse_json(str(2**128)) == 2**128


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "levels deep"),
        ("[" * 100_000, "levels deep"),
        ('{"a": ' * 900 + "0" + "}" * 900, "levels deep"),
        ("[NaN]", "a number that is NaN"),
        ('{"a": -Infinity}', "a number that is -Infinity"),
        ("[[1e999]]", "a number that is too large"),
        ("1" + "0" * 400, "a number that is too large"),
        ("9" * 5000, "digits"),
        ("{", "Expecting"),
        (b"\xff\xfe\xff", "codec"),
    ],
)
def test_what_no_program_writes_is_refused(text: str | bytes, says: str) -> None:
    """A `ValueError` of one line."""
    with pytest.raises(ValueError, match=says) as raised:
        parse_json(text)
    assert len(str(raised.value).splitlines()) == 1
