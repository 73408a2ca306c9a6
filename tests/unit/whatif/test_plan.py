"""`loadgen plan`: a trace of arrivals, and the fewest replicas that it needs."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loadgen.analyze.cost.oracle import join_windows
from loadgen.base.errors import DatasetError, SettingsError
from loadgen.whatif import plan_cli
from loadgen.whatif.plan_cli import read_arrivals
from support.runs.synthetic import PLANS, simulate, write


def command(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    plan_cli.add_command(parser.add_subparsers(dest="command"))
    return plan_cli.run(parser.parse_args(["plan", *map(str, arguments)]))


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """1/s, then 5/s, then 1/s, for two minutes each, counted from a Unix time."""
    arrivals = [*np.arange(0, 120, 1.0), *np.arange(120, 240, 0.2), *np.arange(240, 360, 1.0)]
    path = tmp_path / "trace.csv"
    path.write_text("model,arrival_s\n" + "".join(f"m,{1_790_000_000 + each:.3f}\n" for each in arrivals))
    return path


def test_a_trace_needs_as_many_replicas_as_its_rate(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A replica completes 2/s: three for the two minutes of 5/s, one before and after."""
    assert command(trace, "--capacity", 2, "--ttft", 0.5, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["requests"], result["fixed_replicas"]) == (840, 3)
    assert set(result["perfect"]["replicas"][:8]) == set(result["perfect"]["replicas"][16:24]) == {1}
    assert set(result["perfect"]["replicas"][8:16]) == {3}
    assert result["perfect"]["replica_seconds"] == pytest.approx(360 + 240 + 15, abs=16)
    assert result["perfect_with_start_up"] is None


def test_the_printed_command(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The flags of docs/whatif.md."""
    assert command(trace, "--capacity", 3.3, "--slots", 4, "--ttft", 2, "--start-up", 60) == 0
    assert "perfect autoscaler, start-up of 60 s: " in capsys.readouterr().out


def test_the_result_is_one_line_for_each_way(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fixed, perfect, and perfect with the start-up; each with its price."""
    code = command(trace, "--capacity", 2, "--ttft", 0.5, "--start-up", 30, "--price", 10, "--min-replicas", 2)
    printed = capsys.readouterr()
    out = printed.out.splitlines()
    assert code == 0
    assert "Assumed: every request takes 500 ms in its slot" in printed.err
    assert "whatever its input and output tokens" in printed.err
    assert out[0] == "840 requests in 360 s, 2.34/s on average"
    assert out[1].startswith("fixed fleet of 3: 0.300 replica-hours, 3.00 at 10 for a replica-hour")
    assert out[2].startswith("perfect autoscaler: ")
    assert out[3].startswith("perfect autoscaler, start-up of 30 s: ")
    assert all("at 10 for a replica-hour" in line for line in out[1:])


@pytest.mark.parametrize(
    "text", ["0\n1.5\n1.25\n", "\ufeffarrival_s\n0\n1.5\n1.25\n", "arrival_s, x\n0,a\n1.5,b\n\n1.25,c"]
)
def test_arrivals_are_read_in_order(tmp_path: Path, text: str) -> None:
    """With or without a header, and with a byte order mark."""
    path = tmp_path / "trace.csv"
    path.write_text(text, encoding="utf-8")
    assert read_arrivals(path).tolist() == [0.0, 1.25, 1.5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no arrivals"),
        (b"arrival_s\n", "has no arrivals"),
        (b"time,model\n1,a\n", "has no column arrival_s, but time, model"),
        (b"arrival_s\n1\nsoon\n", r"line 3 of the trace .* has no arrival time in seconds: \['soon'\]"),
        (b"arrival_s\nnan\n", "line 2 of the trace"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_a_wrong_trace_is_one_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    """It names the file, and the line where there is one."""
    path = tmp_path / "trace.csv"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=message):
        read_arrivals(path)
    with pytest.raises(SettingsError, match="cannot be read"):
        read_arrivals(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--capacity", "0"], "--capacity 0: use more than 0"),
        (["--ttft", "nan"], "--ttft nan: use more than 0"),
        (["--share", "1.5"], "--share 1.5: use more than 0 and at most 1"),
        (["--slots", "0"], "--slots 0: use at least 1"),
        (["--services", "runs/none"], "give one of --capacity and --services"),
        (["--start-up", "-1"], "--start-up -1: use 0 or more"),
        (["--sync-period", "inf"], "--sync-period inf: use more than 0"),
        (
            ["--first-token", "2"],
            "no number of replicas keeps 0.95 of the requests within 0.5 s",
        ),
    ],
)
def test_wrong_values_are_one_sentence(trace: Path, arguments: list[str], message: str) -> None:
    """The last of two flags counts."""
    with pytest.raises(SettingsError, match=message):
        command(trace, "--capacity", 2, "--ttft", 0.5, *arguments)


def test_services_of_a_run(trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Arrivals as in the trace, services as in the run: at 5/s the fleet must have the slots that these keep busy."""
    plan = replace(PLANS["failing"], peak_per_s=6.0, engine_times=True)
    run = write(tmp_path, plan).path
    assert command(trace, "--services", run, "--ttft", 2, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    mean_s = np.mean(
        [float(each.tokens_s[-1]) - each.start_s for each in simulate(plan).requests if each.outcome == "ok"]
    )
    busy = 5 * mean_s / plan.slots
    assert busy < result["fixed_replicas"] < busy + 1.5
    assert max(result["perfect"]["replicas"]) >= result["fixed_replicas"]
    (assumed,) = result["assumptions"]
    assert "the services are drawn from those of" in assumed
    assert assumed.endswith("a replica computes 4 at the same time")
    # half of the slots need twice the replicas
    assert command(trace, "--services", run, "--slots", 2, "--ttft", 2, "--json") == 0
    assert json.loads(capsys.readouterr().out)["fixed_replicas"] >= 2 * busy


def test_what_a_replica_can_do_is_given_once(trace: Path, tmp_path: Path) -> None:
    """By its capacity or by a run, which also has the times to the first token; one without waits has no slots."""
    with pytest.raises(SettingsError, match="give one of --capacity and --services"):
        command(trace, "--ttft", 1)
    with pytest.raises(SettingsError, match="--first-token does not go with --services"):
        command(trace, "--services", tmp_path, "--first-token", 0.1, "--ttft", 1)
    calm = write(tmp_path, replace(PLANS["failing"], trough_per_s=0.5, peak_per_s=1.0, replicas=(4, 4))).path
    with pytest.raises(SettingsError, match="give it with --slots"):
        command(trace, "--services", calm, "--ttft", 1)
    with pytest.raises(DatasetError, match="is not a run folder"):
        command(trace, "--services", tmp_path, "--ttft", 1)


def test_windows_with_few_requests_are_joined() -> None:
    """Four windows of 10 s with 3, 1, 2 and 1 requests, at least 2 each."""
    arrivals = np.array([0.0, 1.0, 2.0, 12.0, 21.0, 22.0, 33.0])
    assert join_windows(arrivals, 40.0, 10.0, 2) == [(0, 3), (3, 7)]
    assert join_windows(arrivals, 40.0, 10.0, 1) == [(0, 3), (3, 4), (4, 6), (6, 7)]
    assert join_windows(np.empty(0), 40.0, 10.0, 2) == [(0, 0)]
