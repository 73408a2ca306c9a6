"""Reads Triton's raw counters from the /metrics endpoint of each replica."""

import functools
import http.client
import ssl
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import NamedTuple
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample as ExposedSample

from loadgen.base.clock import Clock
from loadgen.base.connection import DIRECT, NEEDS_CREDENTIALS, REFUSES_CREDENTIALS, Connection
from loadgen.base.errors import CollectError
from loadgen.base.http_connection import HttpConnection
from loadgen.base.text import clean
from loadgen.base.urls import redacted
from loadgen.collect.bounds import abort_after
from loadgen.collect.rows import Sample
from loadgen.collect.scrape_targets import Replica
from loadgen.collect.signals import EXPOSED

TIMEOUT_S = 0.8
MAX_BYTES = 16 << 20
MAX_LINES = 10_000
MAX_CONCURRENT = 16
_ADVICE = {401: NEEDS_CREDENTIALS, 403: REFUSES_CREDENTIALS}
_NAMES = tuple({name for signal in EXPOSED for name in (signal.metric, *signal.kind.preferred[:1])})
_OF_OTHERS = {signal.field for signal in EXPOSED if signal.kind.others}


class _Page(NamedTuple):
    t_s: float
    text: str


class RawReader:
    """Reads all replicas concurrently, so a replica that hangs does not delay the others.

    Args:
        clock: Time axis of the run.
        timeout_s: Timeout of a page.
        connection: How to connect to the server behind a URL target; None for replicas, which are reached directly.
    """

    def __init__(self, clock: Clock, timeout_s: float = TIMEOUT_S, connection: Connection | None = None) -> None:
        self._clock, self._timeout_s, self._connection = clock, timeout_s, connection
        self._pool = ThreadPoolExecutor(MAX_CONCURRENT, thread_name_prefix="raw")
        self._hanging: dict[str, Future[_Page]] = {}

    def read(self, replicas: Sequence[Replica], model: str) -> dict[str, list[Sample] | CollectError]:
        """Read all replicas once.

        Returns:
            The raw signals of the model, or the error, by the name of the replica.
        """
        self._hanging = {url: page for url, page in self._hanging.items() if not page.done()}
        answers: dict[str, list[Sample] | CollectError] = {}
        requested: dict[Replica, Future[_Page]] = {}
        for replica in replicas:
            if replica.metrics in self._hanging:
                answers[replica.name] = CollectError(redacted(f"{replica.metrics} still has not answered"))
            else:
                requested[replica] = self._pool.submit(self._fetch, replica.metrics)
        wait(requested.values(), timeout=self._timeout_s)
        for replica, page in requested.items():
            if page.done():
                answers[replica.name] = _rows(replica, page, model)
            else:
                self._hanging[replica.metrics] = page
                answers[replica.name] = CollectError(
                    redacted(f"{replica.metrics} did not answer within {self._timeout_s:g} s")
                )
        return answers

    def close(self) -> None:
        """Close without waiting; requests in flight end with their timeout."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _fetch(self, url: str) -> _Page:
        started = time.monotonic()
        try:
            text = fetch(url, self._timeout_s, connection=self._connection)
        except (OSError, http.client.HTTPException) as error:
            raise CollectError(redacted(f"{url} cannot be read: {error}")) from error
        # The counters were read at some time between request and response.
        return _Page(self._clock.at_monotonic((started + time.monotonic()) / 2), text)


def _rows(replica: Replica, page: Future[_Page], model: str) -> list[Sample] | CollectError:
    try:
        t_s, text = page.result()
        return [Sample(t_s, field, replica.name, value) for field, value in parse(text, model).items()]
    except CollectError as error:
        return error
    except Exception as error:  # one page must not end the collection of the others
        return CollectError(f"{replica.metrics} cannot be read: {error!r}"[:300])


def fetch(url: str, timeout_s: float, *, lines: bool = True, connection: Connection | None = None) -> str:
    """Fetch a page within `timeout_s`, also from a server that responds slowly.

    Args:
        url: URL of the page.
        timeout_s: Timeout of the whole response.
        lines: Whether the body consists of lines, so a body without a final line feed is incomplete.
        connection: How to connect to the server behind a URL target; None for a direct and plain connection.

    Raises:
        OSError: there is no connection, or no complete response in time.
        http.client.HTTPException: the response is not HTTP, or its status is not 200.
    """
    end = time.monotonic() + timeout_s
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    how = connection or DIRECT
    opened = HttpConnection(
        parts.hostname or "",
        parts.port or (443 if tls else 80),
        timeout_s=timeout_s,
        tls=_tls_context(how) if tls else None,
        proxy=how.proxy,
    )
    try:
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        with abort_after(opened.raw, timeout_s):
            response = opened.get(path, dict(how.headers))
        with response as answer:  # otherwise its socket outlives the connection
            if answer.status != http.client.OK:
                advice = _ADVICE.get(answer.status) if connection else None
                raise http.client.HTTPException(f"status {answer.status}{f': {advice}' if advice else ''}")
            if "html" in str(answer.headers.get("Content-Type")):
                raise http.client.HTTPException("the answer is a web page, such as that of a login")
            body = bytearray()
            while chunk := answer.read1(1 << 16):
                body += chunk
                if time.monotonic() > end or len(body) > MAX_BYTES:
                    raise TimeoutError(f"the response is incomplete after {timeout_s:g} s and {len(body)} bytes")
            if answer.length or (lines and not body.endswith(b"\n")):
                raise http.client.IncompleteRead(bytes(body), answer.length)
            return body.decode(errors="replace")
    finally:
        opened.close()


@functools.cache
def _tls_context(connection: Connection) -> ssl.SSLContext:
    return connection.tls_context()


def parse(text: str, model: str) -> dict[str, float]:
    """Parse the raw signals of a model, and those of all others, from the text of a /metrics page.

    Signals without a metric are omitted, and so are those with a malformed line: their sum would be too small.

    Raises:
        CollectError: the page has too many lines, no signal can be read, or the model has none of the metrics.
    """
    # Parse only the metrics that are needed: a page has hundreds of lines, and the parser is slow.
    ours = [line for line in text.split("\n") if line.startswith(_NAMES)]
    if len(ours) > MAX_LINES:
        raise CollectError(f"the page has {len(ours)} lines of Triton's metrics, more than {MAX_LINES}")
    values: dict[str, float] = {}
    error: ValueError | None = None
    for signal in EXPOSED:
        names = (signal.metric, *signal.kind.preferred[:1])
        try:
            total = signal.kind.total(signal.metric, model, _samples(line for line in ours if line.startswith(names)))
        except ValueError as invalid:
            error = invalid
            continue
        if total is not None:
            values[signal.field] = total
    own = values.keys() - _OF_OTHERS
    if not own and error:
        raise CollectError(f"the page is not a metrics page of Triton: {clean(error)}") from error
    if not own:
        raise CollectError(f"the page has no counters of model {model}: set the model under test")
    return values


def _samples(lines: Iterable[str]) -> list[ExposedSample]:
    text = "".join(f"{line}\n" for line in lines)
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]
