"""The text of an HTTP error in a message: one short line."""

import pytest

from loadgen.protocols.generate import error_text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error": "no model"}', "no model"),
        (b"Not Found", "Not Found"),
        (b"\n  404 page not found\r\nmore\n", "404 page not found"),
        (
            b"<!DOCTYPE HTML>\n<html>\n<head>\n<title>Error response</title>\n</head><body><h1>404</h1>",
            "Error response",
        ),
        (b"<html>\n<body>\n<h1>Sorry</h1>", "<html>"),
        (b"", "an empty body"),
        (b"\xff" * 9000, "\ufffd" * 200),
    ],
)
def test_an_error_is_one_line(body: bytes, text: str) -> None:
    """JSON by its error, a page by its title, other text by its first line; bounded."""
    assert error_text(body) == text
