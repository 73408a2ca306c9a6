"""Locust's own statistics: one request event a request; TTFT and token gaps as entries of their own."""

import time

from locust.env import Environment

from loadgen.dataset.names import Outcome
from loadgen.load.plan import Arrival
from loadgen.load.share import Report
from loadgen.protocols.answer import Answer


class RequestFailed(Exception):
    """How Locust shows a request that did not end `ok`; the message is outcome and cause."""


def report_to(environment: Environment, *, wire: str, name: str) -> Report:
    """A function that tells Locust of every request; times are milliseconds from the scheduled time.

    Args:
        environment: Locust's environment.
        wire: Type of the entry, `grpc` or `http`.
        name: Name of the entry: call and model.
    """

    def report(arrival: Arrival, due: float, answer: Answer) -> None:
        failure = None if answer.outcome == Outcome.OK else RequestFailed(f"{answer.outcome}: {answer.cause}")
        environment.events.request.fire(
            request_type=wire,
            name=name,
            response_time=(answer.ended - due) * 1000,
            response_length=answer.received_bytes,
            exception=failure,
            context={"request_id": arrival.number},
            start_time=time.time() - (time.monotonic() - due),
        )
        if answer.token_times:
            # entries only, not Locust's total: these are parts of a request, not requests
            environment.stats.get(name, "TTFT").log(_ms(answer.token_times[0] - due), 0)
            gaps = environment.stats.get(name, "ITL")
            before = answer.token_times[0]
            for at in answer.token_times[1:]:
                gaps.log(_ms(at - before), 0)
                before = at

    return report


def _ms(seconds: float) -> int:
    return seconds * 1000  # type: ignore[return-value]  # declared int; Locust itself logs floats
