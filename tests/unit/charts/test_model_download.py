"""The chart's download of a model: once for all pods on a volume, resumed, and with a reason when it fails."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.charts.engine_programs import until

SCRIPT = Path(__file__).parents[3] / "charts/triton-trtllm/files/download/download.sh"

# what stands in for the AWS or NGC CLI: counts its calls, waits while it is paused, and writes what it is given
TOOL = """
import pathlib, sys, time
control, files, names, code = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
with open(control / "calls", "a") as calls:
    calls.write("call\\n")
while (control / "paused").exists():
    time.sleep(0.01)
for name in filter(None, names.split(",")):
    (files / name).write_text(name)
sys.exit(code)
"""


class Pods:
    """Pods that download to one folder of a volume."""

    def __init__(self, folder: Path) -> None:
        self.control, self.target, self.tool = folder / "control", folder / "volume/llama", folder / "tool.py"
        self.control.mkdir()
        self.tool.write_text(TOOL)
        self.started: list[subprocess.Popen[str]] = []

    def start(self, names: str = "config.json", code: int = 0, **settings: str) -> subprocess.Popen[str]:
        tool = [
            sys.executable,
            "-S",
            "-E",
            str(self.tool),
            str(self.control),
            str(self.target / "files"),
            names,
            str(code),
        ]
        quick = {"DOWNLOAD_BEAT_S": "0.05", "DOWNLOAD_POLL_S": "0.05", "DOWNLOAD_STALE_S": "30"}
        pod = subprocess.Popen(
            ["/bin/sh", "-c", SCRIPT.read_text(), "download.sh", str(self.target), *tool],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={"PATH": "/usr/bin:/bin", **quick, **settings},
            start_new_session=True,
        )
        self.started.append(pod)
        return pod

    def pause(self) -> None:
        (self.control / "paused").touch()

    def resume(self) -> None:
        (self.control / "paused").unlink()

    def calls(self) -> int:
        path = self.control / "calls"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def complete(self) -> bool:
        return (self.target / "COMPLETE").exists()

    def kill(self, pod: subprocess.Popen[str]) -> None:
        """As when its node is lost."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pod.pid, signal.SIGKILL)
        pod.wait()


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[Pods]:
    made = Pods(tmp_path)
    yield made
    for pod in made.started:
        made.kill(pod)
        assert pod.stdout
        pod.stdout.close()


def output(pod: subprocess.Popen[str]) -> tuple[int, str]:
    said, _ = pod.communicate(timeout=30)
    return pod.returncode, said


def test_pods_that_start_together_download_once(pods: Pods) -> None:
    """One downloads, the others wait for it, and a later one finds it complete."""
    pods.pause()
    every = [pods.start() for _ in range(3)]
    until(lambda: pods.calls() == 1)
    assert not pods.complete()
    pods.resume()
    texts = [output(pod) for pod in every]
    assert [code for code, _ in texts] == [0, 0, 0], texts
    assert sum("downloading to" in text for _, text in texts) == 1
    code, text = output(pods.start())
    assert (code, "nothing to download" in text, pods.calls()) == (0, True, 1)
    assert (pods.target / "files/config.json").read_text() == "config.json"


def test_a_failed_download_is_resumed_by_the_next_start(pods: Pods) -> None:
    """What is there stays there, except for a tool that cannot resume; the message names the tool's exit code."""
    code, text = output(pods.start("part", code=7))
    assert (code, "exit code 7" in text, pods.complete()) == (1, True, False)
    code, text = output(pods.start("config.json"))
    assert code == 0, text
    assert sorted(path.name for path in (pods.target / "files").iterdir()) == ["config.json", "part"]


def test_a_tool_that_cannot_resume_starts_over(pods: Pods) -> None:
    """The files of the failed attempt are removed first."""
    output(pods.start("part", code=7))
    code, text = output(pods.start(DOWNLOAD_FRESH="1"))
    assert code == 0, text
    assert [path.name for path in (pods.target / "files").iterdir()] == ["config.json"]


def test_a_source_without_files_is_an_error(pods: Pods) -> None:
    """The AWS CLI succeeds for a folder that does not exist."""
    code, text = output(pods.start(""))
    assert (code, pods.complete()) == (1, False)
    assert "the source has no files: check bucket and folder" in text


def test_a_pod_that_is_deleted_hands_over_at_once(pods: Pods) -> None:
    """Its tool is ended, and the next pod need not wait until the lock is stale."""
    pods.pause()
    first = pods.start()
    until(lambda: pods.calls() == 1)
    first.send_signal(signal.SIGTERM)
    code, text = output(first)
    assert (code, "stopped" in text) == (143, True)
    second = pods.start(DOWNLOAD_STALE_S="600")
    until(lambda: pods.calls() == 2)
    pods.resume()
    assert output(second)[0] == 0


def test_a_pod_that_vanished_is_taken_over(pods: Pods) -> None:
    """Its lock does not change any more."""
    pods.pause()
    first = pods.start()
    until(lambda: pods.calls() == 1)
    pods.kill(first)
    second = pods.start(DOWNLOAD_STALE_S="1")
    until(lambda: pods.calls() == 2)
    pods.resume()
    code, text = output(second)
    assert code == 0, text


def test_a_download_ends_at_its_time_limit(pods: Pods) -> None:
    """The holder and those that wait for it name the value to raise."""
    pods.pause()
    first = pods.start(DOWNLOAD_TIMEOUT_S="1")
    until(lambda: pods.calls() == 1)
    code, text = output(first)
    assert (code, "raise model.download.timeoutSeconds" in text) == (1, True), text
    holder = pods.start()
    until(lambda: pods.calls() == 2)
    code, text = output(pods.start(DOWNLOAD_TIMEOUT_S="1"))
    assert (code, "of waiting for another pod" in text) == (1, True), text
    pods.resume()
    assert output(holder)[0] == 0


def test_a_volume_that_cannot_be_written_is_named(pods: Pods) -> None:
    """The message says which user needs the right to write."""
    pods.target.parent.write_text("no folder")
    code, text = output(pods.start())
    assert (code, f"must be writable for user {os.getuid()}" in text) == (1, True)
