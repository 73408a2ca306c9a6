"""Runs the real `locust` command against the reference server, in a folder of its own."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import psutil

from loadgen.dataset.folder import RunFolder
from loadgen.protocols.reference import Script

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
LOCUST = str(Path(sys.executable).with_name("locust"))
REPORTS = "json,html,markdown,junit"
"""Reports of the test runs: all but the figures, which take seconds to draw."""


class Result(NamedTuple):
    """Exit code and output of a finished command."""

    code: int
    out: str
    err: str


class LocustProcess:
    """A running `locust` command; its output goes to files, where it can be read at any time."""

    def __init__(self, command: list[str], folder: Path, env: dict[str, str], name: str) -> None:
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                command, cwd=folder, env=env, stdout=out, stderr=err, start_new_session=True
            )
        self.pid = self._process.pid
        self.master_port = int(env["LOCUST_MASTER_BIND_PORT"])

    def err(self) -> str:
        """Return the standard error so far."""
        return self._err.read_text()

    def workers(self) -> list[psutil.Process]:
        """Return Locust's worker processes."""
        return [child for child in psutil.Process(self.pid).children() if child.name() == "locust"]

    def collectors(self) -> list[psutil.Process]:
        """Return the collector processes."""
        return [child for child in psutil.Process(self.pid).children() if "loadgen.collect" in child.cmdline()]

    def signal(self, number: int) -> None:
        """Send a signal to the command."""
        self._process.send_signal(number)

    def press_ctrl_c(self) -> None:
        """Interrupt the command and its children, as a terminal does."""
        os.killpg(self.pid, signal.SIGINT)

    def wait(self, within_s: float = 90) -> Result:
        """Wait for the end of the command."""
        code = self._process.wait(timeout=within_s)
        return Result(code, self._out.read_text(), self.err())

    def kill(self) -> None:
        """Kill the command if it still runs."""
        self._process.kill()
        self._process.wait(timeout=30)


class Bench:
    """Runs the locust command in a folder of its own."""

    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        self.folder = folder
        self.ports = ports
        self._started: list[LocustProcess] = []
        self.prompts(Script(tokens=4, gap_s=0.02))

    def prompts(self, *scripts: Script) -> None:
        """Choose what the server does with the requests."""
        lines = [json.dumps({"prompt": script.prompt()}) for script in scripts]
        (self.folder / "prompts.jsonl").write_text("\n".join(lines))

    def start(self, *flags: str, headless: bool = True, prefix: Sequence[str] = (), **settings: str) -> LocustProcess:
        """Start the command with these flags and environment variables, and a command before it that runs it."""
        command = [*prefix, LOCUST, "-f", str(LOCUSTFILE), *(["--headless"] if headless else []), *flags]
        if "--target" not in flags:
            command += ["--target", self.target("grpc")]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])  # each master has its own, as tests run in parallel
        env = {
            **os.environ,
            "LOADGEN_REPORTS": REPORTS,
            "TEST_PROMPTS": str(self.folder / "prompts.jsonl"),
            "LOCUST_MASTER_BIND_PORT": port,
            "LOCUST_MASTER_NODE_PORT": port,
            **settings,
        }
        process = LocustProcess(command, self.folder, env, f"locust-{len(self._started)}")
        self._started.append(process)
        return process

    def web_url(self, process: LocustProcess) -> str:
        """Return the URL of the web UI, once it listens; all ports of the command are on loopback."""
        ports: list[int] = []

        def listening() -> bool:
            sockets = [c.laddr for c in psutil.Process(process.pid).net_connections("tcp") if c.status == "LISTEN"]
            assert {address.ip for address in sockets} <= {"127.0.0.1"}
            ports[:] = [address.port for address in sockets if address.port != process.master_port]
            return bool(ports)

        self.wait_for(listening)
        return f"http://127.0.0.1:{ports[0]}"

    def run(self, *flags: str, **settings: str) -> Result:
        """Run the command to its end."""
        return self.start(*flags, **settings).wait()

    def target(self, protocol: str) -> str:
        """Return the URL of the reference server."""
        return f"{protocol}://127.0.0.1:{self.ports[protocol]}"

    def run_folder(self) -> RunFolder:
        """Return the only run folder."""
        (path,) = self.run_folders()
        return RunFolder(path)

    def run_folders(self) -> list[Path]:
        """Return all run folders."""
        return [path for path in (self.folder / "runs").glob("*") if path.is_dir()]

    def reports(self) -> list[Path]:
        """Return the HTML reports of all runs."""
        return list((self.folder / "runs").glob("*/report.html"))

    def requests(self) -> pd.DataFrame:
        """Return the rows of the only run, by number."""
        return self.run_folder().read("requests").sort_values("request_id")

    def rows_so_far(self) -> int:
        """Return the number of rows of all runs."""
        return sum(len(RunFolder(path).read("requests")) for path in self.run_folders())

    def wait_for(self, condition: Callable[[], bool], within_s: float = 60.0) -> None:
        """Wait until the condition is true."""
        deadline = time.monotonic() + within_s
        while not condition():
            errors = "\n".join(process.err() for process in self._started)
            assert time.monotonic() < deadline, f"condition not met within {within_s:g} s\n{errors}"
            time.sleep(0.1)

    def close(self) -> None:
        """Kill the commands that still run, as after a failed test."""
        for process in self._started:
            process.kill()


@dataclass(frozen=True)
class FinishedRun:
    """A whole run that several tests make their claims about."""

    bench: Bench
    result: Result

    def analysis(self) -> dict[str, Any]:
        """Return the run's `analysis.json`."""
        analysis: dict[str, Any] = json.loads((self.bench.run_folder().path / "analysis.json").read_text())
        return analysis

    def locust_entries(self) -> dict[str, dict[str, str]]:
        """Return the rows of Locust's own statistics by type; the run needs `--csv stats`."""
        with (self.bench.folder / "stats_stats.csv").open() as file:
            return {row["Type"]: row for row in csv.DictReader(file)}


@dataclass(frozen=True)
class SilentServer:
    """A server that accepts connections and never answers."""

    address: str
    connected: threading.Event


@contextmanager
def silent_server() -> Iterator[SilentServer]:
    """Serve on loopback until the block ends."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        silent = SilentServer(f"127.0.0.1:{server.getsockname()[1]}", threading.Event())
        connections: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    connections.append(server.accept()[0])
                except OSError:  # closed
                    return
                silent.connected.set()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield silent
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=10)
            for connection in connections:
                connection.close()
