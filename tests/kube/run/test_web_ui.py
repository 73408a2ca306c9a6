"""Web UIs inside a sandbox, used from outside: Locust's own and that of Prometheus.

Needs the sandbox's build; takes about two minutes.
"""

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

from loadgen.base.errors import INTERRUPTED
from loadgen.dataset.folder import RunFolder
from loadgen.sandbox.commands import Sandbox
from support.kube.sandboxes import processes_of
from support.kube.scenarios import SCENARIOS

BIN = Path(sys.executable).parent
SCENARIO = SCENARIOS / "sandbox_short.py"

WITHIN_S = 280.0
"""Timeout of every wait; it only ends a test that has failed, as anything may take long on a busy machine."""

pytestmark = pytest.mark.timeout(600)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def fetch(url: str, form: bytes | None = None) -> str:
    with urllib.request.urlopen(url, data=form, timeout=WITHIN_S) as response:
        return str(response.read().decode())


def eventually(condition: Callable[[], Any], process: "subprocess.Popen[bytes]", log: Path) -> Any:
    """Wait until a condition returns a true value while a process runs; connection errors count as false."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        try:
            if value := condition():
                return value
        except OSError:
            pass
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.2)


@contextmanager
def command(log: Path, *argv: str, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as output:
        process = subprocess.Popen(argv, env={**os.environ, **environment}, stdout=output, stderr=output)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def sandbox_of(process: "subprocess.Popen[bytes]") -> Sandbox:
    """Return the sandbox that a Locust process has started for itself."""
    lines = [" ".join(child.cmdline()) for child in psutil.Process(process.pid).children()]
    (name,) = set(re.findall(r"/sandboxes/(run-[0-9a-f]+)/", " ".join(lines)))
    return Sandbox.named(name)


def test_a_run_from_the_web_ui_and_an_address_inside(tmp_path: Path) -> None:
    """A run starts and stops on the page, Prometheus is reached by name, and Ctrl-C leaves only the run's folder."""
    runs, log, port = tmp_path / "runs", tmp_path / "output", free_port()
    url = f"http://127.0.0.1:{port}"
    argv = [str(BIN / "locust"), "-f", str(SCENARIO), "--target", "sandbox", "--web-port", str(port)]
    with command(log, *argv, LOADGEN_RUNS_DIR=str(runs)) as locust:
        page = eventually(lambda: fetch(f"{url}/"), locust, log)
        assert "<title>Locust</title>" in page
        box = sandbox_of(locust)
        assert json.loads(fetch(f"{url}/swarm", b"user_count=1&spawn_rate=1"))["success"]
        prometheus_opens(tmp_path, box)

        def has_responses() -> bool:
            stats: dict[str, Any] = json.loads(fetch(f"{url}/stats/requests"))
            return any(row["method"] == "grpc" and row["num_requests"] >= 8 for row in stats["stats"])

        eventually(has_responses, locust, log)
        assert json.loads(fetch(f"{url}/stop", b""))["success"]
        (run,) = (path for path in runs.iterdir() if path.is_dir())
        # the summary is printed after the exit code is set; an earlier Ctrl-C would cut the reports off
        eventually(lambda: f"{run.name}/report.html" in log.read_text(), locust, log)
        assert (run / "report.html").is_file()
        assert (run / "logs" / "sandbox" / "kube-apiserver.log").is_file()
        assert RunFolder(run).read_info().state == "stopped"
        assert "<title>Locust</title>" in fetch(f"{url}/")
        locust.send_signal(signal.SIGINT)
        locust.wait(timeout=WITHIN_S)
    # the verdict of the run is `invalid`, as it has too few responses
    assert locust.returncode == 3, log.read_text()[-3000:]
    assert "Traceback" not in log.read_text()
    assert processes_of(box.folder) == []
    assert not box.folder.exists()


def prometheus_opens(tmp_path: Path, box: Sandbox) -> None:
    """`loadgen sandbox open` forwards to a Service by name, and SIGINT ends it with exit code 0 despite an open
    connection."""
    log, port = tmp_path / "open", free_port()
    argv = [str(BIN / "loadgen"), "sandbox", "open", "--name", box.name, "prometheus.monitoring.svc:9090"]
    with command(log, *argv, "--port", str(port)) as opened:
        answer = eventually(lambda: fetch(f"http://127.0.0.1:{port}/api/v1/query?query=1"), opened, log)
        assert json.loads(answer)["data"]["result"][1] == "1"
        with socket.create_connection(("127.0.0.1", port)):  # as a browser keeps open
            opened.send_signal(signal.SIGINT)
            assert opened.wait(timeout=WITHIN_S) == 0
    assert log.read_text() == f"prometheus.monitoring.svc:9090 is at 127.0.0.1:{port}; stop with Ctrl-C\n"


def test_ctrl_c_while_a_run_starts_leaves_only_the_logs_in_its_folder(tmp_path: Path) -> None:
    """Ctrl-C comes while a headless run waits for its first pod, whose start-up takes longer than the test."""
    log = tmp_path / "output"
    argv = [str(BIN / "locust"), "-f", str(SCENARIO), "--headless", "--target", "sandbox"]
    environment = {"LOADGEN_RUNS_DIR": str(tmp_path / "runs"), "SANDBOX_SHORT_STARTUP_DELAY_S": "280"}
    with command(log, *argv, **environment) as locust:
        eventually(lambda: "0 of 1 replica ready" in log.read_text(), locust, log)
        box = sandbox_of(locust)
        locust.send_signal(signal.SIGINT)
        locust.wait(timeout=WITHIN_S)
    assert locust.returncode == INTERRUPTED, log.read_text()[-3000:]
    assert "Traceback" not in log.read_text()
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "logs" / "sandbox" / "kube-apiserver.log").is_file()
    assert processes_of(box.folder) == []
    assert not box.folder.exists()
