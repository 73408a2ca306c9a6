"""File descriptors: checked before the load, and raised as far as the operating system allows."""

import resource
from pathlib import Path

import pytest

from loadgen.base import limits
from loadgen.base.errors import ExitCode, SelfCheckError
from loadgen.load import descriptors
from loadgen.load.descriptors import RESERVE, check_descriptors, check_ports


class Limit:
    """A hand-written limit of the operating system, as (soft, hard)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, soft: int, hard: int) -> None:
        self.value = (soft, hard)
        monkeypatch.setattr(descriptors, "_open_files", lambda: 20)
        monkeypatch.setattr(resource, "getrlimit", lambda _: self.value)
        monkeypatch.setattr(resource, "setrlimit", self.set)

    def set(self, _: int, value: tuple[int, int]) -> None:
        self.value = value


@pytest.mark.parametrize(
    ("soft", "hard", "raised_to"),
    [
        (1024, 1024, 1024),
        (20 + 100 + RESERVE, 4096, 20 + 100 + RESERVE),
        (64, 4096, 20 + 100 + RESERVE),
        (64, resource.RLIM_INFINITY, 20 + 100 + RESERVE),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY),
    ],
)
def test_enough_descriptors(soft: int, hard: int, raised_to: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """20 open files, 100 connections and the reserve fit; a lower soft limit is raised to what is needed."""
    limit = Limit(monkeypatch, soft, hard)
    check_descriptors(100)
    assert limit.value == (raised_to, hard)


def test_too_few_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `ulimit -n 300` and 500 possible connections nothing is sent; the sentence has the number that is needed."""
    Limit(monkeypatch, 300, 300)
    sentence = f"may open 300 files, and 500 requests .* raise the limit \\(ulimit -n {20 + 500 + RESERVE}\\)"
    with pytest.raises(SelfCheckError, match=sentence) as caught:
        check_descriptors(500)
    assert caught.value.exit_code == ExitCode.INVALID


def test_this_process_has_open_files() -> None:
    """Standard input, output and error at least; the number is that of the kernel."""
    assert descriptors._open_files() >= 3


def test_too_few_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With four ports for connections, five requests at once are refused before the load, and four are not."""
    range_file = tmp_path / "ip_local_port_range"
    range_file.write_text("32768\t32771\n")
    monkeypatch.setattr(limits, "_PORT_RANGE", range_file)
    check_ports(4)
    with pytest.raises(SelfCheckError, match=r"has 4 ports .*, and 5 requests .*widen the range net\.ipv4") as caught:
        check_ports(5)
    assert caught.value.exit_code == ExitCode.INVALID
    range_file.unlink()
    check_ports(5)
