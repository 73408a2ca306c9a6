"""Reports requests to Locust's statistics, with TTFT and inter-token latency as separate entries."""

import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from locust.env import Environment
from locust.stats import StatsEntry, bucket_response_time

from loadgen.dataset.causes import MAX_CAUSES
from loadgen.dataset.names import Cause, Outcome
from loadgen.load.plan import Arrival
from loadgen.load.tally import OnAnswer
from loadgen.protocols.answer import Answer


class RequestFailed(Exception):
    """The exception that Locust shows for a request whose outcome is not `ok`; the message is outcome and cause."""


def statistics_listener(environment: Environment, *, protocol: str, name: str) -> OnAnswer:
    """Return a function that reports a request to Locust; times are milliseconds from the scheduled time.

    Args:
        environment: Locust's environment.
        protocol: Type of the entry: `grpc`, `http` or `openai`.
        name: Name of the entry: call and model.
    """
    messages: set[str] = set()

    def bounded(outcome: Outcome, cause: str | None) -> str:
        """Outcome and cause; Locust keeps an entry for every message, so there is a limit to them."""
        message = f"{outcome}: {cause}"
        if message not in messages and len(messages) >= MAX_CAUSES:
            return f"{outcome}: {Cause.OTHER.label}"
        messages.add(message)
        return message

    def on_answer(arrival: Arrival, due: float, answer: Answer) -> None:
        failure = None if answer.outcome == Outcome.OK else RequestFailed(bounded(answer.outcome, answer.cause))
        environment.events.request.fire(
            request_type=protocol,
            name=name,
            response_time=(answer.ended - due) * 1000,
            response_length=answer.received_bytes,
            exception=failure,
            context={"request_id": arrival.number},
            start_time=time.time() - (time.monotonic() - due),
        )
        if answer.token_times:
            # logged as entries only: as request events they would count in Locust's total
            environment.stats.get(name, "TTFT").log(_ms(answer.token_times[0] - due), 0)
            gaps_ms = [(after - before) * 1000 for before, after in pairwise(answer.token_times)]
            log_all(environment.stats.get(name, "ITL"), gaps_ms)

    return on_answer


def log_all(entry: StatsEntry, times_ms: Sequence[float]) -> None:
    """Log many times as `entry.log` would one after the other, in a fifth of the time."""
    if not times_ms:
        return
    first, *rest = times_ms
    entry.log(first, 0)  # type: ignore[arg-type]  # declared int; Locust itself logs floats
    if rest:
        assert entry.last_request_timestamp is not None
        assert entry.min_response_time is not None
        entry.num_requests += len(rest)
        entry.num_reqs_per_sec[int(entry.last_request_timestamp)] += len(rest)
        entry.total_response_time += sum(rest)  # type: ignore[assignment]
        entry.min_response_time = min(entry.min_response_time, *rest)  # type: ignore[assignment]
        entry.max_response_time = max(entry.max_response_time, *rest)  # type: ignore[assignment]
        for bucket, count in Counter(map(bucket_response_time, rest)).items():
            entry.response_times[bucket] += count


def _ms(seconds: float) -> int:
    return seconds * 1000  # type: ignore[return-value]  # declared int; Locust itself logs floats
