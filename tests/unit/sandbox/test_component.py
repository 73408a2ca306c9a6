"""Restarts of components of the control plane, and messages with the end of their logs."""

import asyncio

import aiohttp
import pytest

from loadgen.base.errors import StackError
from loadgen.sandbox.plane import component
from loadgen.sandbox.plane.component import Component


def test_a_component_that_keeps_exiting_is_restarted_and_reported(tmp_path, monkeypatch):
    """Every exit is reported with its exit code, the end of its log and the log's path."""
    monkeypatch.setattr(component, "_BACK_OFF_S", (0.01,))
    reports: list[str] = []
    started = tmp_path / "started"
    script = f"while [ ! -e {started} ]; do sleep 0.01; done; echo no lease $$; exit 7"

    async def run() -> Component:
        scheduler = Component("scheduler", ["/bin/sh", "-c", script], health=None, logs=tmp_path)
        async with aiohttp.ClientSession() as session:
            await scheduler.start(session)
            started.touch()
            watching = asyncio.create_task(scheduler.watch(session, reports.append))
            async with asyncio.timeout(60):
                while scheduler.restarts < 3:
                    await asyncio.sleep(0.01)
            watching.cancel()
            await scheduler.stop()
        return scheduler

    scheduler = asyncio.run(run())
    exits = [line for line in reports if line.startswith("scheduler exited with 7 and is restarted: ")]
    assert len(exits) >= 3
    assert all("no lease " in line and line.endswith(f"see {tmp_path / 'scheduler.log'}") for line in exits)
    assert scheduler.exit_message == exits[-1]


def test_a_component_that_cannot_start_is_an_error_with_the_end_of_its_log(tmp_path):
    """The message has the exit code and the end of the log."""

    async def start() -> None:
        etcd = Component("etcd", ["/bin/sh", "-c", "echo broken; exit 2"], health="http://127.0.0.1:1/", logs=tmp_path)
        async with aiohttp.ClientSession() as session:
            await etcd.start(session)

    with pytest.raises(StackError, match=r"etcd exited with 2 while it started: broken; see .*etcd\.log"):
        asyncio.run(start())


PANIC = "starting\npanic: failed to create WAL\n\ngoroutine 1 [running]:\nmain.main()\n\tmain.go:40 +0xf3\n"
