"""Where an engine lies on the volume, and what marks it as whole or as failed.

    <root>/engines/<key>/
        READY          written last: what the engine was made from, by whom, when
        FAILED         the last attempt's step, exit code, hint and last lines; a new attempt removes it
        engine/        rank0.engine … config.json
        tokenizer/     the model's files without its weights
        lock/          see lock.py
        logs/000001.log   one an attempt, kept
        model/         the download, kept between attempts, removed when the engine is whole
        building.000001/  one an attempt: checkpoint and engine in the making

A build that ends anywhere leaves no READY, and `engine/` without READY is removed by the next attempt.
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
    """One engine's folder."""

    def __init__(self, root: Path, key: str) -> None:
        self.root, self.key = root, key
        self.folder = root / "engines" / key
        self.engine, self.tokenizer = self.folder / "engine", self.folder / "tokenizer"
        self.model, self.lock = self.folder / "model", self.folder / "lock"

    def building(self, generation: int) -> Path:
        """Returns the folder that one attempt builds in."""
        return self.folder / f"building.{generation:06d}"

    def log(self, generation: int) -> Path:
        """Returns one attempt's log."""
        return self.folder / "logs" / f"{generation:06d}.log"

    def ready(self) -> dict[str, Any] | None:
        """Returns what READY says, or None if there is no whole engine."""
        marker = _read_json(self.folder / "READY")
        return marker if marker is not None and self.engine.is_dir() and self.tokenizer.is_dir() else None

    def failed(self) -> dict[str, Any] | None:
        """Returns what the last attempt said when it failed, or None."""
        return _read_json(self.folder / "FAILED")

    def clear_failed(self) -> None:
        """Forgets an earlier attempt's failure."""
        (self.folder / "FAILED").unlink(missing_ok=True)

    def mark_failed(self, **said: Any) -> None:
        """Leaves the reason of a failure for whoever waits."""
        _write_json(self.folder / "FAILED", {"at_s": time.time(), **said})

    def sweep(self, generation: int) -> None:
        """Removes what earlier attempts left half done."""
        for left in self.folder.glob("building.*"):
            if left != self.building(generation):
                shutil.rmtree(left, ignore_errors=True)
        if not (self.folder / "READY").exists():
            shutil.rmtree(self.engine, ignore_errors=True)
            shutil.rmtree(self.tokenizer, ignore_errors=True)

    def publish(self, generation: int, marker: dict[str, Any], keep_model: bool) -> None:
        """Makes a finished build visible: folders first, READY last. Only the lock's holder may."""
        source = self.building(generation)
        for name in ("engine", "tokenizer"):
            _flush(source / name)
        if self.ready() is None:  # else a builder that was believed dead finished just before: its engine is whole
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
        raise EngineError(f"{path} is damaged: {error}. Remove it; the next build Job starts over.") from error


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
        with contextlib.suppress(OSError):  # some network file systems refuse it for a folder, and need it not
            os.fsync(opened)
    finally:
        os.close(opened)
