"""Runs the `locust` command on a sandbox of its own and reads the results."""

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
"""Time from the start of the load: the peak lasts from 30 s to 90 s, and the collector writes up to 5 s late."""
LOCUST = str(Path(sys.executable).with_name("locust"))


class Job:
    """A run of the locust command on a sandbox of its own."""

    def __init__(self, runs: Path, scenario: str) -> None:
        self._runs, self._log = runs, runs / "output"
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                [LOCUST, "-f", str(SCENARIOS / scenario), "--headless", "--target", "sandbox"],
                env={**os.environ, "LOADGEN_RUNS_DIR": str(runs)},
                stdout=output,
                stderr=output,
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

    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_for(self, text: str, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while text not in self.output():
            assert self.process.poll() is None, self.output()[-3000:]
            assert time.monotonic() < deadline, self.output()[-3000:]
            time.sleep(0.2)

    def end(self) -> int:
        """Wait until the command ends, check that its sandbox is gone, and return the exit code."""
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
        analysis: dict[str, Any] = json.loads((self.folder.path / "analysis.json").read_text())
        return analysis

    def events(self, kind: str) -> pd.DataFrame:
        events = self.folder.read("events")
        return events[events.kind == kind]

    def finding(self, code: str) -> dict[str, Any]:
        return next(each for each in self.analysis["findings"] if each["code"] == code)


@contextmanager
def job(runs: Path, scenario: str) -> Iterator[Job]:
    run = Job(runs, scenario)
    try:
        yield run
    finally:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait()
            run.sandbox.delete()


def peak(run: Job) -> tuple[float, float]:
    """Return start and end of the peak, in seconds from the start of the load."""
    info = run.folder.read_info()
    assert info.load_start_s is not None
    stage = next(stage for stage in info.stages if stage.name == "peak 1")
    return stage.start_s - info.load_start_s, stage.end_s - info.load_start_s


def first_second(finding: dict[str, Any]) -> float:
    """Return the start of a finding's window, in seconds from the start of the load."""
    match = re.search(r"[\d.]+", finding["window"])
    assert match, finding["window"]
    return float(match[0])


def last_second(finding: dict[str, Any]) -> float:
    """Return the end of a finding's window, in seconds from the start of the load."""
    *_, last = re.findall(r"[\d.]+", finding["window"])
    return float(last)


def triton_pods(box: Sandbox) -> list[tuple[str, str]]:
    """Return name and node of each Triton pod."""
    template = "--output=jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName}\n{end}"
    output = inside(box, "kubectl", "-n", "triton", "get", "pods", template)
    return [(name, node) for name, node in (line.split() for line in output.splitlines())]


def node_of(box: Sandbox, namespace: str, selector: str) -> str:
    """Return the node of the only pod with these labels."""
    query = ("-n", namespace, "get", "pods", f"-l{selector}")
    return inside(box, "kubectl", *query, "--output=jsonpath={.items[0].spec.nodeName}")


def component_pid(box: Sandbox, name: str) -> int:
    """Return the process id of a component of the cluster, as seen inside the sandbox."""
    state = box.state()
    assert state is not None
    return next(each.pid for each in state.components if each.name == name)
