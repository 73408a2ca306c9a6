"""The lock on a shared folder, and the markers of a whole and of a failed engine."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.charts.engine_programs import module, until

lock, store_module, errors = module("lock"), module("store"), module("errors")


def take(folder: Path, owner: str, stale_s: float = 30.0, watch: Any = None) -> Any:
    return lock.take(folder, watch or lock.Watch(folder, stale_s), owner, 0.05)


def test_a_held_lock_is_nobody_elses_and_a_released_one_is_free_at_once(tmp_path: Path) -> None:
    """The state says who holds it, at which step, and how it was given back."""
    first = take(tmp_path / "lock", "one")
    assert take(tmp_path / "lock", "two") is None
    first.step("convert")
    held = lock.newest(tmp_path / "lock")
    assert (held.owner, held.step, held.released, held.generation) == ("one", "convert", None, 1)
    first.release("done")
    assert lock.newest(tmp_path / "lock").released == "done"
    second = take(tmp_path / "lock", "two")
    assert second.generation == 2
    second.release("stopped")
    third = take(tmp_path / "lock", "three")
    assert third.generation == lock.newest(tmp_path / "lock").generation == 3
    third.release("done")


@given(st.integers(2, 8))
def test_of_many_who_ask_at_once_one_gets_it(tmp_path_factory: pytest.TempPathFactory, count: int) -> None:
    """For a free lock and for every takeover: exactly one process creates a number."""
    folder = tmp_path_factory.mktemp("many") / "lock"
    got: list[Any] = []
    start = threading.Barrier(count)

    def ask(number: int) -> None:
        start.wait()
        if (held := take(folder, f"owner {number}")) is not None:
            got.append(held)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for held in got:
        held.release("done")
    assert len(got) == 1


def test_a_lock_is_stale_by_what_a_watcher_sees_and_not_by_clocks(tmp_path: Path) -> None:
    """A heartbeat that is years off still counts as one, and an old file is watched before it is taken."""
    folder = tmp_path / "lock"
    folder.mkdir()
    file = folder / "000001"
    file.write_text('{"owner": "far away", "since_s": 1, "step": "build"}')
    watch = lock.Watch(folder, 0.8)
    os.utime(file, (1, 1))
    assert watch.look()[1]
    time.sleep(0.9)
    os.utime(file, (2, 2))
    assert take(folder, "near", watch=watch) is None
    seen_s = time.monotonic()
    got: list[Any] = []
    until(lambda: got.append(take(folder, "near", watch=watch)) or got[-1])
    assert time.monotonic() - seen_s > 0.7
    assert got[-1].generation == 2
    got[-1].release("done")


def test_a_holder_renews_its_lock_and_learns_when_it_lost_it(tmp_path: Path) -> None:
    """Its file changes with every heartbeat; when a higher number is there it is told, once."""
    told: list[bool] = []
    held = take(tmp_path / "lock", "one")
    held.on_lost = lambda: told.append(True)
    for _ in range(3):
        before = lock.newest(tmp_path / "lock").pulse
        until(lambda before=before: lock.newest(tmp_path / "lock").pulse != before)
    (tmp_path / "lock/000002").write_text("{}")
    until(lambda: told)
    assert not held.held()
    held.release("stopped")
    assert told == [True]


def test_a_lock_file_that_was_created_and_not_written_holds(tmp_path: Path) -> None:
    """A builder that died in between is taken over as any other."""
    (tmp_path / "lock").mkdir()
    (tmp_path / "lock/000001").touch()
    assert lock.newest(tmp_path / "lock").owner == "unknown"
    watch = lock.Watch(tmp_path / "lock", 0.2)
    assert take(tmp_path / "lock", "two", watch=watch) is None
    time.sleep(0.3)
    held = take(tmp_path / "lock", "two", watch=watch)
    held.release("done")
    assert held.generation == 2


def test_ready_needs_the_marker_and_what_it_marks(tmp_path: Path) -> None:
    """A marker without folders, or folders without a marker, is no engine."""
    store = store_module.Store(tmp_path, "key")
    (store.building(1) / "engine").mkdir(parents=True)
    (store.building(1) / "tokenizer").mkdir()
    assert store.ready() is None
    store.publish(1, {"ingredients": {}}, keep_model=False)
    assert store.ready()["key"] == "key"
    store.tokenizer.rmdir()
    assert store.ready() is None


def test_what_a_killed_publish_leaves_is_swept(tmp_path: Path) -> None:
    """An engine folder without READY and other attempts' folders go; a whole engine stays."""
    store = store_module.Store(tmp_path, "key")
    for folder in (store.building(1), store.building(2), store.engine):
        folder.mkdir(parents=True)
    store.sweep(2)
    assert sorted(path.name for path in store.folder.iterdir()) == ["building.000002"]


def test_an_engine_of_a_builder_believed_dead_counts(tmp_path: Path) -> None:
    """Who publishes second leaves the first one's whole engine as it is."""
    store = store_module.Store(tmp_path, "key")
    for generation in (1, 2):
        for name in ("engine", "tokenizer"):
            (store.building(generation) / name).mkdir(parents=True)
        (store.building(generation) / "engine/rank0.engine").write_text(str(generation))
    store.publish(1, {}, keep_model=False)
    store.publish(2, {}, keep_model=False)
    assert (store.engine / "rank0.engine").read_text() == "1"


def test_a_damaged_marker_is_named(tmp_path: Path) -> None:
    """The sentence says which file to remove."""
    store = store_module.Store(tmp_path, "key")
    store.folder.mkdir(parents=True)
    (store.folder / "READY").write_text("{")
    with pytest.raises(errors.EngineError, match=r"READY is damaged.*Remove it"):
        store.ready()
