"""Locust stays Locust: the real `locust` command against the reference server, ended in every way."""

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pandas as pd
import psutil
import pytest

from loadgen.dataset import RunFolder
from loadgen.protocols.reference import Script
from reference_server import reference_server

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
LOCUST = str(Path(sys.executable).with_name("locust"))


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    with reference_server() as ports:
        yield ports


class Bench:
    """Runs the locust command in a folder of its own."""

    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        self.folder = folder
        self.ports = ports
        self.prompts(Script(tokens=4, gap_s=0.02))

    def prompts(self, *scripts: Script) -> None:
        lines = [json.dumps({"prompt": script.prompt()}) for script in scripts]
        (self.folder / "prompts.jsonl").write_text("\n".join(lines))

    def start(self, *flags: str, headless: bool = True, **settings: str) -> "subprocess.Popen[str]":
        command = [LOCUST, "-f", str(LOCUSTFILE), *(["--headless"] if headless else []), *flags]
        if "--target" not in flags:
            command += ["--target", f"grpc://127.0.0.1:{self.ports['grpc']}"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])  # each master its own, for tests run side by side
        env = {
            **os.environ,
            "TEST_PROMPTS": str(self.folder / "prompts.jsonl"),
            "LOCUST_MASTER_BIND_PORT": port,
            "LOCUST_MASTER_NODE_PORT": port,
            **settings,
        }
        return subprocess.Popen(
            command, cwd=self.folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def run(self, *flags: str, **settings: str) -> tuple[int, str, str]:
        process = self.start(*flags, **settings)
        out, err = process.communicate(timeout=90)
        return process.returncode, out, err

    def run_folder(self) -> RunFolder:
        (path,) = (self.folder / "runs").iterdir()
        return RunFolder(path)

    def requests(self) -> pd.DataFrame:
        return self.run_folder().read("requests").sort_values("request_id")

    def wait_for(self, condition: Callable[[], bool], within_s: float = 60.0) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, "condition not met in time"
            time.sleep(0.1)

    def rows_so_far(self) -> int:
        return sum(len(RunFolder(path).read("requests")) for path in (self.folder / "runs").glob("*") if path.is_dir())


@pytest.fixture
def bench(tmp_path: Path, ports: dict[str, int]) -> Bench:
    return Bench(tmp_path, ports)


def test_the_main_job(bench: Bench) -> None:
    """A run ends by itself with exit code 0, one row an arrival, four token times each, and the report's path last."""
    code, out, err = bench.run()
    assert code == 0, err
    rows = bench.requests()
    assert rows.request_id.to_list() == list(range(120))
    assert set(rows.outcome) == {"ok"}
    tokens = bench.run_folder().read("tokens")
    assert {len(times) for times in tokens.t_s} == {4}
    report = Path(out.strip().splitlines()[-1])
    assert (bench.folder / report).is_file()
    assert bench.run_folder().read_info().state == "finished"
    assert set(bench.run_folder().read("events").kind) == {"load_started", "load_ended"}


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
def test_all_protocols(bench: Bench, protocol: str, stream: str) -> None:
    """Every protocol runs, with request names of call and model, and TTFT and gaps as entries beside the total."""
    target = f"{protocol}://127.0.0.1:{bench.ports[protocol]}"
    code, _, err = bench.run("--target", target, "--protocol", protocol, stream, "--csv", "stats", TEST_S="1")
    assert code == 0, err
    with (bench.folder / "stats_stats.csv").open() as file:
        entries = {row["Type"]: row for row in csv.DictReader(file)}
    call = {
        ("grpc", "--stream"): "ModelStreamInfer",
        ("grpc", "--no-stream"): "ModelStreamInfer",
        ("http", "--stream"): "generate_stream",
        ("http", "--no-stream"): "generate",
    }[protocol, stream]
    assert entries[protocol]["Name"] == f"{call} tensorrt_llm_bls"
    assert entries[protocol]["Request Count"] == "40"
    assert entries[""]["Request Count"] == "40"
    if stream == "--no-stream":
        assert err.count("no token times: the scenario's limits on TTFT, ITL and TPOT are left out") == 1
        assert set(entries) == {protocol, ""}
    else:
        assert entries["TTFT"]["Request Count"] == "40"
        assert entries["ITL"]["Request Count"] == "120"


def test_workers_share_the_load(bench: Bench) -> None:
    """With --processes every arrival is sent once, by one of the workers, and none is missing."""
    code, _, err = bench.run("--processes", "2")
    assert code == 0, err
    rows = bench.requests()
    assert rows.request_id.to_list() == list(range(120))
    assert rows.groupby("worker").size().to_dict() == {0: 60, 1: 60}
    assert set(rows.outcome) == {"ok"}


def test_failed_limit_is_exit_code_1(bench: Bench) -> None:
    """A broken SLO ends with exit code 1 and says FAIL."""
    bench.prompts(Script(tokens=2, first_s=0.3))
    code, out, _ = bench.run(TEST_TTFT_S="0.1")
    assert code == 1
    assert "FAIL" in out


def test_failures_are_rows_with_causes(bench: Bench) -> None:
    """Refusals, cut streams and empty answers are rows with outcome and cause, and failures in Locust's statistics."""
    bench.prompts(Script(fault="reject"), Script(fault="cut"), Script(fault="empty"), Script())
    code, out, err = bench.run()
    assert code == 1
    rows = bench.requests()
    assert set(rows.outcome) == {"rejected", "cut_off", "error", "ok"}
    assert rows.loc[rows.outcome != "ok", "cause"].notna().all()
    assert "rejected: UNAVAILABLE: Exceeds maximum queue size" in out + err


def test_run_time_ends_the_run_early(bench: Bench) -> None:
    """-t keeps its meaning: the run is stopped on purpose, what was due has rows, the report is written."""
    code, out, err = bench.run("-t", "3s", TEST_S="60", TEST_PER_S="10")
    assert code in (0, 1, 3), err
    assert bench.run_folder().read_info().state == "stopped"
    assert 20 <= len(bench.requests()) <= 60
    assert out.strip().endswith("report.html")


@pytest.mark.parametrize("flags", [(), ("--processes", "2")], ids=["lone", "workers"])
def test_a_grace_time_sends_nothing_more(bench: Bench, flags: tuple[str, ...]) -> None:
    """--stop-timeout lets what is in flight end well; what is due meanwhile is not held against the generator."""
    bench.prompts(Script(tokens=3, gap_s=0.7))
    _, _, err = bench.run("-t", "3s", "--stop-timeout", "5", *flags, TEST_S="60", TEST_PER_S="10")
    rows = bench.requests()
    assert set(rows.outcome) <= {"ok", "not_sent"}, err
    assert set(rows.cause.dropna()) <= {"run stopped"}
    load_end_s = bench.run_folder().read_info().load_end_s
    assert load_end_s is not None
    # the last answers come 1.4 s after the stop, while many users are free
    assert (rows.scheduled_s < load_end_s - 1).all()


@pytest.mark.parametrize("dead", [1, 2], ids=["one", "all"])
def test_a_worker_that_dies_ends_the_run(bench: Bench, dead: int) -> None:
    """A killed worker takes its requests along: the run is a tool error, and what was recorded is reported on."""
    process = bench.start("--processes", "2", TEST_S="60", TEST_PER_S="20")
    bench.wait_for(lambda: bench.rows_so_far() > 40)
    workers = [child for child in psutil.Process(process.pid).children() if child.name() == "locust"]
    for worker in workers[:dead]:
        worker.kill()
    out, err = process.communicate(timeout=90)
    assert process.returncode == 4, err
    assert re.search(r"^error: worker [12](, 2)? of 2 died", err, re.MULTILINE), err
    assert "INVALID" in out
    assert bench.run_folder().read_info().state == "loading"
    assert (bench.run_folder().path / "report.html").is_file()


def test_a_collector_that_dies_ends_the_run(bench: Bench) -> None:
    """A run that nobody observes is no run: it is a tool error that names the log, and what was recorded is there."""
    process = bench.start(TEST_S="60", TEST_PER_S="20")
    bench.wait_for(lambda: bench.rows_so_far() > 40)
    collectors = [child for child in psutil.Process(process.pid).children() if "loadgen.collect" in child.cmdline()]
    assert len(collectors) == 1
    collectors[0].kill()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 4, err
    assert "error: the collector ended by itself (exit code -9): read " in err
    assert len(bench.requests()) > 40


@pytest.mark.parametrize("flags", [(), ("--processes", "2")], ids=["lone", "workers"])
def test_stopped_before_the_load(bench: Bench, flags: tuple[str, ...]) -> None:
    """Ctrl-C while the target is asked for its models ends at once with one sentence and no traceback."""
    with silent_server() as address:
        process = bench.start("--target", f"grpc://{address}", *flags)
        bench.wait_for(lambda: any((bench.folder / "runs").glob("*/run.json")))
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 4, err
    assert err.count("error: stopped before the load began") == 1
    assert "Traceback" not in err
    assert "cannot reach" not in err


@pytest.mark.parametrize("flags", [(), ("--processes", "2")], ids=["lone", "workers"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_signal(bench: Bench, number: signal.Signals, flags: tuple[str, ...]) -> None:
    """Ctrl-C and SIGTERM stop the run on purpose: every row due so far is there, and the report is written."""
    bench.prompts(Script(tokens=4, gap_s=0.5))
    process = bench.start(*flags, TEST_S="60", TEST_PER_S="10")
    bench.wait_for(lambda: bench.rows_so_far() > 20)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    rows = bench.requests()
    assert rows.request_id.to_list() == list(range(len(rows))), err
    assert {"ok", "cut_off"} <= set(rows.outcome)
    assert set(rows.cause.dropna()) <= {"run stopped", "no free user"}
    assert bench.run_folder().read_info().state == "stopped"
    assert (bench.run_folder().path / "report.html").is_file(), out + err
    assert "Traceback" not in err


def test_stopped_twice(bench: Bench) -> None:
    """A second Ctrl-C ends at once: no traceback, and the command that judges what was recorded."""
    process = bench.start(TEST_S="60", TEST_PER_S="10")
    bench.wait_for(lambda: bench.rows_so_far() > 20)
    process.send_signal(signal.SIGINT)
    bench.wait_for(lambda: bench.run_folder().read_info().state == "stopped")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert f"loadgen report {bench.run_folder().path.relative_to(bench.folder)}" in err
    assert "Traceback" not in err


def test_killed_loses_seconds_not_the_run(bench: Bench) -> None:
    """After SIGKILL the parts closed so far are reported on, and the page says that the run was interrupted."""
    process = bench.start(TEST_S="60", TEST_PER_S="20")
    bench.wait_for(lambda: bench.rows_so_far() > 40)
    process.kill()
    process.communicate(timeout=30)
    kept = len(bench.requests())
    report = subprocess.run(
        [sys.executable, "-m", "loadgen", "report", str(bench.run_folder().path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert report.returncode == 3, report.stderr
    assert kept > 40
    assert "interrupted" in (bench.run_folder().path / "report.md").read_text()


def test_tags_choose_user_classes(bench: Bench) -> None:
    """--tags keeps its meaning: only the users of the tagged class get a task."""
    code, _, err = bench.run("OneUser", "--tags", "two", TEST_S="1")
    assert code != 0
    assert "No tasks defined on OneUser" in err
    code, _, err = bench.run("TwoUser", "--tags", "two", TEST_S="1")
    assert code == 0, err


def test_html_and_json_of_locust(bench: Bench) -> None:
    """Locust's own --html and --json-file are written as ever."""
    code, _, err = bench.run("--html", "locust.html", "--json-file", "locust", TEST_S="1")
    assert code == 0, err
    assert "ModelStreamInfer tensorrt_llm_bls" in (bench.folder / "locust.html").read_text()
    assert (bench.folder / "locust.json").is_file()


def test_web_ui_starts_and_stops_runs(bench: Bench) -> None:
    """Start and Stop of the web UI work, twice in a row, each with a run folder and a report of its own."""
    process = bench.start("--web-port", "0", "--web-host", "127.0.0.1", headless=False, TEST_S="60")
    try:
        assert process.stderr
        base = web_base(process.pid, bench)
        for number in (1, 2):
            swarm(base)
            bench.wait_for(lambda: bench.rows_so_far() > 0 and web_state(base) == "running")
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


@contextmanager
def silent_server() -> Iterator[str]:
    """A server that takes connections and never says a word: `host:port`."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"127.0.0.1:{server.getsockname()[1]}"


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
    answer = json.load(urllib.request.urlopen(f"{base}/swarm", form, timeout=30))
    assert answer["success"], answer


def stop(base: str) -> None:
    """Press Stop; the report comes later."""
    urllib.request.urlopen(f"{base}/stop", b"", timeout=90).read()


def web_stats(base: str) -> dict[str, list[dict[str, str]]]:
    stats: dict[str, list[dict[str, str]]] = json.load(urllib.request.urlopen(f"{base}/stats/requests", timeout=30))
    return stats


def web_state(base: str) -> str:
    return str(web_stats(base)["state"])


@pytest.mark.parametrize(
    ("flags", "code", "says"),
    [
        (("--target", "grpc://127.0.0.1:1"), 2, r"cannot reach a gRPC server at 127\.0\.0\.1:1"),
        (("--target", "http://127.0.0.1:1"), 2, r"cannot reach an HTTP server at 127\.0\.0\.1:1"),
        (("--target", "nonsense"), 2, r"target 'nonsense' is no URL .*, or 'local'"),
        (("--target", "http://127.0.0.1:1", "--protocol", "grpc"), 2, "protocol grpc contradicts target"),
        (("--target", "http://127.0.0.1:1/path"), 2, "target .* has the path '/path'"),
        (("--model", "llama"), 2, "no ready model 'llama'; it serves: tensorrt_llm_bls"),
    ],
)
def test_bad_flags(bench: Bench, flags: tuple[str, ...], code: int, says: str) -> None:
    """A target that cannot be driven ends the run with one sentence, no traceback, and the exit code of usage."""
    got, _, err = bench.run(*flags)
    assert got == code, err
    assert re.search(f"^error: .*{says}", err, re.MULTILINE), err
    assert "Traceback" not in err
    for folder in (bench.folder / "runs").glob("*"):  # those that were refused later than at the flags
        assert re.search(says, str(RunFolder.open(folder).read_info().error))


def test_bad_prompts(bench: Bench) -> None:
    """A malformed prompt file is refused by line before anything starts."""
    (bench.folder / "prompts.jsonl").write_text('{"prompt": "a"}\n{"prompt": 1}\n')
    code, _, err = bench.run()
    assert code == 2
    assert re.search("^error: prompt file .*, line 2: prompt", err, re.MULTILINE), err
    assert not (bench.folder / "runs").exists()


def test_bad_scenario(bench: Bench) -> None:
    """A contradiction inside a locustfile is one sentence, not a traceback."""
    code, _, err = bench.run(TEST_PER_S="-3")
    assert code == 2
    assert "error: Constant.per_s: input should be greater than or equal to 0, got -3.0" in err
    assert "Traceback" not in err


def test_full_disk(bench: Bench) -> None:
    """When the run folder cannot be written any more, the run ends as a tool error and keeps what it has."""
    process = bench.start(TEST_S="60", TEST_PER_S="20")
    bench.wait_for(lambda: bench.rows_so_far() > 20)
    kept = bench.rows_so_far()
    folder = bench.run_folder().path / "requests"
    # a folder that a part cannot be created in stands for a full disk: root may write anywhere else
    folder.rename(folder.with_name("requests.kept"))
    folder.write_text("")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 4, err
    assert re.search(r"^error: cannot record requests in .*what was recorded before is kept", err, re.MULTILINE), err
    folder.unlink()
    folder.with_name("requests.kept").rename(folder)
    assert bench.rows_so_far() >= kept
