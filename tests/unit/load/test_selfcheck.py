"""Streams of the self-check: all processes together stay within the reference server's limit."""

import pytest

from loadgen.load.selfcheck import streams_to_check
from loadgen.protocols.reference import MAX_STREAMS


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
    """Each process opens one stream per user, at most 128; all together stay within the server's limit."""
    assert streams_to_check(users, workers) == streams
    assert streams * workers <= max(MAX_STREAMS, workers)
