"""`--repeats`: at which phase of the autoscaler each load starts, and one command after another."""

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.base.errors import INTERRUPTED, ExitCode, SettingsError
from loadgen.dataset.events import Event
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.names import EventKind
from loadgen.dataset.run_info import Autoscaler, ClusterInfo, GroupInfo, RunInfo, ValidityLimits
from loadgen.dataset.stack import StackFolder
from loadgen.run import phase, repeats

times = st.floats(min_value=-1e4, max_value=1e4)


def place(number: int = 1, of: int = 3, *, period_s: float | None = None, sync_s: float | None = None) -> GroupInfo:
    return GroupInfo(id="g", number=number, repeats=of, sync_period_s=period_s, sync_s=sync_s)


@given(times, times, st.floats(min_value=0.5, max_value=300), st.integers(1, 20), st.data())
def test_a_load_starts_soon_and_at_its_phase(
    earliest_s: float, sync_s: float, period_s: float, of: int, data: st.DataObject
) -> None:
    """Not before it can, within a period of that, and (number − 1) · P / N after a sync."""
    number = data.draw(st.integers(1, of))
    start_s = phase.start_of(place(number, of, period_s=period_s, sync_s=sync_s), earliest_s)
    assert earliest_s - 1e-6 <= start_s <= earliest_s + period_s + 1e-6
    periods = (start_s - sync_s) / period_s - (number - 1) / of
    assert periods == pytest.approx(round(periods), abs=1e-6)


def test_the_phases_of_three_repeats() -> None:
    """Syncs at 2 s, 17 s, 32 s …: loads that may start from 20 s on do so at 32 s, 22 s and 27 s."""
    starts = [phase.start_of(place(number, period_s=15.0, sync_s=2.0), 20.0) for number in (1, 2, 3)]
    assert starts == pytest.approx([32.0, 22.0, 27.0])


def test_without_a_sync_the_loads_are_spread_blindly() -> None:
    """By thirds of the period, or of Kubernetes' 15 s where that is unknown; the sentence says that it is chance."""
    assert [phase.start_of(place(number), 20.0) for number in (1, 2, 3)] == pytest.approx([20.0, 25.0, 30.0])
    assert phase.start_of(place(2, period_s=30.0), 20.0) == pytest.approx(30.0)
    assert "left to chance" in phase.start_sentence(place(2))
    assert "5 s after a sync" in phase.start_sentence(place(2, period_s=15.0, sync_s=1.0))


def info(period_s: float | None, cluster: ClusterInfo | None = None) -> RunInfo:
    """The run has its time axis where Unix times have theirs."""
    scaler = {"metric": "r", "target": 1.0, "min_replicas": 1, "max_replicas": 2, "scale_down_window_s": 0.0}
    return RunInfo(
        run_id="r",
        scenario="x",
        anchor_unix_s=0.0,
        anchor_monotonic_s=0.0,
        target="local",
        protocol="grpc",
        stream=True,
        validity=ValidityLimits(send_lag_p99_s=0.05, scrape_gap_s=5.0, min_samples=100),
        autoscaler=None
        if period_s is None
        else Autoscaler(**scaler, sync_period_s=period_s, rate_window_s=10.0, scrape_interval_s=1.0),
        cluster=cluster,
        group=place(),
    )


def observed(folder: Path, of: RunInfo) -> float | None:
    group = phase.with_sync(RunFolder(folder), of)
    assert group is not None
    return group.sync_s


def test_the_last_sync_in_the_journal_counts(tmp_path: Path) -> None:
    """Among other events."""
    events = [(3.0, EventKind.HPA_SYNC), (18.0, EventKind.HPA_SYNC), (19.0, EventKind.REPLICA_READY)]
    StackFolder(tmp_path).emit(*(Event(t_s, kind) for t_s, kind in events))
    assert observed(tmp_path, info(15.0)) == 18.0


def test_a_target_that_shows_no_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for during a period; a target without an autoscaler has none to wait for."""
    monkeypatch.setattr(phase, "_MARGIN_S", 0.0)
    assert phase.with_sync(RunFolder(tmp_path), info(0.05)) == place(period_s=0.05)
    assert phase.with_sync(RunFolder(tmp_path), info(None)) == place()
    assert phase.with_sync(RunFolder(tmp_path), info(15.0).model_copy(update={"group": None})) is None


CLUSTER = ClusterInfo(
    kind="Deployment",
    workload="w",
    namespace="n",
    context="c",
    endpoint="e",
    balances="requests",
    skew_s={"kubernetes": 2.0},
)


@pytest.mark.parametrize(
    ("transitions", "sync_s"),
    [
        (("1970-01-01T00:00:40Z", "1970-01-01T00:01:40Z", None), 98.5),
        (("1970-01-01T00:00:40Z",), 38.5),
        (("1969-12-31T23:00:00Z",), None),
        (("never",), None),
        ((), None),
    ],
)
def test_the_first_status_of_a_cluster_is_no_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transitions: tuple[str | None, ...], sync_s: float | None
) -> None:
    """It was there already; the sync is when its conditions last changed, by the clock of the API server, if lately."""
    monkeypatch.setattr(phase, "_MARGIN_S", 0.0)
    data = {"conditions": [{"type": "ScalingActive", "lastTransitionTime": each} for each in transitions]}
    StackFolder(tmp_path).emit(Event(100.0, EventKind.HPA_SYNC, data=data))
    assert observed(tmp_path, info(0.05, CLUSTER)) == sync_s
    StackFolder(tmp_path).emit(Event(115.0, EventKind.HPA_SYNC, data=data))
    assert observed(tmp_path, info(0.05, CLUSTER)) == 115.0


@pytest.mark.parametrize(("text", "number"), [(None, 1), ("", 1), ("1", 1), ("3", 3), ("1000", 1000)])
def test_numbers_of_repeats(text: str | None, number: int) -> None:
    """One by default."""
    assert repeats.repeats_of(text) == number


@pytest.mark.parametrize("text", ["0", "-1", "1001", "two", "1.5", "nan"])
def test_what_is_not_a_number_of_repeats(text: str) -> None:
    """One sentence says what is."""
    with pytest.raises(SettingsError, match=rf"--repeats {text} is not a number of runs: use 1 to 1000"):
        repeats.repeats_of(text)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs a Python program in place of Locust with these flags; returns exit code and places of its repeats."""
    monkeypatch.setenv("LOADGEN_RUNS_DIR", str(tmp_path / "runs"))
    for name in ("LOADGEN_REPEATS", "LOCUST_HEADLESS", "LOCUST_MODE_MASTER", "LOCUST_MODE_WORKER", repeats.GROUP):
        monkeypatch.delenv(name, raising=False)
    places = tmp_path / "places"

    def run(program: str, *flags: str) -> tuple[int, list[str]]:
        prefix = f"import os, sys; open({str(places)!r}, 'a').write(os.environ['LOADGEN_GROUP'] + '\\n')\n"
        monkeypatch.setattr(sys, "orig_argv", [sys.executable, "-c", prefix + program])
        monkeypatch.setattr(sys, "argv", ["locust", "-f", "waves.py", *flags])
        with pytest.raises(SystemExit) as ended:
            repeats.repeat_if_requested()
        assert isinstance(ended.value.code, int)
        return ended.value.code, places.read_text().splitlines()

    return run


def test_each_repeat_is_a_command_with_its_place(command, tmp_path: Path) -> None:
    """Three commands, numbered, of one group; without any load there is no group to report on."""
    code, places = command("sys.exit(1)", "--headless", "--repeats", "3")
    assert code == 1
    ids, numbers, totals = zip(*(line.split() for line in places), strict=True)
    assert (len(set(ids)), numbers, totals) == (1, ("1", "2", "3"), ("3", "3", "3"))
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize("code", [ExitCode.USAGE, ExitCode.TOOL, INTERRUPTED])
def test_an_error_ends_the_group(command, code: int) -> None:
    """The others would fail as well; its exit code stays."""
    ended, places = command(f"sys.exit({int(code)})", "--headless", "--repeats=3")
    assert (ended, len(places)) == (code, 1)


def test_a_signal_ends_the_repeat_that_runs_and_starts_no_other(command) -> None:
    """It is passed on once; the run that it stops has a verdict, which counts."""
    program = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
os.kill(os.getppid(), signal.SIGTERM)
signal.sigwait({signal.SIGTERM})
"""
    ended, places = command(program, "--headless", "--repeats", "3")
    assert (ended, len(places)) == (0, 1)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_the_environment_gives_the_number(command, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for other flags, and Locust's own variable for the web UI."""
    monkeypatch.setenv("LOADGEN_REPEATS", "2")
    monkeypatch.setenv("LOCUST_HEADLESS", "true")
    ended, places = command("sys.exit(0)")
    assert (ended, len(places)) == (0, 2)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--repeats", "2"), "add --headless"),
        (("--repeats", "2", "--headless", "--master"), "use --processes"),
        (("--repeats", "2", "--worker"), "use --processes"),
        (("--repeats", "0"), "--repeats 0 is not a number of runs"),
    ],
)
def test_flags_that_exclude_repeats(flags: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence each, before anything starts."""
    monkeypatch.delenv("LOCUST_HEADLESS", raising=False)
    monkeypatch.setattr(sys, "argv", ["locust", *flags])
    with pytest.raises(SettingsError, match=says):
        repeats.repeat_if_requested()


@pytest.mark.parametrize("flags", [(), ("--repeats", "1"), ("--repeats", "3", "--help")])
def test_one_run_is_no_group(flags: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """The command goes on as it is."""
    monkeypatch.delenv("LOADGEN_REPEATS", raising=False)
    monkeypatch.setattr(sys, "argv", ["locust", *flags])
    repeats.repeat_if_requested()
    assert repeats.own_group() is None


def test_a_repeat_repeats_nothing_and_knows_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its command line still has the flag."""
    monkeypatch.setenv(repeats.GROUP, "g 2 3")
    monkeypatch.setattr(sys, "argv", ["locust", "--repeats", "3", "--headless"])
    repeats.repeat_if_requested()
    repeats.check_repeats("3")
    assert repeats.own_group() == place(2, 3)


def test_repeats_that_are_found_too_late_are_refused() -> None:
    """A file of flags and an abbreviated flag are read by Locust alone, when one run has begun."""
    assert repeats.GROUP not in os.environ
    with pytest.raises(SettingsError, match="give --repeats unabbreviated on the command line"):
        repeats.check_repeats("3")
    repeats.check_repeats(None)
