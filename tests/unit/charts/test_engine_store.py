"""The lock on a shared folder, and the markers of complete and failed engines."""

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


def test_a_lock_has_one_owner_until_it_is_released(tmp_path: Path) -> None:
    """The state has owner, step and how the lock was released; a released lock is free at once."""
    first = take(tmp_path / "lock", "one")
    assert take(tmp_path / "lock", "two") is None
    first.step("convert")
    state = lock.newest(tmp_path / "lock")
    assert (state.owner, state.step, state.released, state.generation) == ("one", "convert", None, 1)
    first.release("done")
    assert lock.newest(tmp_path / "lock").released == "done"
    second = take(tmp_path / "lock", "two")
    assert second.generation == 2
    second.release("stopped")
    third = take(tmp_path / "lock", "three")
    assert third.generation == lock.newest(tmp_path / "lock").generation == 3
    third.release("done")


@given(st.integers(2, 8))
def test_one_of_many_concurrent_processes_gets_the_lock(tmp_path_factory: pytest.TempPathFactory, count: int) -> None:
    """Exactly one of many threads that request the lock at once gets it."""
    folder = tmp_path_factory.mktemp("many") / "lock"
    locks: list[Any] = []
    start = threading.Barrier(count)

    def request(number: int) -> None:
        start.wait()
        if (owned := take(folder, f"owner {number}")) is not None:
            locks.append(owned)

    threads = [threading.Thread(target=request, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for owned in locks:
        owned.release("done")
    assert len(locks) == 1


def test_a_lock_is_stale_when_its_heartbeat_stops(tmp_path: Path) -> None:
    """Any change of the file's time counts as a heartbeat; the age of the file does not count, as clocks differ."""
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
    heartbeat_s = time.monotonic()
    results: list[Any] = []
    until(lambda: results.append(take(folder, "near", watch=watch)) or results[-1])
    assert time.monotonic() - heartbeat_s > 0.7
    assert results[-1].generation == 2
    results[-1].release("done")


def test_an_owner_renews_its_lock_and_is_notified_of_its_loss(tmp_path: Path) -> None:
    """The file changes with every heartbeat; once a file with a higher number exists, `on_lost` is called once."""
    calls: list[bool] = []
    owned = take(tmp_path / "lock", "one")
    owned.on_lost = lambda: calls.append(True)
    for _ in range(3):
        before = lock.newest(tmp_path / "lock").pulse
        until(lambda before=before: lock.newest(tmp_path / "lock").pulse != before)
    (tmp_path / "lock/000002").write_text("{}")
    until(lambda: calls)
    assert not owned.held()
    owned.release("stopped")
    assert calls == [True]


def test_an_empty_lock_file_is_a_lock(tmp_path: Path) -> None:
    """The lock of a builder that died after it created the file is taken over once it is stale."""
    (tmp_path / "lock").mkdir()
    (tmp_path / "lock/000001").touch()
    assert lock.newest(tmp_path / "lock").owner == "unknown"
    watch = lock.Watch(tmp_path / "lock", 0.2)
    assert take(tmp_path / "lock", "two", watch=watch) is None
    time.sleep(0.3)
    owned = take(tmp_path / "lock", "two", watch=watch)
    owned.release("done")
    assert owned.generation == 2


def test_an_engine_is_ready_with_marker_and_folders(tmp_path: Path) -> None:
    """An engine is not ready if the marker or one of the folders is missing."""
    store = store_module.Store(tmp_path, "key")
    (store.building(1) / "engine").mkdir(parents=True)
    (store.building(1) / "tokenizer").mkdir()
    assert store.ready() is None
    store.publish(1, {"ingredients": {}}, keep_model=False)
    assert store.ready()["key"] == "key"
    store.tokenizer.rmdir()
    assert store.ready() is None


def test_remains_of_an_interrupted_publication_are_removed(tmp_path: Path) -> None:
    """An engine folder without READY and the folders of other attempts are removed."""
    store = store_module.Store(tmp_path, "key")
    for folder in (store.building(1), store.building(2), store.engine):
        folder.mkdir(parents=True)
    store.sweep(2)
    assert sorted(path.name for path in store.folder.iterdir()) == ["building.000002"]


def test_the_first_published_engine_stays(tmp_path: Path) -> None:
    """A builder that publishes second does not replace the complete engine of the first one."""
    store = store_module.Store(tmp_path, "key")
    for generation in (1, 2):
        for name in ("engine", "tokenizer"):
            (store.building(generation) / name).mkdir(parents=True)
        (store.building(generation) / "engine/rank0.engine").write_text(str(generation))
    store.publish(1, {}, keep_model=False)
    store.publish(2, {}, keep_model=False)
    assert (store.engine / "rank0.engine").read_text() == "1"


def test_a_damaged_marker_is_reported(tmp_path: Path) -> None:
    """The message has the file to remove."""
    store = store_module.Store(tmp_path, "key")
    store.folder.mkdir(parents=True)
    (store.folder / "READY").write_text("{")
    with pytest.raises(errors.EngineError, match=r"READY is corrupt.*Remove it"):
        store.ready()
