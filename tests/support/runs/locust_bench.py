"""Runs the real `locust` command against the reference server, in a folder of its own."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from loadgen.dataset.folder import RunFolder
from loadgen.protocols.reference import Script

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
LOCUST = str(Path(sys.executable).with_name("locust"))


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


@contextmanager
def silent_server() -> Iterator[str]:
    """A server that takes connections and never says a word: `host:port`."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"127.0.0.1:{server.getsockname()[1]}"
