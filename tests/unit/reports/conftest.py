"""Fixtures of the tests of reports."""

import pytest

from loadgen.analyze.results import Analysis
from support.runs.synthetic import sample


@pytest.fixture(scope="package")
def failing() -> Analysis:
    """Two waves, 1,309 requests (1,275 expected: 4.25/s on average for 300 s), and three scale-ups: 1 → 2 → 4, 1 → 4.

    In the second wave the load outgrows the one replica (3.4/s) at 188 s, the ratio crosses its target at 199.1 s, the
    next sync is at 208.15 s (every 15 s from -1.85 s), pods are created 0.2 s later and ready 12 s after that.
    """
    return sample("failing")
