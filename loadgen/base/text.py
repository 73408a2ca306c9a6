"""Makes text from outside safe to show: in a terminal, in a log, in Markdown, HTML and XML."""

import re

# C0 without tab and line end, DEL, C1; marks that reorder text; line separators; halves of surrogate pairs; tags
_UNSAFE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
    "\ufeff\ufffe\uffff\U000e0000-\U000e007f]|\r(?!\n)"
)


def printable(text: str) -> str:
    """Return a text of the same length without what a terminal, a browser or an XML parser would obey or refuse.

    Control characters, and with them all escape sequences of terminals, marks for the direction of text and halves of
    surrogate pairs become U+FFFD. Tabs and line ends stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text)


def clean(text: object, limit: int = 200) -> str:
    """Return text of a server as one line of printable characters.

    Args:
        text: The text, or any other value of an answer.
        limit: Largest number of characters of the result; the rest is cut off.
    """
    try:
        start = str(text)[: 4 * limit]
    except RecursionError:
        return f"a {type(text).__name__} that is nested too deeply"
    if not start.isprintable():
        start = "".join(map(_printable, start))
    return " ".join(start.split())[:limit].rstrip()


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return "\N{REPLACEMENT CHARACTER}" if "\ud800" <= character <= "\udfff" else " "
