"""The self-check: all processes together stay within the reference server's limit, and only lasting delays fail."""

import time
from dataclasses import dataclass

import pytest

from loadgen.base.errors import SelfCheckError
from loadgen.dataset.names import Cause, Outcome
from loadgen.load.selfcheck import self_check, streams_to_check
from loadgen.protocols.answer import Answer
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


@dataclass
class LateClient:
    """A client whose first token is stamped late by the next of these delays, without any wait."""

    delays_s: list[float]

    def infer(self, prompt: str, max_tokens: int, timeout_s: float) -> Answer:
        now = time.monotonic()
        return Answer(outcome=Outcome.OK, token_times=[now + self.delays_s.pop(0)], ended=now)

    def close(self) -> None:
        pass


def test_one_late_attempt_is_repeated() -> None:
    """A delay at one attempt does not refuse the run; the result is that of the attempt that passed."""
    delays = [1.8, 0.25]
    check = self_check(lambda: LateClient(delays), 1)
    assert check.worst_delay_s == pytest.approx(0.25, abs=0.2)


def test_delays_at_every_attempt_refuse_the_run() -> None:
    """A process that is late at each of three attempts is refused, with the last delay and what to do."""
    delays = [1.9, 1.8, 1.7]
    with pytest.raises(SelfCheckError, match=r"timed 1\.\d+ s late .* in the last of 3 attempts; .*free CPU"):
        self_check(lambda: LateClient(delays), 1)
    assert delays == []


@dataclass
class FailingClient:
    """A client whose requests fail for one cause."""

    cause: str

    def infer(self, prompt: str, max_tokens: int, timeout_s: float) -> Answer:
        return Answer(outcome=Outcome.ERROR, cause=self.cause, ended=time.monotonic())

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("cause", "advice"),
    [
        (Cause.NO_PORT, "widen the range net.ipv4.ip_local_port_range"),
        (Cause.NO_DESCRIPTOR, "raise the limit on open files"),
        (Cause.NO_MEMORY, "free memory"),
        ("connection closed", "free CPU"),
    ],
)
def test_the_advice_fits_the_cause(cause: str, advice: str) -> None:
    """What this machine lacks is named with what gives more of it."""
    with pytest.raises(SelfCheckError, match=rf"only 0 of 2 streams .*\({cause}\).*: {advice}"):
        self_check(lambda: FailingClient(cause), 2)
