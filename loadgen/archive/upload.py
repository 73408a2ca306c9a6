"""`loadgen upload`: copies run folders to an object store or another folder.

    loadgen upload runs/20261127T020000Z-waves s3://bucket/runs
    loadgen upload runs s3://bucket/runs --after locust -f scenarios/waves.py --headless

Files that are already there are skipped, so an upload that failed one night is completed the next.
"""

import argparse
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from loadgen.base.console import say
from loadgen.base.errors import LoadgenError, SettingsError

NAMES = ("upload", "keep")
"""The command, and its name before 0.1.0, which stays as an alias until that release."""


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `loadgen upload`."""
    name, alias = NAMES
    parser = commands.add_parser(name, aliases=[alias], help="copy new runs to an object store or another folder")
    parser.add_argument("runs", type=Path, help="a run folder, or a folder of run folders such as runs/")
    parser.add_argument("url", help="s3://BUCKET/PREFIX, gs://…, abfs://… or file:///FOLDER")
    parser.add_argument(
        "--after",
        nargs=argparse.REMAINDER,
        metavar="COMMAND",
        help="run this command first, upload also if it fails, and exit with its exit code",
    )


def run(options: argparse.Namespace) -> int:
    """Run `loadgen upload`; returns the exit code.

    Raises:
        LoadgenError: the URL is malformed, there is no run, or a run cannot be uploaded.
    """
    from loadgen.archive.store import Store  # pyarrow takes a moment

    store = Store(options.url)
    code = _run_first(options.after) if options.after else 0
    try:
        for address in store.upload(options.runs):
            say(f"uploaded {address}")
    except LoadgenError as error:
        if code == 0:
            raise
        say(f"error: {error}")  # the exit code of the command takes precedence
    return code


def _run_first(command: Sequence[str]) -> int:
    """Run a command and return its exit code; SIGTERM is passed on, while Ctrl-C reaches it from the terminal."""
    try:
        child = subprocess.Popen(command)
    except OSError as error:
        raise SettingsError(f"cannot run {command[0]} ({error.strerror}): give a program after --after") from error
    earlier_handlers = {
        signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: child.terminate()),
    }
    try:
        code = child.wait()
    finally:
        for number, handler in earlier_handlers.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code
