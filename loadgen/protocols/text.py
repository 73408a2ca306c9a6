"""Makes text of servers safe where it enters: it may have control characters, halves of pairs, or megabytes."""


def clean(text: object, limit: int = 200) -> str:
    """Return text of a server as one line of printable characters.

    Args:
        text: The text, or any other value of an answer.
        limit: Largest number of characters of the result; the rest is cut off.
    """
    start = str(text)[: 4 * limit]
    if not start.isprintable():
        start = "".join(map(_printable, start))
    return " ".join(start.split())[:limit].rstrip()


def valid_text(text: str) -> str:
    """Return a text that UTF-8 can encode: each half of a surrogate pair becomes U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join("\N{REPLACEMENT CHARACTER}" if _is_surrogate(character) else character for character in text)
    return text


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return "\N{REPLACEMENT CHARACTER}" if _is_surrogate(character) else " "


def _is_surrogate(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"
