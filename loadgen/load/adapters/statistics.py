"""Reports requests to Locust's statistics, with TTFT and inter-token latency as separate entries."""

import time

from locust.env import Environment

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
            gaps = environment.stats.get(name, "ITL")
            before = answer.token_times[0]
            for at in answer.token_times[1:]:
                gaps.log(_ms(at - before), 0)
                before = at

    return on_answer


def _ms(seconds: float) -> int:
    return seconds * 1000  # type: ignore[return-value]  # declared int; Locust itself logs floats
