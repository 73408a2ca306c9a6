"""How a pod's work and its containers come to their end."""

import asyncio
import contextlib

import pytest

from loadgen.sandbox.kubelet.container.termination import Deadline, unless


def test_deadline_comes_nearer_only() -> None:
    """A second deletion can shorten the grace period, never lengthen it."""

    async def run() -> tuple[float, float]:
        deadline = Deadline(10.0)
        deadline.shorten(30.0)
        longer_s = deadline.left_s()
        deadline.shorten(0.0)
        return longer_s, deadline.left_s()

    longer_s, shorter_s = asyncio.run(run())
    assert longer_s <= 10.0
    assert shorter_s == 0.0


@pytest.mark.parametrize(("needed_s", "done"), [(0.0, True), (5.0, False)])
def test_deadline_bounds_a_wait(needed_s: float, done: bool) -> None:
    """A preStop hook that takes longer than the grace period is not waited for."""

    async def run() -> bool:
        return await Deadline(0.1).first([asyncio.sleep(needed_s)])

    assert asyncio.run(run()) is done


def test_work_ends_with_the_event() -> None:
    """A pod that is deleted while it is prepared is prepared no more, even when a cancellation is swallowed."""

    async def stubborn() -> None:
        for _ in range(2):
            with contextlib.suppress(asyncio.CancelledError):  # as libraries do that take it for their own timeout
                await asyncio.sleep(30)

    async def run() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, stop.set)
        async with asyncio.timeout(5.0):
            await unless(stop, stubborn())

    asyncio.run(run())


def test_faults_of_the_work_are_told() -> None:
    """What fails before the event comes fails here."""

    async def fault() -> None:
        raise ValueError("no")

    async def run() -> None:
        await unless(asyncio.Event(), fault())

    with pytest.raises(ValueError, match="no"):
        asyncio.run(run())
