"""The programs that the stack needs, found or fetched, with their versions."""

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from loadgen.local.binaries import TritonProgram, find_prometheus, find_traefik, find_tritonserver


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Where they are, and what they say they are."""

    triton: TritonProgram
    prometheus: Path
    traefik: Path
    versions: dict[str, str]


def find_programs(progress: Callable[[str], None]) -> Programs:
    """Find all programs, fetch those that are missing; may take minutes the first time.

    Raises:
        StackError: wrong platform, or one cannot be had; the sentence says what to do.
    """
    triton = find_tritonserver(progress=progress)
    prometheus = find_prometheus(progress=progress)
    traefik = find_traefik(progress=progress)
    versions = {
        "tritonserver": triton.version,
        "prometheus": _version([prometheus, "--version"]),
        "traefik": _version([traefik, "version"]),
    }
    return Programs(triton=triton, prometheus=prometheus, traefik=traefik, versions=versions)


def version_in(text: str) -> str:
    """First version number in what a program says about itself, or `unknown`."""
    found = re.search(r"\d+\.\d+(\.\d+)?[^\s,]*", text)
    return found[0] if found else "unknown"


def _version(command: list[str | Path]) -> str:
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL)
    return version_in(answer.stdout + answer.stderr)
