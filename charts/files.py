"""Copies the emulated engine into the chart triton-trtllm, and lists the files that the chart needs.

uv run python charts/files.py

Tools that install a chart from a git tree drop symbolic links, so the chart holds copies of loadgen/local/engine.
The chart refuses to render if a file of the list is missing.
"""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

ENGINE = Path(__file__).parents[1] / "loadgen/local/engine"
FILES = Path(__file__).parent / "triton-trtllm/files"
COPY = FILES / "emulated/loadgen/local/engine"
LIST = FILES / "list.txt"


def tree(folder: Path) -> Iterator[Path]:
    """Yields the paths of the files of a folder relative to it, without compiled ones."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(folder)


def listed() -> str:
    """Returns the text of the list: one path a line, relative to the chart's folder `files`."""
    return "".join(f"{path}\n" for path in tree(FILES) if FILES / path != LIST)


def main() -> int:
    """Writes the copies and the list."""
    shutil.rmtree(COPY, ignore_errors=True)
    for path in tree(ENGINE):
        (COPY / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ENGINE / path, COPY / path)
    LIST.write_text(listed())
    return 0


if __name__ == "__main__":
    sys.exit(main())
