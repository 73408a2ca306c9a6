"""Runs whose load generator was late for a known reason, or was not."""

import numpy as np
import pytest

from loadgen.analyze.analysis import analyze
from support.runs.tables import info, request, series, tables

LENGTH_S = 60.0


def run(*, send_lag_s=0.001, loop_lag_s=0.002, cpu=0.3, host=0.5, steal=0.0, pressure=0.05, recorded=True, processes=1):
    """Ten requests a second; 2 % of requests and seconds have the lags; a second process is idle."""
    times = np.arange(0.05, LENGTH_S, 0.1)
    rows = [
        request(n, float(at), 0.1 + (3.0 if n in (100, 300) else 0.0), 4.0, lag_s=send_lag_s if n % 50 == 0 else 0.0)
        for n, at in enumerate(times)
    ]
    samples, seconds = [], [float(t) for t in range(61)]
    for number in range(processes if recorded else 0):
        pod, own = f"load{number}", cpu if number == 0 else 0.01
        samples += series("generator_cpu_s", pod, {t: 5.0 + own * t for t in seconds})
        samples += series("generator_loop_lag_s", pod, {t: loop_lag_s if t % 20 == 0 else 0.0 for t in seconds})
        for name, value in (("cpu", host), ("steal", steal), ("cpu_pressure", pressure)):
            samples += series(f"host_{name}_ratio", pod, dict.fromkeys(seconds, value))
    about = info(autoscaler=None, limits=(("ttft", "p95", 1.0),))
    return analyze(about, tables(requests=rows, samples=samples)).generator


def test_a_generator_with_time_to_spare_was_not_the_bottleneck():
    """30 % of a CPU, 2 ms in the event loop, 1 ms in sending."""
    found = run(processes=2)
    assert (found.verdict, found.processes) == ("not the bottleneck", 2)
    assert (found.cpu_mean_ratio, found.cpu_peak_ratio) == (pytest.approx(0.3), pytest.approx(0.3))
    assert (found.send_lag_p99_s, found.loop_lag_max_s) == (pytest.approx(0.001), pytest.approx(0.002))
    assert found.reason.startswith("The generator was not the bottleneck: it sent 99 % of the requests within 1 ms")


@pytest.mark.parametrize("late", [{"send_lag_s": 0.2}, {"loop_lag_s": 0.3}])
def test_a_generator_that_is_late_with_a_whole_cpu_was_the_bottleneck(late):
    """97 % of a CPU, whatever its machine did besides."""
    found = run(cpu=0.97, pressure=0.9, **late)
    assert found.verdict == "bottleneck"
    assert found.reason.startswith("The generator was the bottleneck: ")
    assert "97 % of a CPU" in found.reason


@pytest.mark.parametrize("others", [{"steal": 0.3}, {"pressure": 0.6}, {"host": 1.0}])
def test_a_neighbour_takes_the_cpu_of_the_generator(others):
    """Late with 40 % of a CPU: other virtual machines, waiting processes or a busy machine."""
    found = run(send_lag_s=0.2, cpu=0.4, **others)
    assert found.verdict == "neighbour"
    assert found.reason.startswith("Something else on its machine was the bottleneck of the generator")


def test_late_for_no_reason_that_was_recorded():
    """Its machine had CPU to spare."""
    assert run(send_lag_s=0.2, cpu=0.4).verdict == "late"


@pytest.mark.parametrize(("send_lag_s", "verdict"), [(0.001, "not known"), (0.2, "late")])
def test_runs_of_earlier_releases_have_no_samples(send_lag_s, verdict):
    """Requests that were sent in time do not show that tokens were stamped in time."""
    found = run(recorded=False, send_lag_s=send_lag_s)
    assert (found.verdict, found.cpu_peak_ratio, found.processes) == (verdict, None, 0)
    assert "not recorded" in found.reason


def test_the_slowest_requests_are_named():
    """Requests 100 and 300 took 3.1 s, due at 10.05 and 30.05 s; the others 0.1 s."""
    first, second, third, *_ = run().slowest
    assert (first.request_id, first.due_s, first.ttft_s) == (100, pytest.approx(10.05), pytest.approx(3.1))
    assert (second.request_id, third.ttft_s) == (300, pytest.approx(0.1))
    assert first.outcome == "ok"


def test_waits_between_sending_and_the_wire():
    """Of 100 requests, 3 waited 0.2 s for a connection or a window, and 2 were sent again; others took 1 ms."""
    rows = []
    for number in range(100):
        row = request(number, 0.1 * number, 0.1, 1.0)
        wait_s = 0.2 if number in (10, 20, 30) else 0.001
        rows.append({**row, "on_wire_s": row["sent_s"] + wait_s, "resent": number in (10, 20)})
    found = analyze(info(autoscaler=None), tables(requests=rows)).generator
    assert (found.wire_wait_p99_s, found.wire_wait_max_s) == (pytest.approx(0.2), pytest.approx(0.2))
    assert found.resent == 2
    found = analyze(info(autoscaler=None), tables(requests=rows[:1])).generator
    assert found.resent == 0


def test_folders_of_earlier_releases_have_no_time_on_the_wire():
    """Nothing is said about what was not recorded."""
    found = run()
    assert (found.wire_wait_p99_s, found.wire_wait_max_s, found.resent) == (None, None, None)
