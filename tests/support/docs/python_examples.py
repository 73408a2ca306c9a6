"""The Python code that the documentation prints: fenced blocks, and calls and settings in code spans."""

import re
from collections.abc import Iterator
from typing import Any

from loadgen import locust
from support.docs.commands import DOCUMENTS, ROOT

PUBLIC: dict[str, Any] = {name: getattr(locust, name) for name in locust.__all__}
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
_CALL = re.compile(rf"`((?:{'|'.join(PUBLIC)})\([^`\n]*\))`")
_JSON_LINE = re.compile(r'`?(\{"prompt":[^`\n]*\})')


def blocks() -> Iterator[tuple[str, str]]:
    """Yield the document and the code of every fenced block of Python."""
    for document in DOCUMENTS:
        for match in _BLOCK.finditer(_text(document)):
            yield document, match[1]


def calls() -> Iterator[tuple[str, str]]:
    """Yield the document and the text of every code span that is a call of a public name, such as `Slo(…)`."""
    for document in DOCUMENTS:
        for match in _CALL.finditer(_text(document)):
            yield document, match[1]


def prompt_lines() -> Iterator[tuple[str, str]]:
    """Yield the document and the text of every line of a prompts file that is printed."""
    for document in DOCUMENTS:
        for match in _JSON_LINE.finditer(_text(document)):
            yield document, match[1]


def _text(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def settings() -> Iterator[tuple[str, str]]:
    """Yield the document and the name of every setting that a code span gives a value, such as `stream=True`."""
    for document in ("README.md", "docs/scenarios.md", "docs/kubernetes.md", "docs/local-stack.md"):
        for match in re.finditer(r"`(\w+)=[^`\n]*`", _text(document)):
            if match[1].islower():  # the others are environment variables
                yield document, match[1]
