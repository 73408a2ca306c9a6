"""Uploads run folders to an object store, or to any folder that a URL names.

Files that are already there are skipped. The `run.json` of a run is copied last: a run that has one is complete.
Symbolic links are not followed, neither here nor in a folder that runs are copied to, and a copy in a folder keeps the
modes of files and folders.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs

from loadgen.base.console import say
from loadgen.base.errors import DatasetError, LoadgenError, SettingsError
from loadgen.base.text import clean

_INFO = "run.json"
_RETRY_S = 60
_MAX_REASON = 500
_WITH_FOLDERS = ("hdfs",)
"""File systems besides the local one whose folders must be created; in an object store they are a part of the name."""


class UploadError(LoadgenError):
    """Runs could not be uploaded."""


class Store:
    """A storage location for run folders.

    Args:
        url: Address as in pyarrow's `FileSystem.from_uri`; credentials come from the environment.

    Raises:
        SettingsError: the URL is malformed, or its scheme is not supported.
        UploadError: the storage does not answer.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
        except ValueError:
            parts = urlsplit("")
        # secrets may precede the host, as NAME:SECRET@, or be in the query; a name alone before @ is an Azure container
        before, _, host = parts.netloc.rpartition("@")
        shown = f"{parts.scheme}://{host if not before or ':' in before else parts.netloc}{parts.path}"
        self._shown = clean(shown, _MAX_REASON)
        self._url = url if parts.scheme not in ("gs", "gcs") or "retry_limit" in parts.query else _with_retry_limit(url)
        if not parts.scheme:
            shown = "the address" if "@" in url else clean(repr(url))
            raise SettingsError(f"{shown} is not a URL: use one like s3://bucket/runs or file:///mnt/runs")
        try:
            self._fs, root = fs.FileSystem.from_uri(self._url)
        except (pa.ArrowException, ValueError) as error:
            raise SettingsError(
                f"unsupported storage URL {self._shown} ({self._reason(error)}): "
                "use s3://bucket/runs, gs://bucket/runs, abfs://container/runs or file:///mnt/runs"
            ) from error
        except OSError as error:
            raise self._error(error) from error
        self._root = root.rstrip("/")

    def upload(self, source: Path) -> Iterator[str]:
        """Copy the missing files of a run, or of all runs in a folder; yields the address of each run that changed.

        Raises:
            DatasetError: the folder holds no run.
            UploadError: a file cannot be copied.
        """
        folders = [source]
        if not _is_run(source):
            folders = sorted(path.parent for path in source.glob(f"*/{_INFO}") if _is_run(path.parent, named=False))
        if not folders:
            raise DatasetError(f"there is no run in {source}: give a run folder, or a folder of run folders")
        try:
            existing = self._existing()
            for folder in folders:
                if self._copy(folder, existing):
                    yield f"{self._shown.rstrip('/')}/{folder.resolve().name}"
        except (OSError, pa.ArrowException) as error:
            raise self._error(error) from error

    def _existing(self) -> dict[str, Any]:
        selector = fs.FileSelector(self._root, recursive=True, allow_not_found=True)
        return {file.path: file for file in self._fs.get_file_info(selector) if file.is_file}

    def _copy(self, folder: Path, existing: dict[str, Any]) -> bool:
        copied = False
        for path in sorted(_files(folder), key=lambda path: (path == folder / _INFO, path)):
            name = f"{folder.resolve().name}/{path.relative_to(folder).as_posix()}"
            target = f"{self._root}/{name}"
            uploaded, local = existing.get(target), path.stat()
            if uploaded is not None and uploaded.size == local.st_size and uploaded.mtime_ns >= local.st_mtime_ns:
                continue
            if self._fs.type_name == "local":
                _copy_to_folder(path, Path(self._root), name, folder)
            else:
                if self._fs.type_name in _WITH_FOLDERS:
                    self._fs.create_dir(target.rpartition("/")[0])
                fs.copy_files(str(path), target, fs.LocalFileSystem(), self._fs)
            copied = True
        return copied

    def _error(self, error: Exception) -> UploadError:
        return UploadError(
            f"cannot upload runs to {self._shown} ({self._reason(error)}): check bucket, credentials and network, "
            "then run `loadgen upload` again; files that are already there are skipped"
        )

    def _reason(self, error: Exception) -> str:
        """The first line of an error, without secrets of the URL."""
        lines = (str(error) or repr(error)).strip().splitlines()
        return clean(lines[0].replace(self._url, self._shown), _MAX_REASON).rstrip(".")


def _with_retry_limit(url: str) -> str:
    """The URL of a Google bucket with a limit on retries, which otherwise continue for a quarter of an hour."""
    return f"{url}{'&' if '?' in url else '?'}retry_limit_seconds={_RETRY_S}"


def _is_run(folder: Path, *, named: bool = True) -> bool:
    """Return whether a folder is a run; one that the user did not name himself must not be a symbolic link."""
    info = folder / _INFO
    return info.is_file() and not info.is_symlink() and (named or not folder.is_symlink())


def _files(folder: Path) -> Iterator[Path]:
    """Yield the complete files of a run; symbolic links are reported and left out."""
    for parent, folders, names in os.walk(folder):
        for path in (Path(parent) / name for name in [*folders, *names]):
            if path.is_symlink():
                say(f"not uploaded, because it is a symbolic link: {path}")
            elif path.is_file() and path.suffix != ".tmp":
                yield path


def _copy_to_folder(path: Path, root: Path, name: str, run: Path) -> None:
    """Copy a file of a run into a folder, whole or not at all, with its mode and those of the folders above it."""
    root.mkdir(parents=True, exist_ok=True)
    target = root / name
    sources = [run, *(run / parent for parent in reversed(path.relative_to(run).parents[:-1]))]
    folder = root
    for part, source in zip(Path(name).parts[:-1], sources, strict=True):
        folder = folder / part
        if folder.is_symlink():
            raise OSError(f"{folder} is a symbolic link")
        folder.mkdir(mode=source.stat().st_mode & 0o777, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.touch(mode=0o600, exist_ok=False)
        shutil.copyfile(path, temporary, follow_symlinks=False)
        temporary.chmod(path.stat().st_mode & 0o777)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
