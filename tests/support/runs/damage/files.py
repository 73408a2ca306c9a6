"""Damaged files: parts, folders and `run.json` in whose place is something else, and texts of `run.json`."""

import functools
import math
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from loadgen.dataset.tables import TABLES
from support.runs.damage.base import PART, Damage, Outcome, with_info
from support.runs.synthetic.plan import LOAD_START_S


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket may have 108 bytes
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


_IN_PLACE: dict[str, Callable[[Path], object]] = {
    "a FIFO": _fifo,
    "a socket": _socket,
    "a folder": lambda path: path.mkdir(),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "an empty file": lambda path: path.write_bytes(b""),
    "other bytes": lambda path: path.write_bytes(b"PAR1" + b"\xff" * 200 + b"PAR1"),
}


def files() -> Iterator[Damage]:
    """Files that are not what they should be."""
    for table in TABLES:
        for name, make in _IN_PLACE.items():
            yield _file(f"{table}: {name} as a part", table, f"{table}/{PART}", make)
        yield _file(f"{table}: a part cut in half", table, f"{table}/{PART}", None)
        for name in ("a FIFO", "an empty file", "a link to nothing"):
            yield _file(f"{table}: {name} as its folder", table, table, _IN_PLACE[name])
    for name, make in _IN_PLACE.items():
        yield _file(f"run.json: {name}", "", "run.json", make)


def _file(name: str, table: str, file: str, make: Callable[[Path], object] | None) -> Damage:
    """Something else in place of a file or folder, or half of a file."""

    def edit(folder: Path) -> object:
        return _cut(folder / file) if make is None else _replace(folder / file, make)

    return Damage(name, "refused", table, edit)


def _replace(path: Path, make: Callable[[Path], object]) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    make(path)


def _cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


_ROOTS = ("", "{", "[]", "null", "3", '"x"', "[" * 100_000, '{"a":' * 100_000, "\xff", '{"schema_version": 2}')
_ODD: dict[str, Any] = {
    "NaN": math.nan,
    "infinite": math.inf,
    "1e300": 1e300,
    "negative": -1,
    "an integer of 400 digits": 10**400,
    "text": "x",
    "a list": [[]],
    "an object": {"x": {}},
    "null": None,
}
_NUMBERS: tuple[tuple[str | int, ...], ...] = (
    ("anchor_unix_s",),
    ("anchor_monotonic_s",),
    ("load_start_s",),
    ("load_end_s",),
    ("expected_rows",),
    ("stages", 0, "start_s"),
    ("stages", 0, "end_s"),
    ("limits", 0, "limit"),
    ("validity", "send_lag_p99_s"),
    ("validity", "scrape_gap_s"),
    ("validity", "min_samples"),
    ("autoscaler", "target"),
    ("autoscaler", "min_replicas"),
    ("autoscaler", "max_replicas"),
    ("autoscaler", "sync_period_s"),
    ("autoscaler", "rate_window_s"),
    ("autoscaler", "scrape_interval_s"),
    ("autoscaler", "scale_down_window_s"),
    ("autoscaler", "tolerance"),
    ("compressions", 0, "local"),
    ("seeds", "arrivals"),
    ("settings", "request_timeout_s"),
    ("settings", "settle_s"),
)
_OTHERS: tuple[tuple[str | int, ...], ...] = (
    ("run_id",), ("scenario",), ("state",), ("stop_cause",), ("target",), ("protocol",), ("stream",), ("model",),
    ("autoscaler",), ("cluster",), ("connection",), ("error",), ("prompts",), ("stages",), ("limits",), ("validity",),
    ("limits", 0, "metric"), ("limits", 0, "statistic"), ("seeds",), ("settings",), ("versions",), ("surprise",),
)  # fmt: skip
_ENDLESS = {"kind": "wave", "trough_per_s": 0.5, "peak_per_s": 3.0, "period_s": 24.0, "cycles": 10**9}
_MAY_BE_NEGATIVE = ("anchor_monotonic_s", "load_start_s", "load_end_s", "start_s", "end_s", "local", "arrivals")


def infos() -> Iterator[Damage]:
    """Descriptions of a run that cannot be true."""
    for text in _ROOTS:
        yield _file(f"run.json is {text[:20]}", "", "run.json", functools.partial(_write, text=text))
    for path in _NUMBERS:
        for name, value in _ODD.items():
            impossible = name in ("NaN", "infinite", "an integer of 400 digits")
            impossible |= name == "negative" and path[-1] not in _MAY_BE_NEGATIVE
            yield _info(path, name, value, "refused" if impossible else "any")
    for period in ("sync_period_s", "rate_window_s", "scrape_interval_s"):
        for name, number in (("0", 0), ("too short", 1e-9), ("too long", 1e300)):
            yield _info(("autoscaler", period), name, number, "refused")
    for path in _OTHERS:
        for name in ("text", "a list", "an object", "null", "negative"):
            yield _info(path, name, _ODD[name], "any")
    for name, load in (("of no kind", {"kind": "x"}), ("without its rates", {"kind": "wave"}), ("endless", _ENDLESS)):
        yield _info(("settings", "load"), name, load, "any")
    yield _info(("load_end_s",), "before the start", LOAD_START_S - 5.0, "refused")
    yield _info(("stages", 0, "end_s"), "before its start", LOAD_START_S - 5.0, "refused")
    yield _info(("limits", 0), "of another metric", {"metric": "failed", "statistic": "p95", "limit": 1.0}, "refused")
    deep: Any = 0
    for _ in range(200):
        deep = [deep]
    yield _info(("settings", "prompts"), "deep", deep, "refused")
    yield Damage("run.json of 20 MB", "refused", "", lambda folder: os.truncate(folder / "run.json", 20 << 20))


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode("latin-1"))


def _info(path: tuple[str | int, ...], name: str, value: Any, outcome: Outcome) -> Damage:
    where = ".".join(map(str, path))
    return Damage(f"run.json {where} {name}", outcome, "", lambda folder: with_info(folder, path, value))
