"""`loadgen clean`: says what the tool keeps on this machine, and removes it.

    loadgen clean          # what killed runs and interrupted downloads left
    loadgen clean --all    # the downloaded and built programs, too

Folders that a process uses, or that another run is fetching, stay.
"""

import argparse
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from loadgen.base.console import say
from loadgen.base.errors import StackError
from loadgen.local.leftovers import sweep_dead
from loadgen.programs.cache import cache_dir, check_private, file_lock
from loadgen.programs.go import remove_caches

NAME = "clean"
_GO_CACHES = "go-caches"
_SANDBOXES = "sandboxes"


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `loadgen clean`."""
    parser = commands.add_parser(NAME, help="say what the tool keeps on this machine, and remove it")
    parser.add_argument(
        "--all",
        action="store_true",
        help="also remove the downloaded and built programs; a later run fetches them again",
    )


def run(options: argparse.Namespace) -> int:
    """Run `loadgen clean`; returns the exit code.

    Raises:
        StackError: other users can write to the cache.
    """
    sweep_dead()
    cache = cache_dir()
    check_private(cache)
    used = list(_programs_in_use())
    removed_bytes = kept_bytes = 0
    for folder in sorted(path for path in cache.glob("*") if path.is_dir() and not path.is_symlink()):
        size = _size(folder)
        reason = _reason_to_keep(folder, used, everything=options.all)
        if reason is None:
            reason = _remove(folder)
        if reason is None:
            removed_bytes += size
        else:
            kept_bytes += size
        say(f"{_megabytes(size):>10}  {folder.name}: {reason or 'removed'}")
    say(f"freed {_megabytes(removed_bytes)}, kept {_megabytes(kept_bytes)} in {cache}")
    return 0


def _reason_to_keep(folder: Path, used: list[Path], *, everything: bool) -> str | None:
    if folder.name == _SANDBOXES:
        return "kept, end a sandbox with `loadgen sandbox down`"
    if any(program.is_relative_to(folder) for program in used):
        return "kept, a process uses it"
    if everything or ".partial-" in folder.name or folder.name == _GO_CACHES:
        return None
    return "kept, `loadgen clean --all` removes it"


def _remove(folder: Path) -> str | None:
    """Remove a folder of the cache, unless another run is fetching it; returns why it is still there."""
    if folder.name == _GO_CACHES:
        return None if remove_caches(folder) else "kept, a build uses it"
    lock = folder.with_name(f"{folder.name.partition('.partial-')[0]}.lock")
    try:
        with file_lock(lock, timeout_s=0.0, progress=lambda _: None):
            shutil.rmtree(folder)
    except StackError:
        return "kept, another run is fetching it"
    except OSError as error:
        return f"kept, it cannot be removed ({error.strerror})"
    return None


def _programs_in_use() -> Iterator[Path]:
    for entry in Path("/proc").glob("[0-9]*/exe"):
        try:
            yield entry.readlink()
        except OSError:  # it has ended, or belongs to another user
            continue


def _size(folder: Path) -> int:
    """Return the bytes of the files below a folder."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(parent) / name).lstat().st_size
            except OSError:
                continue
    return total


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.0f} MB"
