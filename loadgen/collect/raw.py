"""Reads each replica's own /metrics: Triton's raw counters, without Prometheus between."""

import http.client
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import NamedTuple
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from loadgen.base.clock import Clock
from loadgen.base.errors import CollectError
from loadgen.base.urls import redacted
from loadgen.collect.rows import Sample
from loadgen.collect.signals import EXPOSED
from loadgen.collect.targets import Replica

TIMEOUT_S = 0.8
MOST_BYTES = 16 << 20
MOST_AT_ONCE = 16
_NAMES = tuple({name for signal in EXPOSED for name in (signal.metric, *signal.kind.instead[:1])})


class _Page(NamedTuple):
    t_s: float
    text: str


class RawReader:
    """Reads all replicas at once, each in a thread, so that one that hangs delays no other."""

    def __init__(self, clock: Clock, timeout_s: float = TIMEOUT_S) -> None:
        self._clock, self._timeout_s = clock, timeout_s
        self._pool = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="raw")
        self._hanging: dict[str, Future[_Page]] = {}

    def read(self, replicas: Sequence[Replica], model: str) -> dict[str, list[Sample] | CollectError]:
        """One pass over the replicas.

        Returns:
            For every replica the values of the model's raw signals, or why there are none this time.
        """
        self._hanging = {url: page for url, page in self._hanging.items() if not page.done()}
        answers: dict[str, list[Sample] | CollectError] = {}
        asked: dict[Replica, Future[_Page]] = {}
        for replica in replicas:
            if replica.metrics in self._hanging:
                answers[replica.name] = CollectError(redacted(f"{replica.metrics} still has not answered"))
            else:
                asked[replica] = self._pool.submit(self._fetch, replica.metrics)
        wait(asked.values(), timeout=self._timeout_s)
        for replica, page in asked.items():
            if page.done():
                answers[replica.name] = _rows(replica, page, model)
            else:
                self._hanging[replica.metrics] = page
                answers[replica.name] = CollectError(
                    redacted(f"{replica.metrics} did not answer within {self._timeout_s:g} s")
                )
        return answers

    def close(self) -> None:
        """Wait for no one; what still hangs ends by its own time limit."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _fetch(self, url: str) -> _Page:
        started = time.monotonic()
        try:
            text = fetch(url, self._timeout_s)
        except (OSError, http.client.HTTPException) as error:
            raise CollectError(redacted(f"{url} cannot be read: {error}")) from error
        # The counters are those of a moment between the question and the answer.
        return _Page(self._clock.at_monotonic((started + time.monotonic()) / 2), text)


def _rows(replica: Replica, page: Future[_Page], model: str) -> list[Sample] | CollectError:
    try:
        t_s, text = page.result()
        return [Sample(t_s, field, replica.name, value) for field, value in parse(text, model).items()]
    except CollectError as error:
        return error


def fetch(url: str, timeout_s: float, *, lines: bool = True) -> str:
    """The body of a page, read within `timeout_s` also from a server that answers drop by drop.

    Args:
        url: Its URL.
        timeout_s: Longest wait for all of it.
        lines: Whether it is made of lines, so that one that does not end in a line feed is cut off.

    Raises:
        OSError: no connection, no answer in time.
        http.client.HTTPException: no HTTP, or another status than 200.
    """
    end = time.monotonic() + timeout_s
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=timeout_s)
    try:
        connection.request("GET", parts.path + (f"?{parts.query}" if parts.query else ""))
        with connection.getresponse() as answer:  # its socket outlives the connection if it is not closed
            if answer.status != http.client.OK:
                raise http.client.HTTPException(f"status {answer.status}")
            body = bytearray()
            while chunk := answer.read1(1 << 16):
                body += chunk
                if time.monotonic() > end or len(body) > MOST_BYTES:
                    raise TimeoutError(f"no end after {timeout_s:g} s and {len(body)} bytes")
            if answer.length or (lines and not body.endswith(b"\n")):
                raise http.client.IncompleteRead(bytes(body), answer.length)
            return body.decode(errors="replace")
    finally:
        connection.close()


def parse(text: str, model: str) -> dict[str, float]:
    """Values of the model's raw signals in the text of a /metrics page; a metric that is not there has none.

    Raises:
        CollectError: a line of one of the metrics is malformed, or the model has none of them.
    """
    # Only our own metrics are parsed: a page has hundreds of lines, and the parser takes its time for each.
    ours = "\n".join(line for line in text.split("\n") if line.startswith(_NAMES))
    try:
        samples = [sample for family in text_string_to_metric_families(f"{ours}\n") for sample in family.samples]
    except ValueError as error:
        raise CollectError(f"this is no metrics page of Triton: {error}") from error
    totals: dict[str, float | None] = {
        signal.field: signal.kind.total(signal.metric, model, samples) for signal in EXPOSED
    }
    values = {field: total for field, total in totals.items() if total is not None}
    if not values:
        raise CollectError(f"no counters of model {model} on the page: name the model that the load drives")
    return values
