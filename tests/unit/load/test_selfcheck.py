"""The self-check of many processes asks no more of the reference server than it has."""

import pytest

from loadgen.load.selfcheck import streams_to_check
from loadgen.protocols.reference import MOST_STREAMS


@pytest.mark.parametrize(
    ("users", "workers", "streams"),
    [
        (0, 1, 1),
        (7, 1, 7),
        (500, 1, 128),
        (500, 8, 128),  # 8 · 128 = 1024
        (500, 9, 113),  # 9 · 113 = 1017, 9 · 114 = 1026
        (500, 64, 16),
        (500, 5000, 1),
    ],
)
def test_streams_of_a_process(users: int, workers: int, streams: int) -> None:
    """One a user, at most 128, and all processes together at most what the reference server serves."""
    assert streams_to_check(users, workers) == streams
    assert streams * workers <= max(MOST_STREAMS, workers)
