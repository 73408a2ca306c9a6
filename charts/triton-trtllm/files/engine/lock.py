"""One builder at a time, over a volume that pods on several nodes share.

The lock is a folder of numbered files, `lock/000001`, `lock/000002`, …; the highest number is the lock's state. A
builder gets the lock by creating the next number with O_EXCL, which exactly one process on any node can do, so a stale
lock is taken over by one and no file is ever removed that somebody else may still believe in. The holder renews its
file's mtime every `heartbeat_s`. A holder is dead when its file has not changed for `stale_s` **on the watcher's own
monotonic clock**: clocks of nodes need not agree, and a lock that was left long ago still costs `stale_s` of watching.

Limits. A holder that was frozen for longer than `stale_s` and wakes up does not know it for up to `heartbeat_s`. It
writes only in its own numbered build folder and log then; publishing asks the lock first, and renames a folder onto a
name that must not exist. NFS may show a file's attributes late (`acregmax`, 60 s): `stale_s` must be above that plus
`heartbeat_s`; files are opened to be looked at, which asks the server. The volume must have an atomic O_EXCL: NFS 3
and later, hostPath, CephFS, EFS and Azure Files do; object stores behind FUSE do not.
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
    """What a lock file says.

    Attributes:
        generation: Its number; a later attempt has a higher one.
        owner: Who holds it.
        since_s: When it was taken, in seconds of the owner's wall clock; None if it was not yet written.
        step: What the owner is doing.
        released: How the owner gave it back (`done failed stopped`); None while it is held.
        pulse: Changes with every heartbeat; only to be compared.
    """

    generation: int
    owner: str
    since_s: float | None
    step: str
    released: str | None
    pulse: tuple[int, int]


def newest(folder: Path) -> Holder | None:
    """Returns the lock's state, or None if nobody ever held it."""
    try:
        number = max((int(path.name) for path in folder.iterdir() if path.name.isdigit()), default=0)
    except FileNotFoundError:
        return None
    found = _look(folder, number) if number else None
    while later := _look(folder, number + 1):  # a cached listing may lack the latest
        found, number = later, number + 1
    return found


def _look(folder: Path, number: int) -> Holder | None:
    try:
        with (folder / f"{number:06d}").open() as file:
            state, text = os.fstat(file.fileno()), file.read()
    except FileNotFoundError:
        return None
    try:
        said = json.loads(text)
    except json.JSONDecodeError:
        said = {}  # created, and not yet written
    return Holder(
        generation=number, owner=said.get("owner", "unknown"), since_s=said.get("since_s"),
        step=said.get("step", "starting"), released=said.get("released"), pulse=(state.st_mtime_ns, hash(text)),
    )  # fmt: skip


class Watch:
    """Tells from repeated looks whether the holder lives."""

    def __init__(self, folder: Path, stale_s: float) -> None:
        self._folder, self._stale_s = folder, stale_s
        self._seen: tuple[int, tuple[int, int]] | None = None
        self._changed_s = time.monotonic()

    def look(self) -> tuple[Holder | None, bool]:
        """Returns the state and whether somebody lives who holds the lock."""
        holder = newest(self._folder)
        if holder is None or holder.released:
            return holder, False
        if (holder.generation, holder.pulse) != self._seen:
            self._seen, self._changed_s = (holder.generation, holder.pulse), time.monotonic()
        return holder, time.monotonic() - self._changed_s < self._stale_s


class Lock:
    """The lock as its holder has it; made by `take`."""

    def __init__(self, folder: Path, generation: int, owner: str, heartbeat_s: float) -> None:
        self.generation, self.lost = generation, False
        self._folder, self._path = folder, folder / f"{generation:06d}"
        self._said = {"owner": owner, "since_s": time.time(), "step": "starting"}
        self._heartbeat_s = heartbeat_s
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self.on_lost: Callable[[], None] = lambda: None

    def _write(self) -> None:
        draft = self._path.with_name(f"{self._path.name}.draft")
        with contextlib.suppress(OSError):  # a full volume must not cost the lock: the mtime is renewed without space
            draft.write_text(json.dumps(self._said))
            draft.replace(self._path)

    def _beat(self) -> None:
        while not self._end.wait(self._heartbeat_s):
            if not self.held():
                self.on_lost()
                return
            with contextlib.suppress(OSError):
                os.utime(self._path)

    def held(self) -> bool:
        """Returns whether nobody has taken the lock over."""
        self.lost = self.lost or _look(self._folder, self.generation + 1) is not None
        return not self.lost

    @property
    def step_name(self) -> str:
        """What is being done."""
        return str(self._said["step"])

    def step(self, name: str) -> None:
        """Says to watchers what is being done."""
        self._said["step"] = name
        self._write()

    def release(self, how: str) -> None:
        """Gives the lock back, so that the next builder need not wait until it is stale."""
        self._end.set()
        self._thread.join()
        self._said["released"] = how
        self._write()


def take(folder: Path, watch: Watch, owner: str, heartbeat_s: float = HEARTBEAT_S) -> Lock | None:
    """Returns the lock if it was free or stale and this process was the first to ask, else None."""
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
