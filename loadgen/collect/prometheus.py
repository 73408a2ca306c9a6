"""Reads from Prometheus what is new since the last time, by the time stamps of the samples themselves."""

import ipaddress
from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from urllib3.util.retry import Retry

from loadgen.base.clock import Clock
from loadgen.base.errors import CollectError
from loadgen.base.urls import redacted
from loadgen.collect.rows import Sample
from loadgen.collect.signals import Queried, Reading, Signal

TIMEOUT_S = 2
MOST_CATCH_UP_S = 300.0


class PrometheusReader:
    """Asks Prometheus, signal by signal, for the samples that are not recorded yet.

    The windows of two reads overlap, and of every series only what is newer than its last sample counts: samples of
    one series appear in order, so a late one is neither lost nor recorded twice.

    Args:
        signals: What to ask for.
        clock: Time axis of the run; samples from before its anchor are left out.
        overlap_s: By how much a window reaches back behind the last read; longer than a sample may be late.
        skew_s: By how much the clock of Prometheus is ahead of ours.
        only_replicas: Whether samples of other pods are left out: a cluster may have other servers with these metrics.
    """

    def __init__(
        self,
        signals: Sequence[Signal[Queried]],
        clock: Clock,
        overlap_s: float,
        *,
        skew_s: float = 0.0,
        only_replicas: bool = False,
    ) -> None:
        self._signals, self._clock, self._overlap_s = signals, clock, overlap_s
        self._skew_s, self._only_replicas = skew_s, only_replicas
        self._client: PrometheusConnect | None = None
        self._read_s = 0.0
        self._last_unix_s: dict[tuple[str, str | None], float] = {}
        self._pods: set[str | None] = set()

    def read(self, url: str, replicas: Collection[str]) -> list[Sample]:
        """All new samples of the Prometheus at `url`.

        Of the health of scrapes only that of `replicas` and of pods with a metric of Triton is recorded.

        Raises:
            CollectError: Prometheus did not answer each query; what was not returned is asked for again next time.
        """
        if self._client is None or self._client.url != url:
            self._client = _connect(url)
        client = self._client
        now_s = self._clock.now_s()
        window_s = min(now_s - self._read_s + self._overlap_s, MOST_CATCH_UP_S)
        readings = [(signal, reading) for signal in self._signals for reading in _ask(client, signal, window_s)]
        self._pods |= set(replicas)
        if not self._only_replicas:
            self._pods |= {reading.pod for signal, reading in readings if not signal.kind.stray}
        rows = []
        for signal, reading in readings:
            series = (signal.field, reading.pod)
            t_s = self._clock.at_unix(reading.unix_s - self._skew_s)
            is_new = reading.unix_s > self._last_unix_s.get(series, 0.0) and t_s >= 0
            if is_new and (reading.pod in self._pods or (reading.pod is None and not signal.kind.stray)):
                self._last_unix_s[series] = reading.unix_s
                rows.append(Sample(t_s, signal.field, reading.pod, reading.value))
        self._read_s = now_s
        return rows


def _connect(url: str) -> PrometheusConnect:
    session = requests.Session()
    session.trust_env = not _is_loopback(url)  # a proxy of the environment does not know our loopback
    return PrometheusConnect(url=url, session=session, retry=Retry(total=0), timeout=TIMEOUT_S)


def _ask(client: PrometheusConnect, signal: Signal[Queried], window_s: float) -> list[Reading]:
    query = signal.kind.promql(signal.metric, signal.labels, window_s)
    try:
        return signal.kind.parse(client.custom_query(query))
    except requests.JSONDecodeError as error:
        raise CollectError(redacted(f"Prometheus at {client.url} answered {query} with no JSON")) from error
    except (requests.RequestException, PrometheusApiClientException, ValueError, LookupError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise CollectError(redacted(f"Prometheus at {client.url} did not answer {query}: {reason}")) from error


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
