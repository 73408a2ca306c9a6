"""Writes the table of values in each chart's README from the comments in its values.yaml.

uv run python charts/readme.py
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

CHARTS = [Path(__file__).parent / name for name in ("loadgen", "triton-trtllm")]
BEGIN, END = "<!-- values: written by charts/readme.py -->", "<!-- end of values -->"
_KEY = re.compile(r"( *)([A-Za-z0-9_.]+):(?: |$)")


def comments(text: str) -> dict[str, str]:
    """Returns the comment above each key of a values.yaml, by the key's dotted name."""
    by_name: dict[str, str] = {}
    comment: list[str] = []
    path: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            comment.append(stripped.removeprefix("#").strip())
        elif match := _KEY.match(line):
            path = [*path[: len(match[1]) // 2], match[2]]
            if comment:
                by_name[".".join(path)] = " ".join(comment)
            comment = []
        elif not stripped:
            comment = []
    return by_name


def leaves(tree: dict[str, object], path: str = "") -> Iterator[tuple[str, object]]:
    """Yields dotted names and default values."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def table(text: str) -> str:
    """Returns a values.yaml as a Markdown table; the comment on a group is in the row of its first value."""
    about = comments(text)
    rows = ["| value | default | description |", "|---|---|---|"]
    for name, default in leaves(yaml.safe_load(text)):
        parts = name.split(".")
        comment = [about.pop(".".join(parts[:n]), "") for n in range(1, len(parts) + 1)]
        description = " ".join(filter(None, comment)).replace("|", "\\|")
        shown = json.dumps(default, ensure_ascii=False).replace("|", "\\|")
        rows.append(f"| `{name}` | `{shown}` | {description} |")
    return "\n".join(rows)


def filled(readme: str, values: str) -> str:
    """Returns the README with the table of these values."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table(values)}\n\n{END}{after}"


def main() -> int:
    """Writes every chart's README."""
    for chart in CHARTS:
        file = chart / "README.md"
        file.write_text(filled(file.read_text(), (chart / "values.yaml").read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
