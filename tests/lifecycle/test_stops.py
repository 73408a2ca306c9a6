"""Runs of the `locust` command that are stopped by --run-time or by a signal, during or before the load.

Needs only loopback; takes about a minute and a half.
"""

import signal

import pytest

from loadgen.protocols.reference import Script
from support.runs.locust_bench import Bench, silent_server

LONG = {"TEST_S": "60", "TEST_PER_S": "10", "TEST_TIMEOUT_S": "5"}
"""A load that is longer than the tests."""


@pytest.mark.parametrize("flags", [(), ("--processes", "2")], ids=["local", "workers"])
def test_run_time_and_grace_time(bench: Bench, flags: tuple[str, ...]) -> None:
    """-t stops the run early, with a report, and --stop-timeout lets requests in flight finish.

    Requests that are due during the stop timeout have the outcome `not_sent` with the cause `run stopped`.
    """
    bench.prompts(Script(tokens=3, gap_s=0.7))
    code, out, err = bench.run("-t", "3s", "--stop-timeout", "5", *flags, **LONG)
    assert code in (0, 1, 3), err
    assert out.strip().endswith("report.html")
    info = bench.run_folder().read_info()
    assert (info.state, info.stop_cause) == ("stopped", "run_time")
    rows = bench.requests()
    assert 20 <= len(rows) <= 60
    assert set(rows.outcome) <= {"ok", "not_sent"}, err
    late = (rows.sent_s - rows.scheduled_s).max() > 0.5  # on a busy machine the generator is late
    assert set(rows.cause.dropna()) <= ({"run stopped", "no free user"} if late else {"run stopped"})
    assert info.load_end_s is not None
    # the last responses arrive 1.4 s after the stop, while many users are free
    assert (rows.scheduled_s < info.load_end_s - 1).all()


@pytest.mark.parametrize("flags", [(), ("--processes", "2")], ids=["local", "workers"])
def test_stopped_before_the_load(bench: Bench, flags: tuple[str, ...]) -> None:
    """Ctrl-C before the target has answered ends the run at once with one sentence and no traceback."""
    with silent_server() as server:
        process = bench.start("--target", f"grpc://{server.address}", *flags)
        assert server.connected.wait(timeout=60)
        process.signal(signal.SIGINT)
        code, _, err = process.wait()
    assert code == 130, err
    assert err.count("error: stopped before the load began") == 1
    assert "Traceback" not in err
    assert "cannot reach" not in err


@pytest.mark.parametrize(
    ("number", "flags"),
    [(signal.SIGINT, ()), (signal.SIGTERM, ()), (signal.SIGTERM, ("--processes", "2"))],
    ids=["ctrl-c", "terminated", "terminated-workers"],
)
def test_stopped_by_signal(bench: Bench, number: signal.Signals, flags: tuple[str, ...]) -> None:
    """Ctrl-C and SIGTERM stop the run with a report and a row for every arrival due so far."""
    bench.prompts(Script(tokens=4, gap_s=0.5))
    process = bench.start(*flags, **LONG)
    bench.wait_for(lambda: bench.rows_so_far() > 20)
    process.signal(number)
    _, out, err = process.wait()
    rows = bench.requests()
    expected = bench.run_folder().read_info().expected_rows or 0  # workers receive the stop at different moments
    assert [number for number in rows.request_id if number < expected] == list(range(expected)), err
    assert expected > 20
    assert {"ok", "cut_off"} <= set(rows.outcome)
    assert rows.first_token_s[rows.outcome == "cut_off"].notna().any(), "streams keep the tokens that had arrived"
    assert set(rows.cause.dropna()) <= {"run stopped", "no free user"}
    info = bench.run_folder().read_info()
    assert (info.state, info.stop_cause) == ("stopped", "ctrl_c" if number == signal.SIGINT else "sigterm")
    assert (bench.run_folder().path / "report.html").is_file(), out + err
    assert "Traceback" not in err


def test_stopped_twice(bench: Bench) -> None:
    """A second Ctrl-C ends the run at once, without a traceback, and prints the command to report on it.

    The terminal sends it to the workers, too, and the first one still stops them in order.
    """
    process = bench.start("--processes", "2", **LONG)
    bench.wait_for(lambda: bench.rows_so_far() > 20)
    process.press_ctrl_c()
    bench.wait_for(lambda: bench.run_folder().read_info().state == "stopped")
    process.press_ctrl_c()
    code, _, err = process.wait()
    assert code == -signal.SIGINT
    assert f"loadgen report {bench.run_folder().path.relative_to(bench.folder)}" in err
    assert "Traceback" not in err
