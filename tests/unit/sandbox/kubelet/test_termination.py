"""Grace periods, and work that an event cancels."""

import asyncio
import contextlib

import pytest

from loadgen.sandbox.kubelet.container.termination import GracePeriod, run_until


def test_grace_period_can_only_be_shortened() -> None:
    """A second deletion can shorten the grace period, never lengthen it."""

    async def run() -> tuple[float, float]:
        grace_period = GracePeriod(10.0)
        grace_period.shorten(30.0)
        longer_s = grace_period.left_s()
        grace_period.shorten(0.0)
        return longer_s, grace_period.left_s()

    longer_s, shorter_s = asyncio.run(run())
    assert longer_s <= 10.0
    assert shorter_s == 0.0


@pytest.mark.parametrize(("needed_s", "done"), [(0.0, True), (5.0, False)])
def test_grace_period_bounds_a_wait(needed_s: float, done: bool) -> None:
    """A preStop hook that takes longer than the grace period is not waited for."""

    async def run() -> bool:
        return await GracePeriod(0.1).wait_for([asyncio.sleep(needed_s)])

    assert asyncio.run(run()) is done


def test_work_is_cancelled_by_the_event() -> None:
    """A deletion cancels the set-up of a pod, even when a library swallows a cancellation."""

    async def stubborn() -> None:
        for _ in range(2):
            with contextlib.suppress(asyncio.CancelledError):  # as libraries do that mistake it for their own timeout
                await asyncio.sleep(30)

    async def run() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, stop.set)
        async with asyncio.timeout(5.0):
            await run_until(stop, stubborn())

    asyncio.run(run())


def test_errors_of_the_work_are_raised() -> None:
    """An error before the event is raised by `run_until`."""

    async def fail() -> None:
        raise ValueError("no")

    async def run() -> None:
        await run_until(asyncio.Event(), fail())

    with pytest.raises(ValueError, match="no"):
        asyncio.run(run())
