"""Text from outside: what a terminal, a browser or an XML parser would obey is not shown."""

import io
import sys
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.base.console import say
from loadgen.base.errors import StackError
from loadgen.base.text import printable

CASES = {
    "\x1b[31mred\x1b[0m": "\ufffd[31mred\ufffd[0m",
    "\x1b]0;title\x07text": "\ufffd]0;title\ufffdtext",
    "\x9b31mred\x9d0;title\x9ctext": "\ufffd31mred\ufffd0;title\ufffdtext",
    "a\x85b\x7fc\x00d": "a\ufffdb\ufffdc\ufffdd",
    "100%\rPASS": "100%\ufffdPASS",
    "invoice\u202efdp.exe": "invoice\ufffdfdp.exe",
    "\u2066a\u2069\u200f": "\ufffda\ufffd\ufffd",
    "half \ud83d": "half \ufffd",
    "a\r\nb\tc": "a\r\nb\tc",
    "Grüße, 你好, 👩\u200d💻": "Grüße, 你好, 👩\u200d💻",
}


@pytest.mark.parametrize("text", CASES)
def test_text_is_shown_without_what_a_terminal_obeys(text):
    """Each character of that kind is replaced, so that the text shows that there was one."""
    assert printable(text) == CASES[text]


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_is_safe(text):
    """The result is valid in UTF-8 and XML, has no control character, and does not change when it is cleaned again."""
    shown = printable(text)
    shown.encode()
    assert not [
        c for c in shown if c not in "\r\n\t" and (c < " " or "\x7f" <= c <= "\x9f" or "\u202a" <= c <= "\u202e")
    ]
    assert printable(shown) == shown
    element = ET.Element("a", {"text": shown})
    ET.fromstring(ET.tostring(element))


def test_errors_and_messages_are_cleaned(monkeypatch):
    """Every error of ours, whatever it quotes, and every message on the console."""
    assert str(StackError("model \x1b[2Jllm\u202e")) == "model \ufffd[2Jllm\ufffd"
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    say("model \x1b[2Jllm\u202e")
    assert stream.getvalue() == "model \ufffd[2Jllm\ufffd\n"
