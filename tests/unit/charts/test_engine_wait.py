"""What the init container of a serving pod says while there is no engine, and how it ends."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.charts.engine_programs import Volume, output, until


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    made = Volume(tmp_path)
    yield made
    made.end()


def test_it_says_who_builds_and_ends_when_the_engine_is_there(volume: Volume) -> None:
    """Before, during and after the build there is a line that says so."""
    volume.plan("convert", sleeps_s=0.8)
    waiting = volume.wait()
    first = waiting.stdout.readline() if waiting.stdout else ""
    assert "nobody builds it yet (Job llm-engine)" in first
    assert output(volume.build("--owner", "llm-engine-x7k2p"))[0] == 0
    code, said = output(waiting)
    assert code == 0, said
    assert re.search(r"llm-engine-x7k2p builds it for \d+ s, step convert", said)
    assert said.endswith("is ready.\n")


def test_a_failed_build_is_told_with_its_reason(volume: Volume) -> None:
    """On the pod that waits, in its termination log too: step, exit code, hint, last lines, log, Job."""
    volume.plan("build", says="HTTPError: 401 Client Error", fails_with=3)
    assert output(volume.build())[0] == 1
    volume.log.unlink()
    code, said = output(volume.wait())
    assert code == 1
    for text in (said, volume.log.read_text()):
        assert "step build ended with exit code 3" in text
        assert "check the secret that HF_TOKEN comes from" in text
        assert "401 Client Error" in text
        assert "logs/000001.log" in text
        assert "llm-engine" in text


def test_a_failure_does_not_count_while_the_next_attempt_runs(volume: Volume) -> None:
    """Also if the marker of the earlier attempt is still seen."""
    volume.plan("build", fails_with=1)
    assert output(volume.build())[0] == 1
    failed = (volume.folder / "FAILED").read_text()
    volume.plan("build", sleeps_s=1.0)
    building = volume.build()
    until(lambda: volume.calls().count("build") == 2)
    (volume.folder / "FAILED").write_text(failed)
    waiting = volume.wait()
    assert "builds it" in (waiting.stdout.readline() if waiting.stdout else "")
    (volume.folder / "FAILED").unlink()
    assert output(building)[0] == 0
    assert output(waiting)[0] == 0


def test_without_a_builder_it_names_the_job(volume: Volume) -> None:
    """Nobody has come, or the last one was stopped: exit code 3 says that there is no reason to wait on."""
    code, said = output(volume.wait("--nobody-s", "0.3"))
    assert (code, "Look at the Job llm-engine" in said) == (3, True), said
    volume.plan("convert", sleeps_s=30)
    building = volume.build("--owner", "llm-engine-1")
    until(lambda: "convert" in volume.calls())
    building.terminate()
    assert output(building)[0] == 143
    code, said = output(volume.wait("--nobody-s", "0.3"))
    assert (code, "the last builder, llm-engine-1, ended as stopped" in said) == (3, True), said


def test_a_builder_that_vanished_is_nobody(volume: Volume) -> None:
    """Its lock is there, but its heartbeat is not."""
    folder = Path(shown(volume)["folder"]) / "lock"
    folder.mkdir(parents=True)
    (folder / "000001").write_text('{"owner": "gone", "since_s": 1, "step": "build"}')
    code, said = output(volume.wait("--nobody-s", "0.3", "--stale-s", "0.3"))
    assert (code, "gone, ended as lost" in said) == (3, True), said


def shown(volume: Volume) -> dict[str, Any]:
    code, said = output(volume.start("show"))
    assert code == 0, said
    return dict(json.loads(said))


def test_the_state_of_the_volume_can_be_shown(volume: Volume) -> None:
    """Nothing, a builder, a failure, an engine: for a person with a shell in a pod."""
    before = shown(volume)
    assert (before["ready"], before["failed"], before["builder"]) == (None, None, None)
    volume.plan("build", sleeps_s=1.5, fails_with=1)
    building = volume.build("--owner", "llm-engine-1")
    until(lambda: "build" in volume.calls())
    assert (shown(volume)["builder"]["owner"], shown(volume)["builder"]["step"]) == ("llm-engine-1", "build")
    assert output(building)[0] == 1
    assert shown(volume)["failed"]["step"] == "build"
    volume.plan("build")
    assert output(volume.build())[0] == 0
    after = shown(volume)
    assert (after["ready"]["key"], after["failed"], after["builder"]) == (before["key"], None, None)


def test_it_does_not_wait_for_ever(volume: Volume) -> None:
    """The limit ends the wait while somebody builds, and says what may be done."""
    volume.plan("convert", sleeps_s=30)
    volume.build()
    until(lambda: "convert" in volume.calls())
    code, said = output(volume.wait("--timeout-s", "0.3"))
    assert (code, "is not ready after 0 s" in said, "log of the Job llm-engine" in said) == (3, True, True), said


def test_wrong_settings_end_at_once(volume: Volume) -> None:
    """With exit code 2, in the termination log too."""
    volume.write(tensor_paralelism=2)
    code, said = output(volume.wait())
    assert (code, "did you mean tensor_parallelism?" in said) == (2, True), said
    assert "did you mean tensor_parallelism?" in volume.log.read_text()
