"""A part of the control plane that dies: started again, and named with its last words."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from loadgen.base.errors import StackError
from loadgen.sandbox.log_tail import last_words
from loadgen.sandbox.plane import parts
from loadgen.sandbox.plane.parts import Part


def test_a_part_that_dies_again_and_again_is_started_again_and_named_each_time(tmp_path, monkeypatch):
    """Each death is told with its exit code, its last words and its log; the last one is kept."""
    monkeypatch.setattr(parts, "_BACK_OFF_S", (0.01,))
    told: list[str] = []

    async def live() -> Part:
        part = Part("scheduler", ["/bin/sh", "-c", "echo no lease $$; exit 7"], health=None, logs=tmp_path)
        async with aiohttp.ClientSession() as session:
            await part.start(session)
            watching = asyncio.create_task(part.watch(session, told.append))
            async with asyncio.timeout(60):
                while part.restarts < 3:
                    await asyncio.sleep(0.01)
            watching.cancel()
            await part.stop()
        return part

    part = asyncio.run(live())
    named = [line for line in told if line.startswith("scheduler ended with 7 and is started again: ")]
    assert len(named) >= 3
    assert all("no lease " in line and line.endswith(f"see {tmp_path / 'scheduler.log'}") for line in named)
    assert part.death == named[-1]


def test_a_part_that_cannot_start_is_told_with_its_last_words(tmp_path):
    """Its exit code and what it wrote."""

    async def start() -> None:
        part = Part("etcd", ["/bin/sh", "-c", "echo broken; exit 2"], health="http://127.0.0.1:1/", logs=tmp_path)
        async with aiohttp.ClientSession() as session:
            await part.start(session)

    with pytest.raises(StackError, match=r"etcd ended with 2 while it started: broken; see .*etcd\.log"):
        asyncio.run(start())


PANIC = "starting\npanic: failed to create WAL\n\ngoroutine 1 [running]:\nmain.main()\n\tmain.go:40 +0xf3\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a\nb\n\nc\nd\n", "c / d"),
        (PANIC, "starting / panic: failed to create WAL"),
        (PANIC + "started again\nfine\n", "started again / fine"),
        ("", "its log is empty"),
    ],
)
def test_the_last_words_of_a_log(tmp_path: Path, text: str, words: str):
    """Its last lines; of a panic its reason, as long as its stack is the end."""
    log = tmp_path / "log"
    log.write_text(text)
    assert last_words(log, 2 if "b\n" in text or "again" in text or "panic" in text else 3) == words


def test_a_log_that_was_never_written(tmp_path):
    """It is said."""
    assert last_words(tmp_path / "none") == "it wrote no log"
