"""Text of servers: one printable line of bounded length, and valid Unicode."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.base.text import clean
from loadgen.protocols.answer import classify_failure
from loadgen.protocols.text import valid_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("queue full", "queue full"),
        ("half of a pair: \ud83d", "half of a pair: \ufffd"),
        ("\x1b[31mred\x1b[0m\r\n\tnext", "[31mred [0m next"),
        ("left \u202eright\u0085 \x9b1m", "left right 1m"),
        ({"error": 1}, "{'error': 1}"),
    ],
)
def test_clean(text: object, expected: str) -> None:
    """Control characters, escape sequences and marks of direction become blanks, half a pair becomes U+FFFD."""
    assert clean(text) == expected


@given(st.text(st.characters(), max_size=300))
def test_every_text_can_be_written(text: str) -> None:
    """Whatever a server sends, the result is printable, short and can be encoded."""
    cleaned = clean(text, 100)
    assert cleaned.isprintable()
    assert len(cleaned.encode()) <= 400
    valid_text(text).encode()
    outcome, cause = classify_failure("500", text, began=False)
    assert len(cause) <= 160
    cause.encode()
    assert outcome


@pytest.mark.parametrize("part", ["a", "1", "1.", "0x", "f0", "[", "\ud83d", " ", "12:34:56 ", "ipv6:[", "2026-11-30 "])
def test_a_message_of_megabytes(part: str) -> None:
    """A message of 20 MB gives the same cause as its start: the searches do not see the rest."""
    many = 20 * 2**20 // len(part)
    assert classify_failure("500", part * many, began=False) == classify_failure("500", part * 10_000, began=False)
