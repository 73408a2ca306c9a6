"""Output and exit codes of the init container that waits for an engine."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.charts.engine_programs import Volume, output, until


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    volume = Volume(tmp_path)
    yield volume
    volume.end()


def test_it_prints_the_builder_and_exits_when_the_engine_is_ready(volume: Volume) -> None:
    """A line is printed before, during and after the build."""
    volume.plan("convert", sleeps_s=0.8)
    waiting = volume.wait()
    first = waiting.stdout.readline() if waiting.stdout else ""
    assert "there is no builder yet (Job llm-engine)" in first
    assert output(volume.build("--owner", "llm-engine-x7k2p"))[0] == 0
    code, log = output(waiting)
    assert code == 0, log
    assert re.search(r"llm-engine-x7k2p has been building it for \d+ s, step convert", log)
    assert log.endswith("is ready.\n")


def test_a_failed_build_is_reported_with_its_reason(volume: Volume) -> None:
    """Output and termination log of the waiting pod have step, exit code, hint, last lines, log file and Job."""
    volume.plan("build", says="HTTPError: 401 Client Error", fails_with=3)
    assert output(volume.build())[0] == 1
    volume.log.unlink()
    code, log = output(volume.wait())
    assert code == 1
    for text in (log, volume.log.read_text()):
        assert "step build ended with exit code 3" in text
        assert "check the Secret that HF_TOKEN comes from" in text
        assert "401 Client Error" in text
        assert "logs/000001.log" in text
        assert "llm-engine" in text


def test_a_failure_is_ignored_while_the_next_attempt_runs(volume: Volume) -> None:
    """The pod waits for the running build, even if the marker of the failed attempt is still visible."""
    volume.plan("build", fails_with=1)
    assert output(volume.build())[0] == 1
    failed = (volume.folder / "FAILED").read_text()
    volume.plan("build")
    volume.pause("build")
    building = volume.build()
    until(lambda: volume.calls().count("build") == 2)
    (volume.folder / "FAILED").write_text(failed)
    waiting = volume.wait()
    assert "has been building it" in (waiting.stdout.readline() if waiting.stdout else "")
    (volume.folder / "FAILED").unlink()
    volume.resume("build")
    assert output(building)[0] == 0
    assert output(waiting)[0] == 0


def test_without_a_builder_it_exits_with_the_name_of_the_job(volume: Volume) -> None:
    """If no builder has started or the last one was stopped, the exit code is 3."""
    code, log = output(volume.wait("--builder-timeout-s", "0.3"))
    assert (code, "Check that the Job llm-engine exists" in log) == (3, True), log
    volume.plan("convert", sleeps_s=30)
    building = volume.build("--owner", "llm-engine-1")
    until(lambda: "convert" in volume.calls())
    building.terminate()
    assert output(building)[0] == 143
    code, log = output(volume.wait("--builder-timeout-s", "0.3"))
    assert (code, "the last builder, llm-engine-1, ended as stopped" in log) == (3, True), log


def test_a_builder_without_a_heartbeat_does_not_count(volume: Volume) -> None:
    """A lock whose heartbeat has stopped belongs to a lost builder."""
    folder = Path(show(volume)["folder"]) / "lock"
    folder.mkdir(parents=True)
    (folder / "000001").write_text('{"owner": "gone", "since_s": 1, "step": "build"}')
    code, log = output(volume.wait("--builder-timeout-s", "0.3", "--stale-s", "0.3"))
    assert (code, "gone, ended as lost" in log) == (3, True), log


def show(volume: Volume) -> dict[str, Any]:
    code, log = output(volume.start("show"))
    assert code == 0, log
    return dict(json.loads(log))


def test_show_prints_the_state_of_the_volume(volume: Volume) -> None:
    """The state has the running builder, the last failure and the engine, each null if there is none."""
    before = show(volume)
    assert (before["ready"], before["failed"], before["builder"]) == (None, None, None)
    volume.plan("build", fails_with=1)
    volume.pause("build")
    building = volume.build("--owner", "llm-engine-1")
    until(lambda: "build" in volume.calls())
    assert (show(volume)["builder"]["owner"], show(volume)["builder"]["step"]) == ("llm-engine-1", "build")
    volume.resume("build")
    assert output(building)[0] == 1
    assert show(volume)["failed"]["step"] == "build"
    volume.plan("build")
    assert output(volume.build())[0] == 0
    after = show(volume)
    assert (after["ready"]["key"], after["failed"], after["builder"]) == (before["key"], None, None)


def test_the_wait_has_a_timeout(volume: Volume) -> None:
    """After the timeout it exits with 3 while a build runs, and the message has what to look at."""
    volume.plan("convert", sleeps_s=30)
    volume.build()
    until(lambda: "convert" in volume.calls())
    code, log = output(volume.wait("--timeout-s", "0.3"))
    assert (code, "is not ready after 0 s" in log, "log of the Job llm-engine" in log) == (3, True, True), log


def test_invalid_settings_are_refused_at_once(volume: Volume) -> None:
    """The exit code is 2, and the message is in the termination log as well."""
    volume.write(tensor_paralelism=2)
    code, log = output(volume.wait())
    assert (code, "did you mean tensor_parallelism?" in log) == (2, True), log
    assert "did you mean tensor_parallelism?" in volume.log.read_text()
