"""Reads new samples from Prometheus, by the timestamps of the samples themselves."""

from collections.abc import Collection, Sequence

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from urllib3.util.retry import Retry

from loadgen.base.clock import Clock
from loadgen.base.connection import DIRECT, Connection
from loadgen.base.errors import CollectError
from loadgen.base.urls import redacted
from loadgen.collect.bounds import bound
from loadgen.collect.connections import session_to
from loadgen.collect.rows import Sample
from loadgen.collect.signals import Queried, Reading, Signal

TIMEOUT_S = 2
MAX_CATCH_UP_S = 300.0
TOLERANCE_S = 60.0
"""How far the clock of Prometheus may be off from what was measured before the run, if it was."""
_MAX_REASON = 300
_CREDENTIALS = "behind a URL target, --header and --client-cert hold for a Prometheus on the same host only"


class PrometheusReader:
    """Queries Prometheus for the samples of each signal that are not recorded yet.

    The windows of two reads overlap, and only samples newer than the last one of their series count: samples of one
    series appear in order, so a late sample is neither lost nor recorded twice.

    Args:
        signals: The signals to query.
        clock: Time axis of the run; samples from before its anchor are skipped.
        overlap_s: How far a window reaches back before the last read; longer than a sample may be late.
        skew_s: Seconds by which the clock of Prometheus is ahead of this machine's.
        only_replicas: Whether samples of other pods are skipped: a cluster may have other servers with these metrics.
        connection: How to connect to the Prometheus of a URL target; None for the one of a stack or a cluster.
    """

    def __init__(
        self,
        signals: Sequence[Signal[Queried]],
        clock: Clock,
        overlap_s: float,
        *,
        skew_s: float = 0.0,
        only_replicas: bool = False,
        connection: Connection | None = None,
    ) -> None:
        self._signals, self._clock, self._overlap_s = signals, clock, overlap_s
        self._skew_s, self._only_replicas = skew_s, only_replicas
        self._client: PrometheusConnect | None = None
        self._connection = connection
        self._read_s = 0.0
        self._last_unix_s: dict[tuple[str, str | None], float] = {}
        self._pods: set[str | None] = set()
        self.offset_s: float | None = None
        """By how much the timestamps of the last read were off, seconds, positive ahead; None when they were right."""

    def read(self, url: str, replicas: Collection[str]) -> list[Sample]:
        """Read all new samples from the Prometheus at `url`.

        Samples whose timestamps are not of this time are skipped: the clock of Prometheus was set, see `offset_s`.
        Scrape health is recorded only for `replicas` and for pods with Triton metrics.

        Raises:
            CollectError: Prometheus did not answer every query; the next read requests the missing samples again.
        """
        if self._client is None or self._client.url != url:
            self._client = _connect(url, self._connection or DIRECT)
        client = self._client
        now_s = self._clock.now_s()
        window_s = min(now_s - self._read_s + self._overlap_s, MAX_CATCH_UP_S)
        connection = self._connection or DIRECT
        readings = [
            (signal, reading) for signal in self._signals for reading in _query(client, signal, window_s, connection)
        ]
        self._pods |= set(replicas)
        if not self._only_replicas:
            self._pods |= {reading.pod for signal, reading in readings if not signal.kind.beyond_replicas}
        latest_s = self._clock.now_s()
        self.offset_s = self._offset_s(readings, now_s - window_s, latest_s)
        is_behind = self.offset_s is not None and self.offset_s < 0
        rows = []
        for signal, reading in readings:
            series = (signal.field, reading.pod)
            t_s = self._clock.at_unix(reading.unix_s - self._skew_s)
            if is_behind or t_s > latest_s + TOLERANCE_S:
                continue
            is_new = reading.unix_s > self._last_unix_s.get(series, 0.0) and t_s >= 0
            if is_new and (reading.pod in self._pods or (reading.pod is None and not signal.kind.beyond_replicas)):
                self._last_unix_s[series] = reading.unix_s
                rows.append(Sample(t_s, signal.field, reading.pod, reading.value))
        self._read_s = now_s
        return rows

    def _offset_s(
        self, readings: Sequence[tuple[Signal[Queried], Reading]], earliest_s: float, latest_s: float
    ) -> float | None:
        """By how much the newest sample is outside the span that was asked for; None inside it and without samples."""
        if not readings:
            return None
        newest_s = self._clock.at_unix(max(reading.unix_s for _, reading in readings) - self._skew_s)
        is_right = earliest_s - TOLERANCE_S <= newest_s <= latest_s + TOLERANCE_S
        return None if is_right else newest_s - latest_s


def _connect(url: str, connection: Connection) -> PrometheusConnect:
    session = session_to(url, connection)
    client = PrometheusConnect(url=url, session=session, retry=Retry(total=0), timeout=TIMEOUT_S)
    bound(session, url, TIMEOUT_S)
    return client


def _query(
    client: PrometheusConnect, signal: Signal[Queried], window_s: float, connection: Connection
) -> list[Reading]:
    query = signal.kind.promql(signal.metric, signal.labels, window_s)
    try:
        return signal.kind.parse(client.custom_query(query))
    except requests.JSONDecodeError as error:
        raise CollectError(redacted(f"Prometheus at {client.url} did not answer {query} with JSON")) from error
    except RecursionError as error:
        raise CollectError(
            redacted(f"Prometheus at {client.url} answers {query} with JSON that is too deep")
        ) from error
    except (requests.RequestException, PrometheusApiClientException, ValueError, LookupError, TypeError) as error:
        reason = connection.redacted(_reason(error))
        raise CollectError(redacted(f"Prometheus at {client.url} did not answer {query}: {reason}")) from error


def _reason(error: Exception) -> str:
    """Return one line about a failed query; a refusal names what to change."""
    text = str(error) or type(error).__name__
    for status in (401, 403):
        if text.startswith(f"HTTP Status Code {status}"):
            return f"status {status}: {_CREDENTIALS}"
    return text[:_MAX_REASON].splitlines()[0]
