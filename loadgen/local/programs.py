"""Finds or downloads the programs that the local stack starts, with their versions and supported flags."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from loadgen.base.console import Say
from loadgen.programs.find import TritonProgram, find_prometheus, find_traefik, find_tritonserver

FAST_DISCOVERY = "--scrape.discovery-reload-interval=1s"
"""Makes Prometheus scrape a new target within a second; its default is up to five seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Paths, supported flags and reported versions of the programs."""

    triton: TritonProgram
    prometheus: Path
    traefik: Path
    prometheus_flags: tuple[str, ...]
    versions: dict[str, str]


def find_programs(progress: Say) -> Programs:
    """Find all programs, and download those that are missing; the first time this may take minutes.

    Raises:
        StackError: The platform is not supported, or a program cannot be downloaded.
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
        prometheus_flags=supported_flags(prometheus, FAST_DISCOVERY),
        versions=versions,
    )


def supported_flags(program: Path, flag: str) -> tuple[str, ...]:
    """Return the flag if this build of the program accepts it; hidden flags are not in its help, so it is tried."""
    attempt = subprocess.run(
        [program, flag, "--version"], capture_output=True, timeout=30, check=False, stdin=subprocess.DEVNULL
    )
    return (flag,) if attempt.returncode == 0 else ()


def version_in(text: str) -> str:
    """Return the first version number in the output of a program, or `unknown`."""
    found = re.search(r"\d+\.\d+(\.\d+)?[^\s,]*", text)
    return found[0] if found else "unknown"


def _version(command: list[str | Path]) -> str:
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL)
    return version_in(answer.stdout + answer.stderr)
