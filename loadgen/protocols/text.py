"""Makes prompts valid text: they may have halves of surrogate pairs."""


def valid_text(text: str) -> str:
    """Return a text that UTF-8 can encode: each half of a surrogate pair becomes U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join(
            "\N{REPLACEMENT CHARACTER}" if "\ud800" <= character <= "\udfff" else character for character in text
        )
    return text
