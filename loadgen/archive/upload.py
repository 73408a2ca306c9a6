"""`loadgen keep`: copies run folders to where they stay.

    loadgen keep runs/20261127T020000Z-waves s3://bucket/runs
    loadgen keep runs s3://bucket/runs --after locust -f scenarios/waves.py --headless

What is there already is left alone, so what a night could not copy comes with the next.
"""

import argparse
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from loadgen.base.console import say
from loadgen.base.errors import LoadgenError, SettingsError


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command `loadgen keep`."""
    parser = commands.add_parser("keep", help="copy runs to an object store or folder, what is new of them")
    parser.add_argument("runs", type=Path, help="a run folder, or a folder of them such as runs/")
    parser.add_argument("url", help="s3://BUCKET/PREFIX, gs://…, abfs://… or file:///FOLDER")
    parser.add_argument(
        "--after",
        nargs=argparse.REMAINDER,
        metavar="COMMAND",
        help="run this command first, whatever it ends with keep what is there, and exit as it did",
    )


def run(options: argparse.Namespace) -> int:
    """Do what `loadgen keep` was asked; returns the exit code.

    Raises:
        LoadgenError: the URL is wrong, there is no run, or it cannot be copied.
    """
    from loadgen.archive.store import Store  # pyarrow takes a moment, which no other command need wait for

    store = Store(options.url)
    code = _run_first(options.after) if options.after else 0
    try:
        for kept in store.keep(options.runs):
            say(f"kept {kept}")
    except LoadgenError as error:
        if code == 0:
            raise
        say(f"error: {error}")  # the command's own end says more
    return code


def _run_first(command: Sequence[str]) -> int:
    """The exit code of a command; it hears of SIGTERM, and by itself of a terminal's Ctrl-C."""
    try:
        child = subprocess.Popen(command)
    except OSError as error:
        raise SettingsError(f"cannot run {command[0]} ({error.strerror}): give a program after --after") from error
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: child.terminate()),
    }
    try:
        code = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code
