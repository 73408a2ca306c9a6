"""A lock for one builder at a time, on a volume that pods on several nodes share.

The lock is a folder of numbered files, `lock/000001`, `lock/000002`, …; the highest number is the lock's state. A
builder takes the lock by creating the next number with O_EXCL, in which exactly one process on any node succeeds. So
one builder takes over a stale lock, and no file is removed that another builder may rely on. The holder renews the
mtime of its file every `heartbeat_s`. A lock is stale when its file has not changed for `stale_s` **on the watcher's
own monotonic clock**: clocks of nodes need not agree, but even an old lock must be watched for `stale_s`.

Limits: a holder that was frozen for longer than `stale_s` does not notice the loss for up to `heartbeat_s`. Until then
it writes only to its own numbered build folder and log; publishing checks the lock first, and renames a folder to a
name that must not exist. NFS may show attributes of a file late (`acregmax`, 60 s), so `stale_s` must be above that
plus `heartbeat_s`; opening a file queries the server. The volume must support atomic O_EXCL: NFS 3 and later, hostPath,
CephFS, EFS and Azure Files do; object stores behind FUSE do not.
"""

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HEARTBEAT_S, STALE_S = 10.0, 150.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The contents of a lock file.

    Attributes:
        generation: Its number; a later attempt has a higher one.
        owner: Name of the holder.
        since_s: Time at which the lock was taken, by the owner's wall clock; None if not written yet.
        step: Current step of the owner.
        released: How the owner released it (`done failed stopped`); None while it is held.
        pulse: Changes with every heartbeat.
    """

    generation: int
    owner: str
    since_s: float | None
    step: str
    released: str | None
    pulse: tuple[int, int]


def newest(folder: Path) -> Holder | None:
    """Returns the lock's state, or None if it was never taken."""
    try:
        number = max((int(path.name) for path in folder.iterdir() if path.name.isdigit()), default=0)
    except FileNotFoundError:
        return None
    state = _look(folder, number) if number else None
    while later := _look(folder, number + 1):  # a cached listing may lack the latest
        state, number = later, number + 1
    return state


def _look(folder: Path, number: int) -> Holder | None:
    try:
        with (folder / f"{number:06d}").open() as file:
            state, text = os.fstat(file.fileno()), file.read()
    except FileNotFoundError:
        return None
    try:
        content = json.loads(text)
    except json.JSONDecodeError:
        content = {}  # created, not written yet
    return Holder(
        generation=number, owner=content.get("owner", "unknown"), since_s=content.get("since_s"),
        step=content.get("step", "starting"), released=content.get("released"), pulse=(state.st_mtime_ns, hash(text)),
    )  # fmt: skip


class Watch:
    """Detects a stale lock by reading it repeatedly."""

    def __init__(self, folder: Path, stale_s: float) -> None:
        self._folder, self._stale_s = folder, stale_s
        self._last: tuple[int, tuple[int, int]] | None = None
        self._changed_s = time.monotonic()

    def look(self) -> tuple[Holder | None, bool]:
        """Returns the state, and whether a live holder has the lock."""
        holder = newest(self._folder)
        if holder is None or holder.released:
            return holder, False
        if (holder.generation, holder.pulse) != self._last:
            self._last, self._changed_s = (holder.generation, holder.pulse), time.monotonic()
        return holder, time.monotonic() - self._changed_s < self._stale_s


class Lock:
    """The lock of its holder; created by `take`."""

    def __init__(self, folder: Path, generation: int, owner: str, heartbeat_s: float) -> None:
        self.generation, self.lost = generation, False
        self._folder, self._path = folder, folder / f"{generation:06d}"
        self._content = {"owner": owner, "since_s": time.time(), "step": "starting"}
        self._heartbeat_s = heartbeat_s
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self.on_lost: Callable[[], None] = lambda: None

    def _write(self) -> None:
        draft = self._path.with_name(f"{self._path.name}.draft")
        with contextlib.suppress(OSError):  # on a full volume the mtime is still renewed
            draft.write_text(json.dumps(self._content))
            draft.replace(self._path)

    def _beat(self) -> None:
        while not self._end.wait(self._heartbeat_s):
            if not self.held():
                self.on_lost()
                return
            with contextlib.suppress(OSError):
                os.utime(self._path)

    def held(self) -> bool:
        """Returns whether this process still holds the lock."""
        self.lost = self.lost or _look(self._folder, self.generation + 1) is not None
        return not self.lost

    @property
    def step_name(self) -> str:
        """The current step."""
        return str(self._content["step"])

    def step(self, name: str) -> None:
        """Sets the current step, for watchers."""
        self._content["step"] = name
        self._write()

    def release(self, how: str) -> None:
        """Releases the lock, so that the next builder need not wait until it is stale."""
        self._end.set()
        self._thread.join()
        self._content["released"] = how
        self._write()


def take(folder: Path, watch: Watch, owner: str, heartbeat_s: float = HEARTBEAT_S) -> Lock | None:
    """Returns the lock if it was free or stale and this process took it first, else None."""
    holder, alive = watch.look()
    if alive:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    generation = (holder.generation if holder else 0) + 1
    try:
        os.close(os.open(folder / f"{generation:06d}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    except FileExistsError:
        return None
    lock = Lock(folder, generation, owner, heartbeat_s)
    lock._write()
    lock._thread.start()
    return lock
