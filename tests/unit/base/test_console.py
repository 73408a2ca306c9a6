"""Standard output and error whose reader has left, is closed, or knows only ASCII."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = r"""
import sys
from loadgen.base.console import protect_streams, say, show
protect_streams()
say("TTFT \u2264 1 s \u2026")
show("TTFT \u2264 1 s, \u00e9")
print("\u2717 \ud83d", flush=True)
sys.exit(3)
"""


def run(*redirections: str, **env: str) -> "subprocess.CompletedProcess[str]":
    command = f"'{sys.executable}' -c '{PROGRAM}' {' '.join(redirections)}"
    return subprocess.run(
        ["bash", "-c", command], env={**os.environ, **env}, capture_output=True, encoding="utf-8", check=False
    )


def test_characters_that_the_encoding_lacks() -> None:
    """They are replaced: by ASCII of the same meaning, or by their code."""
    done = run(PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (3, "TTFT <= 1 s ...\n")
    assert done.stdout == "TTFT <= 1 s, \\xe9\nx \\ud83d\n"


def test_utf_8_is_written_as_it_is() -> None:
    """Only a lone surrogate, which UTF-8 lacks, is replaced."""
    done = run(PYTHONIOENCODING="utf-8")
    assert done.stdout == "TTFT ≤ 1 s, é\n✗ \\ud83d\n"


@pytest.mark.parametrize("redirections", [(">&-",), ("2>&-",), (">&-", "2>&-"), ("<&-", ">&-", "2>&-")], ids="_".join)
def test_closed_streams(redirections: tuple[str, ...]) -> None:
    """The exit code is that of the program, and there is no traceback."""
    done = run(*redirections)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_has_left(stream: str) -> None:
    """As with `| head`: the exit code is that of the program, and nothing is said."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    other = "stderr" if stream == "stdout" else "stdout"
    streams = {stream: write_end, other: subprocess.PIPE}
    done = subprocess.run([sys.executable, "-c", PROGRAM], encoding="utf-8", check=False, **streams)  # type: ignore[call-overload]
    os.close(write_end)
    assert done.returncode == 3
    assert "Traceback" not in getattr(done, other)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
def test_a_full_disk_is_said_once() -> None:
    """What cannot be written to standard output is lost, so standard error says so."""
    done = run(">/dev/full")
    assert done.returncode == 3
    assert done.stderr.count("error: cannot write to standard output: No space left on device") == 1
