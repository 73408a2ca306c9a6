"""Where runs stay: an object store, or any folder that a URL names.

What is there already is left alone. A run's `run.json` is copied last: where it is, the run is whole.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs

from loadgen.base.errors import DatasetError, LoadgenError, SettingsError

_INFO = "run.json"
_RETRY_S = 60
_WITH_FOLDERS = ("local", "hdfs")
"""File systems in which a folder must be made before a file is; in an object store it is a part of a name."""


class KeepError(LoadgenError):
    """Runs could not be copied to where they are to stay."""


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
