"""The progress line: its width, its stage, its rates and its countdown."""

import sys
import time

import pytest

from loadgen.base.console import fitted
from loadgen.load.plan import LoadPlan
from loadgen.load.tally import Counts
from loadgen.run import progress as module
from loadgen.run.progress import Fleet, Progress
from loadgen.scenario.rates import Step
from loadgen.scenario.settings import Scenario

SCENARIO = Scenario(name="x", load=Step(levels_per_s=(2, 20), hold_s=25), arrivals="even", settle_s=10)
"""2/s for 25 s, 20/s for 25 s, and 10 s afterwards."""


class Clock:
    """The monotonic clock of a test, which begins at 1000 s."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def lines(clock: Clock, capsys: pytest.CaptureFixture[str], *, run_time_s: float | None = None) -> list[str]:
    """The plain lines of a run of a minute in which every request is sent and answered when it is due."""
    plan = LoadPlan(SCENARIO)
    progress = Progress(plan, clock.now, run_time_s)
    start = clock.now
    while clock.now < start + 60:
        clock.now += progress.pause_s() + 0.001  # a scheduler is a little late
        done = int((plan.due_s < clock.now - start).sum())
        progress.show(Counts(total=len(plan), sent=done, ok=done), Fleet())
    return capsys.readouterr().err.splitlines()


def test_stages_are_cut_at_their_ends(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """No line has the mean of two stages, and each has the name of its own."""
    written = [line.split(" │ ") for line in lines(clock, capsys)]
    stages = [stage for stage, *_ in written]
    assert stages == ["step 1 (2/s)"] * 4 + ["step 2 (20/s)"] * 3 + ["settling"]
    rates = {stage: {round(_rate(due)) for name, _, due, *_ in written[1:] if name == stage} for stage in stages}
    assert rates == {"step 1 (2/s)": {2}, "step 2 (20/s)": {20}, "settling": {0}}


def _rate(due: str) -> float:
    return float(due.split()[1].removesuffix("/s"))


@pytest.mark.parametrize(
    ("run_time_s", "left"),
    [(None, "59 s left"), (0, "59 s left"), (30, "29 s left"), (55, "54 s left"), (300, "59 s left")],
)
def test_the_countdown_ends_when_the_run_does(
    clock: Clock, capsys: pytest.CaptureFixture[str], run_time_s: float | None, left: str
) -> None:
    """At the run time, or after load and settling, whichever is first."""
    assert lines(clock, capsys, run_time_s=run_time_s)[0].split(" │ ")[1] == left


@pytest.mark.parametrize("width", [0, 1, 5, 20, 40, 80, 120, 400])
def test_the_live_line_fits_any_width(monkeypatch: pytest.MonkeyPatch, clock: Clock, width: int) -> None:
    """The most important parts come first, and nothing is longer than the terminal."""
    shown: list[str] = []
    monkeypatch.setattr(module, "is_live", lambda: True)
    monkeypatch.setattr(module, "columns", lambda: width)
    monkeypatch.setattr(module, "show_live", shown.append)
    progress = Progress(LoadPlan(SCENARIO), clock.now)
    clock.now += 12
    progress.show(Counts(total=9, sent=8, ok=7, recent_ttft_s=(0.1,)), Fleet(ratio=0.5, desired=4, ready=3))
    (line,) = shown
    assert len(line) <= max(0, width - 1)
    assert line == "" if width <= 1 else line.startswith("step"[: width - 1])
    assert ("in flight 1" in line) == (width == 400)


def test_wide_characters_count_twice() -> None:
    """A name of Chinese characters takes two columns for each."""
    assert fitted(["峰值负载", "x"], 8) == "峰值负载"
    assert fitted(["峰值负载", "x"], 7) == "峰值负"
    assert fitted(["峰值负载", "x"], 12) == "峰值负载 │ x"


def test_a_terminal_without_cursor_movement_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """As its TERM says."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    assert not module.is_live()
    monkeypatch.setenv("TERM", "xterm")
    assert module.is_live()
