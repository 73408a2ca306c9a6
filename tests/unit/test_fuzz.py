"""Every parser of outside data survives damaged input: it returns, or raises an error of its own in one line.

By default each target tries a few fixed examples. `--fuzz-seconds 60` tries random ones for a minute per target, and
the summary says how many.
"""

import logging
import time

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from support.fuzz.target import Target
from support.fuzz.targets import TARGETS

_ROUND = 200
_ANY = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False)


# counting calls needs a frame of its own, which a finalizer may not have at the limit of recursion
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_parser_survives_damaged_input(target: Target, request: pytest.FixtureRequest) -> None:
    """No foreign exception, an error message of one line, and calls and memory that the size of the input bounds."""
    logging.disable()  # some parsers log what they skip
    request.addfinalizer(lambda: logging.disable(logging.NOTSET))
    for value in target.valid:
        target.check(value)
    seconds: float = request.config.getoption("--fuzz-seconds")
    if not seconds:
        fixed = settings(_ANY, max_examples=target.examples, derandomize=True, phases=[Phase.generate])
        fixed(given(target.inputs)(target.check))()
        return
    started, tried, first = time.monotonic(), 0, time.time_ns() >> 20

    def check(value: object) -> None:
        nonlocal tried
        tried += 1
        target.check(value)

    number = first
    while time.monotonic() < started + seconds:
        phases = (Phase.generate, Phase.shrink)
        seed(number)(settings(_ANY, max_examples=_ROUND, phases=phases)(given(target.inputs)(check)))()
        number += 1
    request.node.user_properties.append(("fuzz", f"{target.name}: {tried} inputs"))


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_target_runs_its_parser(target: Target) -> None:
    """The valid inputs of a target run the functions that it is listed for."""
    assert set(target.calls) - target.functions() == set()
