"""Writes shell scripts that stand in for programs."""

from pathlib import Path


def program(folder: Path, name: str, script: str) -> Path:
    """Write an executable shell script and return its path."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path
