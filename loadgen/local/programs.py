"""The programs that the stack needs, found or fetched, with their versions."""

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from loadgen.programs.find import TritonProgram, find_prometheus, find_traefik, find_tritonserver

FAST_DISCOVERY = "--scrape.discovery-reload-interval=1s"
"""Scrape a new replica within a second of its being published: Prometheus' own default waits up to five."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Where they are, and what they say they are."""

    triton: TritonProgram
    prometheus: Path
    traefik: Path
    prometheus_flags: tuple[str, ...]
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
    return Programs(
        triton=triton,
        prometheus=prometheus,
        traefik=traefik,
        prometheus_flags=known_flags(prometheus, FAST_DISCOVERY),
        versions=versions,
    )


def known_flags(program: Path, flag: str) -> tuple[str, ...]:
    """The flag, if this build of the program knows it; hidden flags stand in no help text, so it is asked."""
    asked = subprocess.run(
        [program, flag, "--version"], capture_output=True, timeout=30, check=False, stdin=subprocess.DEVNULL
    )
    return (flag,) if asked.returncode == 0 else ()


def version_in(text: str) -> str:
    """First version number in what a program says about itself, or `unknown`."""
    found = re.search(r"\d+\.\d+(\.\d+)?[^\s,]*", text)
    return found[0] if found else "unknown"


def _version(command: list[str | Path]) -> str:
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL)
    return version_in(answer.stdout + answer.stderr)
