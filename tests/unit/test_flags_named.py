"""Sentences that name a flag name one that exists."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
# the sandbox has commands of its own, which are not all there yet
SOURCES = sorted(file for file in (ROOT / "loadgen").rglob("*.py") if "kube" not in file.parts)
LOCUSTS_OWN = {"--host", "--processes"}
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")


def texts(node: ast.AST) -> list[str]:
    return [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def test_flags_in_error_sentences_exist() -> None:
    """A user who follows an error's advice finds the flag, ours or Locust's."""
    known, named = set(LOCUSTS_OWN), {}
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument":
                known.update(flag for text in texts(node)[:1] for flag in FLAG.findall(text))
            elif isinstance(node, ast.Raise):
                named.update({flag: file.name for text in texts(node) for flag in FLAG.findall(text)})
    assert {"--model", "--no-stream", "--processes"} <= named.keys(), "the search finds sentences"
    assert not {flag: file for flag, file in named.items() if flag not in known}
