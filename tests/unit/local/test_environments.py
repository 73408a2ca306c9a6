"""Empty folders of killed Triton servers are found by the times in their logs; those of other servers stay."""

import os
from pathlib import Path

import pytest

from loadgen.local.environments import remove_environment_folders

NOON_UNIX_S = 1_796_040_000.0  # 2026-11-30 12:00:00 UTC, whatever the time zone of this machine
LOG = """\
I1130 12:00:00.{before:06d} {pid} model_lifecycle.cc:472] "loading: preprocessing:1"
I1130 12:00:00.{before:06d} {pid} model_lifecycle.cc:472] "loading: tensorrt_llm:1"
I1130 12:00:00.{after:06d} {pid} python_be.cc:2249] "TRITONBACKEND_ModelInstanceInitialize: preprocessing_0_0"
I1130 12:00:09.000000 {pid} python_be.cc:2249] "TRITONBACKEND_ModelInstanceInitialize: tensorrt_llm_0_0 (CPU device 0)"
I1130 12:00:09.100000 {pid} model_lifecycle.cc:472] "loading: ensemble:1"
"""
ENDED = 'I1130 12:05:13.396643 {pid} server.cc:345] "Timeout 1: Found 0 live models and 0 in-flight"\n'
UNLOADING = 'I1130 12:05:03.396643 {pid} server.cc:345] "Timeout 9: Found 4 live models and 0 in-flight"\n'


class Machine:
    """The logs of a stack and the folders on its machine."""

    def __init__(self, folder: Path) -> None:
        self.logs, self.tmp = folder / "logs", folder / "tmp"
        self.logs.mkdir()
        self.tmp.mkdir()

    def server(self, name: str, pid: int, before_ms: int, after_ms: int, end: str = UNLOADING) -> None:
        """A server that made its folder between two milliseconds after noon."""
        with (self.logs / f"{name}.log").open("a") as log:
            log.write((LOG + end).format(before=before_ms * 1000, after=after_ms * 1000, pid=pid))

    def folder(self, letter: str, made_ms: int) -> Path:
        path = self.tmp / f"python_env_{letter * 6}"
        path.mkdir()
        os.utime(path, (NOON_UNIX_S + made_ms / 1000,) * 2)
        return path

    def left(self) -> list[str]:
        remove_environment_folders(self.logs, self.tmp)
        return sorted(path.name[-1] for path in self.tmp.iterdir())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_folders_of_killed_servers_are_removed(machine: Machine) -> None:
    """One was made a clock tick before the line of the log; another belongs to the second start of a replica."""
    machine.server("a", 7, 400, 420)
    machine.server("b", 8, 500, 520)
    machine.server("b", 9, 900, 920)
    for letter, made_ms in (("a", 395), ("b", 510), ("c", 919)):
        machine.folder(letter, made_ms)
    assert machine.left() == []


def test_folders_of_servers_that_started_together_are_removed(machine: Machine) -> None:
    """Which folder is whose is unknown, and need not be known once all of them have ended."""
    machine.server("a", 7, 400, 420)
    machine.server("b", 8, 410, 450)
    machine.server("c", 9, 445, 460)
    for letter, made_ms in (("a", 415), ("b", 416), ("c", 447)):
        machine.folder(letter, made_ms)
    assert machine.left() == []


def test_folders_of_other_times_names_and_with_content_stay(machine: Machine) -> None:
    """They are another server's, or another program's."""
    machine.server("a", 7, 400, 420)
    machine.folder("a", 380)
    machine.folder("b", 430)
    (machine.folder("c", 410) / "lib").mkdir()
    (machine.tmp / "x").mkdir()
    os.utime(machine.tmp / "python_env_cccccc", (NOON_UNIX_S + 0.41,) * 2)
    os.utime(machine.tmp / "x", (NOON_UNIX_S + 0.41,) * 2)
    assert machine.left() == ["a", "b", "c", "x"]


def test_more_folders_than_servers_stay(machine: Machine) -> None:
    """A server of another stack made one at the same time, and would abort at its end without it."""
    machine.server("a", 7, 400, 420)
    machine.folder("a", 405)
    machine.folder("b", 415)
    assert machine.left() == ["a", "b"]


def test_a_server_that_ended_by_itself_has_removed_its_own(machine: Machine) -> None:
    """So a folder of that time is of another stack."""
    machine.server("a", 7, 400, 420, ENDED)
    machine.folder("a", 405)
    assert machine.left() == ["a"]


def test_a_server_that_ended_before_its_models_loaded_is_left_out(machine: Machine) -> None:
    """When it made its folder is not known, as with the log of another program."""
    (machine.logs / "a.log").write_text(LOG.splitlines()[0].format(before=400_000, pid=7))
    (machine.logs / "prometheus.log").write_bytes(b"\xff time=now level=INFO\n")
    machine.folder("a", 405)
    assert machine.left() == ["a"]
