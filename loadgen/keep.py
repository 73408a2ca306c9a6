"""Copies run folders to where they stay: an object store, or any folder that a URL names.

    loadgen keep runs/20261127T020000Z-waves s3://bucket/runs
    loadgen keep runs s3://bucket/runs --after locust -f scenarios/waves.py --headless

What is there already is left alone, so what a night could not copy comes with the next. A run's `run.json` is copied
last: where it is, the run is whole.
"""

import argparse
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs

from loadgen.errors import DatasetError, LoadgenError, SettingsError
from loadgen.progress import say

_INFO = "run.json"
_RETRY_S = 60
_WITH_FOLDERS = ("local", "hdfs")
"""File systems in which a folder must be made before a file is; in an object store it is a part of a name."""


class KeepError(LoadgenError):
    """Runs could not be copied to where they are to stay."""


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


class Store:
    """Where runs stay.

    Args:
        url: Its address, as pyarrow's `FileSystem.from_uri` takes it; credentials come from the environment.

    Raises:
        SettingsError: no file system has such an address.
        KeepError: it does not answer.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        # secrets may stand before the host, as NAME:SECRET@, and in the query; before an @ alone is Azure's container
        before, _, host = parts.netloc.rpartition("@")
        self._shown = f"{parts.scheme}://{host if not before or ':' in before else parts.netloc}{parts.path}"
        self._url = url if parts.scheme not in ("gs", "gcs") or "retry_limit" in parts.query else _patient(url)
        if not parts.scheme:
            raise SettingsError(f"{url!r} is no URL: write it like s3://bucket/runs or file:///mnt/runs")
        try:
            self._fs, root = fs.FileSystem.from_uri(self._url)
        except pa.ArrowException as error:
            raise SettingsError(
                f"{self._shown} is no place that runs can be kept at ({self._reason(error)}): "
                f"write it like s3://bucket/runs, gs://bucket/runs, abfs://container/runs or file:///mnt/runs"
            ) from error
        except OSError as error:
            raise self._error(error) from error
        self._root = root.rstrip("/")

    def keep(self, source: Path) -> Iterator[str]:
        """Copy what is not there of a run, or of all runs in a folder; yields the address of each that changed.

        Raises:
            DatasetError: there is no run.
            KeepError: a file cannot be copied.
        """
        folders = [source] if (source / _INFO).is_file() else sorted(path.parent for path in source.glob(f"*/{_INFO}"))
        if not folders:
            raise DatasetError(f"there is no run in {source}: give a run folder, or the folder that holds runs")
        try:
            there = self._there()
            for folder in folders:
                if self._copy(folder, there):
                    yield f"{self._shown.rstrip('/')}/{folder.resolve().name}"
        except (OSError, pa.ArrowException) as error:
            raise self._error(error) from error

    def _there(self) -> dict[str, Any]:
        selector = fs.FileSelector(self._root, recursive=True, allow_not_found=True)
        return {each.path: each for each in self._fs.get_file_info(selector) if each.is_file}

    def _copy(self, folder: Path, there: dict[str, Any]) -> bool:
        copied = False
        files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".tmp"]
        for path in sorted(files, key=lambda path: (path == folder / _INFO, path)):
            target = f"{self._root}/{folder.resolve().name}/{path.relative_to(folder).as_posix()}"
            known, own = there.get(target), path.stat()
            if known is not None and known.size == own.st_size and known.mtime_ns >= own.st_mtime_ns:
                continue
            if self._fs.type_name in _WITH_FOLDERS:
                self._fs.create_dir(target.rpartition("/")[0])
            fs.copy_files(str(path), target, fs.LocalFileSystem(), self._fs)
            copied = True
        return copied

    def _error(self, error: Exception) -> KeepError:
        return KeepError(
            f"runs cannot be kept at {self._shown} ({self._reason(error)}): check bucket, credentials and network, "
            f"then `loadgen keep` again; what is there already is not copied twice"
        )

    def _reason(self, error: Exception) -> str:
        """An error's first line."""
        lines = (str(error) or repr(error)).strip().splitlines()
        return lines[0].replace(self._url, self._shown).rstrip(".")


def _patient(url: str) -> str:
    """The URL of a Google bucket with an end to its retries, which else go on for a quarter of an hour."""
    return f"{url}{'&' if '?' in url else '?'}retry_limit_seconds={_RETRY_S}"


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
