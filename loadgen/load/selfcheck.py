"""Checks before every run that this process measures token times correctly, against a server that knows them.

A process patched by gevent can hang, or time tokens seconds late, and throughput does not show it. The check opens as
many streams to the reference server as the run may need; the server sends each first token immediately and then holds
the stream open. If waiting streams block one another, later ones get their first token only after earlier ones end.

Such a process is late at every attempt. A short burst of CPU use by another process is not a reason to refuse the run,
so the check is repeated before it fails.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import gevent
from gevent.pool import Group

from loadgen.base.errors import SelfCheckError
from loadgen.dataset.names import Cause, Outcome
from loadgen.protocols.answer import Answer, Client
from loadgen.protocols.reference import MAX_STREAMS, Script

_MAX_CHECKED_STREAMS = 128
_HOLD_S = 2.0
_LIMIT_S = 1.5
_TIMEOUT_S = 20.0
_ATTEMPTS = 3
_FREE_CPU = "free CPU, or spread the users with --processes"
_ADVICE: Mapping[str | None, str] = {
    Cause.NO_DESCRIPTOR: "raise the limit on open files (ulimit -n), or spread the users with --processes",
    Cause.NO_PORT: "widen the range net.ipv4.ip_local_port_range, or end programs with many connections",
    Cause.NO_MEMORY: "free memory",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfCheck:
    """Result of the check: number of streams, and the worst delay from sending a token to its time stamp, seconds."""

    streams: int
    worst_delay_s: float


def streams_to_check(users: int, workers: int) -> int:
    """Return how many streams each of `workers` processes opens: one per user, up to what the server can hold."""
    return max(1, min(users, _MAX_CHECKED_STREAMS, MAX_STREAMS // workers))


def self_check(connect: Callable[[], Client], streams: int) -> SelfCheck:
    """Open `streams` streams to the reference server at once and check their time stamps, up to three times.

    Raises:
        SelfCheckError: a stream fails or hangs, or at each attempt a stamp is late by more than three quarters of the
            hold time.
    """
    for _ in range(_ATTEMPTS):
        worst_delay_s = _worst_delay_s(connect, streams)
        if worst_delay_s <= _LIMIT_S:
            return SelfCheck(streams=streams, worst_delay_s=worst_delay_s)
    raise SelfCheckError(
        f"self-check: with {streams} open streams, a first token was timed {worst_delay_s:.2f} s late "
        f"(limit {_LIMIT_S:g} s) in the last of {_ATTEMPTS} attempts; this process would report wrong latencies: "
        f"{_FREE_CPU}"
    )


def _worst_delay_s(connect: Callable[[], Client], streams: int) -> float:
    """Return the longest time from the start to the stamp of a first token.

    The server sends a first token as soon as it has the request, so this is the delay of this process.
    """
    prompt = Script(tokens=1, hold_s=_HOLD_S).prompt()
    answers: list[Answer] = []
    sent_at = time.monotonic()

    def send(client: Client) -> None:
        answers.append(client.infer(prompt, 1, _TIMEOUT_S))

    clients = [connect() for _ in range(streams)]
    group = Group()
    try:
        for client in clients:
            group.spawn(send, client)
        with gevent.Timeout(_TIMEOUT_S + 5, False):
            group.join()
    finally:
        group.kill()
        for client in clients:
            client.close()
    good = [answer for answer in answers if answer.outcome == Outcome.OK]
    if len(good) < streams:
        causes = {answer.cause for answer in answers if answer.outcome != Outcome.OK} or {"no answer"}
        advice = next((text for cause, text in _ADVICE.items() if cause in causes), _FREE_CPU)
        raise SelfCheckError(
            f"self-check: only {len(good)} of {streams} streams to the built-in reference server succeeded "
            f"({'; '.join(sorted(map(str, causes)))}); this process would report wrong token times: {advice}"
        )
    return max(answer.token_times[0] for answer in good) - sent_at
