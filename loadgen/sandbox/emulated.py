"""The emulated Triton as an image of the sandbox: the real server of the local stack, and a Python."""

import shlex
import sys
from pathlib import Path
from typing import Any

from loadgen.programs.find import TritonProgram
from loadgen.sandbox.images import reference

TAG = "24.10-py3"
"""Release of the image whose server it is."""


def image(program: TritonProgram, folder: Path) -> dict[str, Any]:
    """The row of the image table for `tritonserver`; writes the scripts that start its programs into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in program.env.items())
    server = f'{shlex.quote(str(program.path))} --backend-directory={shlex.quote(str(program.backend_dir))} "$@"'
    scripts = {"tritonserver": f"{exports}exec {server}\n", "python3": f'exec {shlex.quote(sys.executable)} "$@"\n'}
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}")
        (folder / name).chmod(0o755)
    return {"match": reference("nvidia/tritonserver"), "path": [str(folder)]}
