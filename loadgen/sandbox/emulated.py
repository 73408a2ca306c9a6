"""Provides the emulated Triton as an image of the sandbox: the server of the local stack and a Python interpreter."""

import shlex
import sys
from pathlib import Path
from typing import Any

from loadgen.programs.find import TritonProgram
from loadgen.sandbox.images import reference

TAG = "24.10-py3"
"""Tag of the Triton image with the same server release."""


def image(program: TritonProgram, folder: Path) -> dict[str, Any]:
    """Return the image table entry for `tritonserver`, and write the start scripts of its programs into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in program.env.items())
    server = f'{shlex.quote(str(program.path))} --backend-directory={shlex.quote(str(program.backend_dir))} "$@"'
    scripts = {"tritonserver": f"{exports}exec {server}\n", "python3": f'exec {shlex.quote(sys.executable)} "$@"\n'}
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}")
        (folder / name).chmod(0o755)
    return {"match": reference("nvidia/tritonserver"), "path": [str(folder)]}
