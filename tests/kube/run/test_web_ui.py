"""A web UI inside a sandbox, used from outside as a person would: Locust's own, and one of the add-ons."""

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
from typing import Any

import psutil
import pytest

from loadgen.dataset.folder import RunFolder
from loadgen.sandbox.commands import Sandbox
from support.kube.sandboxes import processes_of
from support.kube.scenarios import SCENARIOS

BIN = Path(sys.executable).parent
SCENARIO = SCENARIOS / "sandbox_short.py"

pytestmark = pytest.mark.timeout(300)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def ask(url: str, form: bytes | None = None) -> str:
    with urllib.request.urlopen(url, data=form, timeout=30) as answer:
        return str(answer.read().decode())


def eventually(value: Callable[[], Any], process: "subprocess.Popen[bytes]", log: Path, within_s: float = 120.0) -> Any:
    """What a process brings about, once it is there; connections that are refused or closed are not there yet."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            if found := value():
                return found
        except OSError:
            pass
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.2)


@contextmanager
def command(log: Path, *argv: str, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as said:
        process = subprocess.Popen(argv, env={**os.environ, **environment}, stdout=said, stderr=said)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def sandbox_of(process: "subprocess.Popen[bytes]") -> Sandbox:
    """The sandbox that a Locust has started for itself."""
    lines = [" ".join(child.cmdline()) for child in psutil.Process(process.pid).children()]
    (name,) = set(re.findall(r"/sandboxes/(run-[0-9a-f]+)/", " ".join(lines)))
    return Sandbox.named(name)


def test_a_run_from_the_web_ui_and_an_address_inside(tmp_path: Path) -> None:
    """The page loads, a run starts and stops there, Prometheus opens by name; Ctrl-C leaves only the run's folder."""
    runs, log, port = tmp_path / "runs", tmp_path / "said", free_port()
    url = f"http://127.0.0.1:{port}"
    argv = [str(BIN / "locust"), "-f", str(SCENARIO), "--target", "sandbox", "--web-port", str(port)]
    with command(log, *argv, LOADGEN_RUNS_DIR=str(runs)) as locust:
        page = eventually(lambda: ask(f"{url}/"), locust, log)
        assert "<title>Locust</title>" in page
        box = sandbox_of(locust)
        assert json.loads(ask(f"{url}/swarm", b"user_count=1&spawn_rate=1"))["success"]
        prometheus_opens(tmp_path, box)

        def answered() -> bool:
            stats: dict[str, Any] = json.loads(ask(f"{url}/stats/requests"))
            return any(row["method"] == "grpc" and row["num_requests"] >= 8 for row in stats["stats"])

        eventually(answered, locust, log)
        assert json.loads(ask(f"{url}/stop", b""))["success"]
        (run,) = (path for path in runs.iterdir() if path.is_dir())
        eventually((run / "report.html").is_file, locust, log)
        assert (run / "logs" / "sandbox" / "kube-apiserver.log").is_file()
        assert RunFolder(run).read_info().state == "stopped"
        assert "<title>Locust</title>" in ask(f"{url}/")
        locust.send_signal(signal.SIGINT)
        locust.wait(timeout=60)
    # the last run's verdict: so few answers cannot be judged
    assert locust.returncode == 3, log.read_text()[-3000:]
    assert "Traceback" not in log.read_text()
    assert processes_of(box.folder) == []
    assert not box.folder.exists()


def prometheus_opens(tmp_path: Path, box: Sandbox) -> None:
    """`loadgen sandbox open` with the name of a Service: an answer outside, and SIGINT ends it with exit code 0
    while a connection is open."""
    log, port = tmp_path / "open", free_port()
    argv = [str(BIN / "loadgen"), "sandbox", "open", "--name", box.name, "prometheus.monitoring.svc:9090"]
    with command(log, *argv, "--port", str(port)) as opened:
        told = eventually(lambda: ask(f"http://127.0.0.1:{port}/api/v1/query?query=1"), opened, log)
        assert json.loads(told)["data"]["result"][1] == "1"
        with socket.create_connection(("127.0.0.1", port)):  # as a browser keeps one
            opened.send_signal(signal.SIGINT)
            assert opened.wait(timeout=30) == 0
    assert log.read_text() == f"prometheus.monitoring.svc:9090 is at 127.0.0.1:{port}; Ctrl-C ends it\n"


def test_ctrl_c_while_a_run_starts_leaves_the_logs_in_its_folder_and_nothing_else(tmp_path: Path) -> None:
    """Headless, while it waits for its first pod."""
    log = tmp_path / "said"
    argv = [str(BIN / "locust"), "-f", str(SCENARIO), "--headless", "--target", "sandbox"]
    with command(log, *argv, LOADGEN_RUNS_DIR=str(tmp_path / "runs")) as locust:
        eventually(lambda: "0 of 1 replica ready" in log.read_text(), locust, log)
        box = sandbox_of(locust)
        locust.send_signal(signal.SIGINT)
        locust.wait(timeout=90)
    assert locust.returncode == 4, log.read_text()[-3000:]
    assert "Traceback" not in log.read_text()
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "logs" / "sandbox" / "kube-apiserver.log").is_file()
    assert processes_of(box.folder) == []
    assert not box.folder.exists()
