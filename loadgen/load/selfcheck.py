"""Would this process report true token times? Asked of a server that knows them, before every run.

A process patched by gevent can hang, or stamp tokens seconds late, and throughput shows nothing of it. So as many
streams as the run may need are opened to the reference server at once; each gets its first token at once and is then
held open. When waiting streams block one another, the later ones get their first token only after the earlier ended.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import gevent
from gevent.pool import Group

from loadgen.base.errors import SelfCheckError
from loadgen.dataset.names import Outcome
from loadgen.protocols.answer import Answer, Client
from loadgen.protocols.reference import MOST_STREAMS, Script

_ENOUGH_STREAMS = 128
_HOLD_S = 2.0
_LIMIT_S = 1.5
_PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfCheck:
    """What the check saw: number of streams, and the worst delay from a token's sending to its stamp, seconds."""

    streams: int
    worst_delay_s: float


def streams_to_check(users: int, workers: int) -> int:
    """Streams that one of `workers` processes opens: one a user, as far as that proves more and the server has room."""
    return max(1, min(users, _ENOUGH_STREAMS, MOST_STREAMS // workers))


def self_check(connect: Callable[[], Client], streams: int) -> SelfCheck:
    """Open `streams` streams to the reference server at once and compare the stamps.

    Raises:
        SelfCheckError: streams fail or hang, or a stamp is later than three quarters of the time that streams are held.
    """
    prompt = Script(tokens=1, hold_s=_HOLD_S).prompt()
    answers: list[Answer] = []
    sent_at = time.monotonic()

    def one(client: Client) -> None:
        answers.append(client.infer(prompt, 1, _PATIENCE_S))

    clients = [connect() for _ in range(streams)]
    group = Group()
    try:
        for client in clients:
            group.spawn(one, client)
        with gevent.Timeout(_PATIENCE_S + 5, False):
            group.join()
    finally:
        group.kill()
        for client in clients:
            client.close()
    good = [answer for answer in answers if answer.outcome == Outcome.OK]
    if len(good) < streams:
        causes = {answer.cause for answer in answers if answer.outcome != Outcome.OK} or {"no answer at all"}
        raise SelfCheckError(
            f"self-check: only {len(good)} of {streams} streams to the built-in reference server ended well "
            f"({'; '.join(sorted(map(str, causes)))}); token times from this process could not be trusted: "
            f"free CPU, or spread the users with --processes"
        )
    # a first token is sent as soon as its request arrives, so its stamp can only be late by our own fault
    worst = max(answer.token_times[0] for answer in good) - sent_at
    if worst > _LIMIT_S:
        raise SelfCheckError(
            f"self-check: with {streams} streams open, a first token that was sent at once was stamped {worst:.2f} s "
            f"late (limit {_LIMIT_S:g} s): this process would report wrong latencies: free CPU, or spread the users "
            f"with --processes"
        )
    return SelfCheck(streams=streams, worst_delay_s=worst)
