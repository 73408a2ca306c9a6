"""Samples of a process of the load generator and of its machine."""

from pathlib import Path

import pytest

from loadgen.dataset.names import SignalName
from loadgen.load.monitor import Monitor

STAT = "cpu  {user} 0 0 {idle} 0 0 0 {steal} 0 0\ncpu0 1 1 1 1\n"
PRESSURE = "some avg10=1.00 avg60=0.50 avg300=0.10 total={total}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"


@pytest.fixture
def machine(tmp_path: Path) -> tuple[Path, Path]:
    stat, pressure = tmp_path / "stat", tmp_path / "pressure"
    stat.write_text(STAT.format(user=100, idle=100, steal=0))
    pressure.write_text(PRESSURE.format(total=1_000_000))
    return stat, pressure


def test_shares_are_of_the_time_since_the_last_sample(machine: tuple[Path, Path]) -> None:
    """Of 200 ticks 120 were busy, 20 of them stolen; some process waited for 0.5 of 2 s."""
    stat, pressure = machine
    monitor = Monitor(3, stat, pressure)
    first = {row["signal"]: row["value"] for row in monitor.samples(10.0, -0.001)}
    assert set(first) == {SignalName.GENERATOR_CPU_S, SignalName.GENERATOR_LOOP_LAG_S}
    assert first[SignalName.GENERATOR_LOOP_LAG_S] == 0.0
    assert first[SignalName.GENERATOR_CPU_S] > 0
    stat.write_text(STAT.format(user=200, idle=180, steal=20))
    pressure.write_text(PRESSURE.format(total=1_500_000))
    rows = monitor.samples(12.0, 0.25)
    values = {row["signal"]: row["value"] for row in rows}
    assert {(row["t_s"], row["pod"]) for row in rows} == {(12.0, "load3")}
    assert values[SignalName.HOST_CPU_RATIO] == pytest.approx(0.6)
    assert values[SignalName.HOST_STEAL_RATIO] == pytest.approx(0.1)
    assert values[SignalName.HOST_CPU_PRESSURE_RATIO] == pytest.approx(0.25)
    assert values[SignalName.GENERATOR_LOOP_LAG_S] == 0.25


@pytest.mark.parametrize("text", ["", "cpu 1 2\n", "intr 1 2 3 4 5 6 7 8\n", "cpu a b c d e f g h\n", "some total=x\n"])
def test_what_a_kernel_does_not_tell_is_left_out(tmp_path: Path, text: str) -> None:
    """Its own CPU time and lag are there in any case."""
    file = tmp_path / "file"
    file.write_text(text)
    for stat in (file, tmp_path / "none"):
        monitor = Monitor(0, stat, stat)
        monitor.samples(0.0, 0.0)
        signals = {row["signal"] for row in monitor.samples(1.0, 0.0)}
        assert signals == {SignalName.GENERATOR_CPU_S, SignalName.GENERATOR_LOOP_LAG_S}
