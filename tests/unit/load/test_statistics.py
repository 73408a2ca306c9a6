"""Locust's statistics: an entry for requests, and entries for TTFT and gaps where there are token times."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from locust.env import Environment
from locust.stats import RequestStats, StatsEntry

from loadgen.dataset.causes import MAX_CAUSES
from loadgen.load.adapters.statistics import log_all, statistics_listener
from loadgen.load.plan import Arrival
from loadgen.load.prompts import Prompt
from loadgen.protocols.answer import Answer

ARRIVAL = Arrival(number=7, due_s=1.0, prompt=Prompt(text="x", input_tokens=1, max_tokens=8))


def statistics_of(answer: Answer, due: float) -> RequestStats:
    """What Locust has counted after this answer."""
    environment = Environment()
    environment.create_local_runner()  # counts the request events
    statistics_listener(environment, protocol="grpc", name="call model")(ARRIVAL, due, answer)
    return environment.stats


def entries_of(answer: Answer, due: float) -> dict[str, list[float]]:
    """Count and mean in milliseconds of each entry; counts of requests and failures in total."""
    stats = statistics_of(answer, due)
    assert {name for name, _ in stats.entries} == {"call model"}
    found = {kind: [entry.num_requests, entry.avg_response_time] for (_, kind), entry in stats.entries.items()}
    return {**found, "total": [stats.total.num_requests, stats.total.num_failures]}


def test_token_times_are_entries_beside_the_total() -> None:
    """Due at 0, tokens at 0.5, 0.7 and 1.1 s: TTFT 500 ms, gaps of 200 and 400 ms, one request of 1200 ms in total."""
    due = time.monotonic()
    answer = Answer(outcome="ok", token_times=[due + 0.5, due + 0.7, due + 1.1], ended=due + 1.2)
    assert entries_of(answer, due) == {
        "grpc": [1, pytest.approx(1200)],
        "TTFT": [1, pytest.approx(500)],
        "ITL": [2, pytest.approx(300)],
        "total": [1, 0],
    }


def test_without_token_times_there_is_one_entry() -> None:
    """As without streaming."""
    due = time.monotonic()
    assert entries_of(Answer(outcome="ok", ended=due + 0.1), due) == {"grpc": [1, pytest.approx(100)], "total": [1, 0]}


def test_a_failed_request_is_a_failure_with_its_cause() -> None:
    """Outcome and cause are the message of the failure."""
    stats = statistics_of(Answer(outcome="rejected", cause="queue full", ended=time.monotonic()), time.monotonic())
    assert stats.total.num_failures == 1
    assert [str(error.error) for error in stats.errors.values()] == ["rejected: queue full"]


def test_the_number_of_failure_messages_is_bounded() -> None:
    """Locust keeps an entry for every message: 200 failures with texts of their own are 41 entries."""
    environment = Environment()
    environment.create_local_runner()
    listener = statistics_listener(environment, protocol="grpc", name="call model")
    for number in range(200):
        listener(ARRIVAL, time.monotonic(), Answer(outcome="error", cause="x" * number, ended=time.monotonic()))
    occurrences = {str(error.error): error.occurrences for error in environment.stats.errors.values()}
    assert len(occurrences) == MAX_CAUSES + 1
    assert occurrences["error: other causes"] == 200 - MAX_CAUSES


@given(times_ms=st.lists(st.floats(0, 1e5), max_size=30))
def test_times_logged_together(times_ms: list[float]) -> None:
    """Many times at once give the same statistics as Locust's own log of each."""
    together, each = (StatsEntry(RequestStats(), "call model", "ITL") for _ in range(2))
    log_all(together, times_ms)
    for time_ms in times_ms:
        each.log(time_ms, 0)  # type: ignore[arg-type]
    assert together.response_times == each.response_times
    assert together.num_requests == each.num_requests == sum(together.num_reqs_per_sec.values())
    assert together.total_response_time == pytest.approx(each.total_response_time)
    assert (together.min_response_time, together.max_response_time) == (each.min_response_time, each.max_response_time)
