"""Runs that are started and stopped in the web UI of the real `locust` command."""

import json
import signal
import time
import urllib.request
from urllib.parse import urlencode

import psutil

from loadgen.dataset.folder import RunFolder
from support.runs.locust_bench import Bench, silent_server


def test_web_ui_starts_and_stops_runs(bench: Bench) -> None:
    """Start and Stop of the web UI work, twice in a row, each with a run folder and a report of its own."""
    process = bench.start("--web-port", "0", "--web-host", "127.0.0.1", headless=False, TEST_S="60")
    try:
        assert process.stderr
        base = web_base(process.pid, bench)
        for number in (1, 2):
            before = bench.rows_so_far()
            swarm(base)
            # Locust keeps the page of its statistics for seconds: only rows tell that this run sends
            bench.wait_for(lambda n=before: bench.rows_so_far() > n and web_state(base) == "running")
            bench.wait_for(lambda: any(entry["method"] == "grpc" for entry in web_stats(base)["stats"]))
            stop(base)
            bench.wait_for(lambda n=number: len(list((bench.folder / "runs").glob("*/report.html"))) == n)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    for path in (bench.folder / "runs").iterdir():
        assert RunFolder(path).read_info().state == "stopped"
        assert len(RunFolder(path).read("requests")) > 0


def test_web_ui_starts_again_after_a_start_that_failed(bench: Bench) -> None:
    """A wrong host is told as a sentence; with the right one the next Start works."""
    process = bench.start("--web-port", "0", "--web-host", "127.0.0.1", "--target", "", headless=False, TEST_S="60")
    try:
        base = web_base(process.pid, bench)
        swarm(base, host="grpc://127.0.0.1:1")
        bench.wait_for(lambda: bool(list((bench.folder / "runs").glob("*"))) and web_state(base) == "stopped")
        swarm(base, host=f"grpc://127.0.0.1:{bench.ports['grpc']}")
        bench.wait_for(lambda: bench.rows_so_far() > 0)
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert err.count("error: cannot reach") == 1, err
    assert len(list((bench.folder / "runs").glob("*/report.html"))) == 1


def test_web_ui_runs_leave_nothing_to_one_another(bench: Bench) -> None:
    """A run time is that run's alone, and a Start while the run before is taken down leaves both their reports."""
    process = bench.start("--web-port", "0", "--web-host", "127.0.0.1", headless=False, TEST_S="60")
    try:
        base = web_base(process.pid, bench)
        swarm(base, run_time="1s")
        bench.wait_for(lambda: len(list((bench.folder / "runs").glob("*/report.html"))) == 1)
        first = bench.rows_so_far()
        swarm(base)
        bench.wait_for(lambda: bench.rows_so_far() > first + 160)  # 4 s of the load
        assert web_state(base) == "running"
        stop(base)
        swarm(base)
        bench.wait_for(lambda: len(list((bench.folder / "runs").glob("*/requests"))) == 3)
        stop(base)
        bench.wait_for(lambda: len(list((bench.folder / "runs").glob("*/report.html"))) == 3)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_web_ui_stop_is_heard_before_the_load(bench: Bench) -> None:
    """Locust's master does not listen to Stop before it has users; ours does while the target comes up."""
    flags = ("--processes", "2", "--web-port", "0", "--web-host", "127.0.0.1")
    with silent_server() as address:
        process = bench.start(*flags, "--target", f"grpc://{address}", headless=False)
        try:
            base = web_base(process.pid, bench)
            swarm(base)
            bench.wait_for(lambda: any((bench.folder / "runs").glob("*/run.json")))
            time.sleep(1)
            stop(base)
            bench.wait_for(lambda: web_state(base) == "stopped")
        finally:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
    assert err.count("error: stopped before the load began") == 1, err
    assert "cannot reach" not in err


def web_base(pid: int, bench: Bench) -> str:
    ports: list[int] = []

    def listening() -> bool:
        sockets = [c.laddr for c in psutil.Process(pid).net_connections("tcp") if c.status == "LISTEN"]
        ports[:] = [address.port for address in sockets if address.ip == "127.0.0.1"]  # a master listens on all
        return bool(ports)

    bench.wait_for(listening)
    return f"http://127.0.0.1:{ports[0]}"


def swarm(base: str, **fields: str) -> None:
    """Press Start."""
    form = urlencode({"user_count": 1, "spawn_rate": 1, "host": "local", **fields}).encode()
    with urllib.request.urlopen(f"{base}/swarm", form, timeout=30) as page:
        answer = json.load(page)
    assert answer["success"], answer


def stop(base: str) -> None:
    """Press Stop; the report comes later."""
    urllib.request.urlopen(f"{base}/stop", b"", timeout=90).close()


def web_stats(base: str) -> dict[str, list[dict[str, str]]]:
    with urllib.request.urlopen(f"{base}/stats/requests", timeout=30) as page:
        stats: dict[str, list[dict[str, str]]] = json.load(page)
    return stats


def web_state(base: str) -> str:
    return str(web_stats(base)["state"])
