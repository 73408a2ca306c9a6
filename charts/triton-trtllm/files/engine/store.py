"""Layout of an engine on the volume, and the markers of a finished or failed build.

    <root>/engines/<key>/
        READY          written last: inputs, builder and time of the build
        FAILED         the last attempt's step, exit code, hint and last lines; a new attempt removes it
        engine/        rank0.engine … config.json
        tokenizer/     the model's files without its weights
        lock/          see lock.py
        logs/000001.log   one per attempt, kept
        model/         the download, kept between attempts, removed when the engine is ready
        building.000001/  one per attempt: checkpoint and engine being built

An interrupted build leaves no READY, and the next attempt removes an `engine/` without READY.
"""

import contextlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from errors import EngineError


class Store:
    """The folder of an engine."""

    def __init__(self, root: Path, key: str) -> None:
        self.root, self.key = root, key
        self.folder = root / "engines" / key
        self.engine, self.tokenizer = self.folder / "engine", self.folder / "tokenizer"
        self.model, self.lock = self.folder / "model", self.folder / "lock"

    def building(self, generation: int) -> Path:
        """Returns the build folder of an attempt."""
        return self.folder / f"building.{generation:06d}"

    def log(self, generation: int) -> Path:
        """Returns the log file of an attempt."""
        return self.folder / "logs" / f"{generation:06d}.log"

    def ready(self) -> dict[str, Any] | None:
        """Returns the contents of READY, or None if the engine is not ready."""
        marker = _read_json(self.folder / "READY")
        return marker if marker is not None and self.engine.is_dir() and self.tokenizer.is_dir() else None

    def failed(self) -> dict[str, Any] | None:
        """Returns the contents of FAILED, or None."""
        return _read_json(self.folder / "FAILED")

    def clear_failed(self) -> None:
        """Removes FAILED of an earlier attempt."""
        (self.folder / "FAILED").unlink(missing_ok=True)

    def mark_failed(self, **details: Any) -> None:
        """Writes the reason of a failure for waiting pods."""
        _write_json(self.folder / "FAILED", {"at_s": time.time(), **details})

    def sweep(self, generation: int) -> None:
        """Removes unfinished files of earlier attempts."""
        for left in self.folder.glob("building.*"):
            if left != self.building(generation):
                shutil.rmtree(left, ignore_errors=True)
        if not (self.folder / "READY").exists():
            shutil.rmtree(self.engine, ignore_errors=True)
            shutil.rmtree(self.tokenizer, ignore_errors=True)

    def publish(self, generation: int, marker: dict[str, Any], keep_model: bool) -> None:
        """Publishes a finished build: folders first, READY last. Only the holder of the lock may call it."""
        source = self.building(generation)
        for name in ("engine", "tokenizer"):
            _flush(source / name)
        if self.ready() is None:  # else a builder with a stale lock has just published its engine
            for target in (self.engine, self.tokenizer):
                (source / target.name).rename(target)
            _flush_folder(self.folder)
            _write_json(self.folder / "READY", {"key": self.key, "finished_s": time.time(), **marker})
        if not keep_model:
            shutil.rmtree(self.model, ignore_errors=True)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise EngineError(f"{path} is corrupt: {error}. Remove it; the next build Job starts over.") from error


def _write_json(path: Path, data: dict[str, Any]) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    with draft.open("w") as file:
        json.dump(data, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    _flush_folder(path.parent)


def _flush(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    _flush_folder(folder)


def _flush_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems do not support it for folders
            os.fsync(opened)
    finally:
        os.close(opened)
