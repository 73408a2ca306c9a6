"""A run of the locust command on a sandbox of its own, and what it leaves."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from loadgen.dataset.folder import RunFolder
from loadgen.sandbox.commands import Sandbox
from support.kube.sandboxes import inside, processes_of
from support.kube.scenarios import SCENARIOS

TO_PEAK_S = 40.0
"""From the start of the load: the peak is from 30 s to 90 s, and what was not collected by then is up to 5 s old."""
LOCUST = str(Path(sys.executable).with_name("locust"))


class Job:
    """A run of the locust command on a sandbox of its own."""

    def __init__(self, runs: Path, scenario: str) -> None:
        self._runs, self._log = runs, runs / "said"
        with self._log.open("wb") as said:
            self.process = subprocess.Popen(
                [LOCUST, "-f", str(SCENARIOS / scenario), "--headless", "--target", "sandbox"],
                env={**os.environ, "LOADGEN_RUNS_DIR": str(runs)},
                stdout=said,
                stderr=said,
            )
        try:
            self.wait_for("sending ", within_s=240)
        except BaseException:
            self.process.kill()  # its sandbox goes with it
            self.process.wait()
            raise
        lines = [" ".join(child.cmdline()) for child in psutil.Process(self.process.pid).children(recursive=True)]
        (name,) = {name for line in lines for name in re.findall(r"sandboxes/(run-\w+)", line)}
        self.sandbox = Sandbox.named(name)

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_for(self, text: str, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while text not in self.said():
            assert self.process.poll() is None, self.said()[-3000:]
            assert time.monotonic() < deadline, self.said()[-3000:]
            time.sleep(0.2)

    def end(self) -> int:
        """Exit code, once it is over; nothing of its sandbox is left then."""
        code = self.process.wait(timeout=400)
        assert processes_of(self.sandbox.folder) == []
        assert not self.sandbox.folder.exists()
        return code

    @property
    def folder(self) -> RunFolder:
        (path,) = (each for each in self._runs.iterdir() if each.is_dir())
        return RunFolder(path)

    @property
    def analysis(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder.path / "analysis.json").read_text())
        return found

    def events(self, kind: str) -> pd.DataFrame:
        events = self.folder.read("events")
        return events[events.kind == kind]

    def finding(self, code: str) -> dict[str, Any]:
        return next(each for each in self.analysis["findings"] if each["code"] == code)


@contextmanager
def job(runs: Path, scenario: str) -> Iterator[Job]:
    one = Job(runs, scenario)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
            one.sandbox.delete()


def peak(run: Job) -> tuple[float, float]:
    """When the peak is, in seconds of the load."""
    info = run.folder.read_info()
    assert info.load_start_s is not None
    stage = next(stage for stage in info.stages if stage.name == "peak 1")
    return stage.start_s - info.load_start_s, stage.end_s - info.load_start_s


def first_second(finding: dict[str, Any]) -> float:
    """When the window of a finding begins, in seconds of the load."""
    found = re.search(r"[\d.]+", finding["window"])
    assert found, finding["window"]
    return float(found[0])


def last_second(finding: dict[str, Any]) -> float:
    """When the window of a finding ends, in seconds of the load."""
    *_, last = re.findall(r"[\d.]+", finding["window"])
    return float(last)


def triton_pods(box: Sandbox) -> list[tuple[str, str]]:
    """Name and node of each."""
    template = "--output=jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName}\n{end}"
    told = inside(box, "kubectl", "-n", "triton", "get", "pods", template)
    return [(name, node) for name, node in (line.split() for line in told.splitlines())]


def node_of(box: Sandbox, namespace: str, selector: str) -> str:
    """Where the one pod of a kind runs."""
    which = ("-n", namespace, "get", "pods", f"-l{selector}")
    return inside(box, "kubectl", *which, "--output=jsonpath={.items[0].spec.nodeName}")


def part(box: Sandbox, name: str) -> int:
    """Process id, inside, of a part of the cluster."""
    state = box.state()
    assert state is not None
    return next(each.pid for each in state.components if each.name == name)
