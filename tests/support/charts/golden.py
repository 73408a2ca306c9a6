"""Golden files of the charts: one case whole, and of each other case the objects that differ from it.

The file of a case has its objects in the order in which helm renders them. An object that is the same as in the base
case is one line, `# Service/demo: as in emulated.yaml`, and so is a panel of the dashboard. Objects of the base case
that are not rendered are listed at the top. The same file with the same base therefore means the same bytes.
"""

import difflib
import re
from collections.abc import Iterator
from pathlib import Path

_DOCUMENT = re.compile(r"^(?=---$)", re.MULTILINE)
_PANEL = re.compile(r"^(?=        \{$)", re.MULTILINE)
_FILE = re.compile(r'^(  [\w.-]+\.(?:py|pbtxt)): ".*"$', re.MULTILINE)
_SECRET = re.compile(r'^(  "secret"): \w{54,56}={0,2}$', re.MULTILINE)
_CHECKSUM = re.compile(r"checksum/config: \w{64}")


def scrubbed(text: str) -> str:
    """Manifests without what changes with every line of a script, or every rendering: texts, checksums, a secret."""
    text = _SECRET.sub(r"\1: (random)", text)
    return _CHECKSUM.sub("checksum/config: (a checksum)", _FILE.sub(r"\1: (a file)", text))


def golden(text: str, base: str, base_name: str) -> str:
    """The golden file of a case: what differs from the base case, the rest by reference."""
    wanted, known = _documents(text), _documents(base)
    lines = [f"# {name}: not rendered, unlike in {base_name}.yaml\n" for name in known if name not in wanted]
    for name, document in wanted.items():
        lines += _differing(name, document, known.get(name, ""), base_name)
    return "".join(lines)


def difference(text: str, file: Path) -> str:
    """A unified diff from a golden file to what it should hold; empty when they are the same."""
    before = file.read_text() if file.exists() else ""
    return "".join(difflib.unified_diff(before.splitlines(True), text.splitlines(True), file.name, "rendered now"))


def _differing(name: str, document: str, known: str, base_name: str) -> Iterator[str]:
    if document == known:
        yield f"# {name}: as in {base_name}.yaml\n"
        return
    first, panels = _panels(document)
    _, known_panels = _panels(known)
    yield first
    for title, panel in panels.items():
        # the indent keeps the line inside the block of JSON, so that the file stays YAML
        yield f"        # {title}: as in {base_name}.yaml\n" if known_panels.get(title) == panel else panel


def _documents(text: str) -> dict[str, str]:
    """The objects of a text by kind and name, in the order of the text."""
    return _by_name((_identity(each), each) for each in _DOCUMENT.split(text) if each)


def _panels(document: str) -> tuple[str, dict[str, str]]:
    """The text before the first panel of a dashboard, and the panels by title; any other object is all text."""
    first, *panels = _PANEL.split(document)
    return first, _by_name((re.findall(r'"title": (".*")', each)[-1], each) for each in panels)


def _identity(document: str) -> str:
    kind = re.search(r"^kind: (.*)$", document, re.MULTILINE)
    name, namespace = (re.search(rf"^  {key}: (.*)$", document, re.MULTILINE) for key in ("name", "namespace"))
    assert kind, document
    assert name, document
    return f"{kind[1]}/{name[1]}" + (f" in {namespace[1]}" if namespace else "")


def _by_name(pairs: Iterator[tuple[str, str]]) -> dict[str, str]:
    every = list(pairs)
    assert len(dict(every)) == len(every), f"two parts with one name: {[name for name, _ in every]}"
    return dict(every)
