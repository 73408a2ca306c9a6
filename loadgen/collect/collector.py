"""Runs the loop of the collector: one pass per second on absolute deadlines, one part per table every few seconds."""

import logging
import math
import time
from concurrent.futures import Future, ThreadPoolExecutor

from loadgen.base.connection import DIRECT, Connection
from loadgen.base.errors import CollectError
from loadgen.base.stop import Stop
from loadgen.collect import custom_metrics
from loadgen.collect.gaps import Gaps, Source
from loadgen.collect.journal import Journal
from loadgen.collect.node_use import NodeUseReader
from loadgen.collect.prometheus import PrometheusReader
from loadgen.collect.raw import TIMEOUT_S, RawReader
from loadgen.collect.rows import HOST, Rows, Sample, clock_step
from loadgen.collect.scrape_targets import ScrapeTargets, StackTargets, UrlTargets
from loadgen.collect.signals import queried
from loadgen.collect.sockets import open_connections
from loadgen.dataset.events import Event
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.names import GapSource
from loadgen.dataset.run_info import RunInfo
from loadgen.dataset.tables import load_writer
from loadgen.scenario.settings import FLEETS

PERIOD_S = 1.0
PASSES_PER_PART = 3
PERIODS_PER_GAP = 3
DEFAULT_SCRAPE_INTERVAL_S = 15.0
MIN_STEP_S = 1.0
"""Smallest step of this machine's clock that is recorded."""
LAST_RESPONSE_WAIT_S = 3.0
_PROMETHEUS = Source(GapSource.PROMETHEUS)
_CUSTOM_METRICS = Source(GapSource.CUSTOM_METRICS)
_NODE_USE = Source("node use")
"""It has a new value every 15 s or more, and no sentence depends on a single one, so that gaps are not recorded."""
_log = logging.getLogger(__name__)


class Collector:
    """Reads all sources of one run until it is stopped.

    Args:
        folder: The run folder to write to.
        info: Its `run.json`.
        period_s: Time between two passes; a replica without data for three passes has a gap.
        timeout_s: Timeout of a replica's /metrics.
        connection: How to connect to the server behind a URL target.

    Raises:
        SettingsError: the environment names a proxy that cannot be used.
    """

    def __init__(
        self,
        folder: RunFolder,
        info: RunInfo,
        *,
        period_s: float = PERIOD_S,
        timeout_s: float = TIMEOUT_S,
        connection: Connection = DIRECT,
    ) -> None:
        self._period_s = period_s
        self._clock = info.clock
        self._targets = StackTargets(folder, info) if info.target in FLEETS else UrlTargets(folder, info, connection)
        self._journal = Journal(folder.path / "stack" / "journal.jsonl")
        self._rows = Rows(folder)
        self._raw = RawReader(self._clock, timeout_s, self._targets.to_metrics)
        interval_s = info.autoscaler.scrape_interval_s if info.autoscaler else DEFAULT_SCRAPE_INTERVAL_S
        self._prometheus = PrometheusReader(
            queried(info),
            self._clock,
            overlap_s=max(5.0, 2 * interval_s),
            skew_s=info.cluster.skew_s.get("prometheus", 0.0) if info.cluster else 0.0,
            only_replicas=info.cluster is not None,
            connection=self._targets.to_prometheus,
        )
        self._node_use = NodeUseReader(self._clock)
        self._executor = ThreadPoolExecutor(3, thread_name_prefix="query")
        self._pending: dict[Source, Future[list[Sample]]] = {}
        shortest_gap_s = PERIODS_PER_GAP * period_s
        queried_gap_s = PASSES_PER_PART * shortest_gap_s
        self._gaps = Gaps(
            {
                GapSource.PROMETHEUS: max(shortest_gap_s, 2.5 * interval_s),
                GapSource.METRICS: shortest_gap_s,
                GapSource.CUSTOM_METRICS: queried_gap_s,
            }
        )
        self._failing: set[Source] = set()
        self._host_offset_s = 0.0
        self._prometheus_is_off = False
        self._passes = 0

    def run(self, stop: Stop) -> bool:
        """Collect until `stop` is set; False when the last rows could not be written."""
        if isinstance(self._targets, UrlTargets) and self._targets.is_empty:
            _log.info("nothing to collect: set prometheus_url or metrics_url to collect metrics")
        load_writer()
        start_s = time.monotonic()
        reason: str | None = "an error"
        try:
            while not (reason := stop.wait(next_deadline(start_s, time.monotonic(), self._period_s))):
                self.collect()
        finally:
            _log.info("stopping: %s", reason or "an error")
            written = self.finish()
        return written

    def collect(self) -> None:
        """Run one pass: read the journal and all replicas; in every third pass query Prometheus and write the parts."""
        targets = self._targets.current()
        self._expect(targets)
        self._rows.events += self._journal.read()
        self._check_host_clock()
        self._read_raw(targets)
        self._handle_responses(wait_s=0.0)
        # Prometheus responds between two passes, so its samples are in the parts that the next pass writes.
        if self._passes % PASSES_PER_PART == PASSES_PER_PART - 1:
            self._query(targets)
        if self._passes % PASSES_PER_PART == 0:
            self._close_parts()
        self._passes += 1

    def finish(self) -> bool:
        """Read all sources a last time and write the last parts; False when they could not be written."""
        targets = self._targets.current()
        while events := self._journal.read():
            self._rows.events += events
        self._read_raw(targets)
        if self._handle_responses(wait_s=LAST_RESPONSE_WAIT_S):
            self._query(targets)
            self._handle_responses(wait_s=LAST_RESPONSE_WAIT_S)
        for source in self._gaps.watched:
            self._gaps.forget(source)
        written = self._close_parts()
        if not written:
            _log.error("%d samples and %d events are lost", len(self._rows.samples), len(self._rows.events))
        self._raw.close()
        self._executor.shutdown(wait=False, cancel_futures=True)
        return written

    def _expect(self, targets: ScrapeTargets) -> None:
        due = {
            Source(GapSource.METRICS, replica.name) for replica in targets.replicas if replica.ready and targets.model
        }
        if targets.prometheus and targets.serving:
            due.add(_PROMETHEUS)
        if targets.custom_metrics and targets.serving:
            due.add(_CUSTOM_METRICS)
        for source in self._gaps.watched - due:
            self._gaps.forget(source)
            self._failing.discard(source)
        for source in due:
            self._gaps.expect(source, self._clock.now_s())

    def _read_raw(self, targets: ScrapeTargets) -> None:
        if not targets.model:
            return
        self._rows.samples += open_connections(targets.replicas, self._clock.now_s())
        for name, response in self._raw.read(targets.replicas, targets.model).items():
            self._handle(Source(GapSource.METRICS, name), response)

    def _query(self, targets: ScrapeTargets) -> None:
        if targets.prometheus and _PROMETHEUS not in self._pending:
            self._pending[_PROMETHEUS] = self._executor.submit(self._prometheus.read, targets.prometheus, targets.names)
        if targets.custom_metrics and _CUSTOM_METRICS not in self._pending:
            self._pending[_CUSTOM_METRICS] = self._executor.submit(
                custom_metrics.read, targets.custom_metrics, self._clock
            )
        if targets.use.nodes_url and _NODE_USE not in self._pending:
            self._pending[_NODE_USE] = self._executor.submit(self._node_use.read, targets.use)

    def _handle_responses(self, wait_s: float) -> bool:
        """Handle the responses that arrived; False when Prometheus has not answered yet, or with an error."""
        complete = True
        for source, future in list(self._pending.items()):
            response: list[Sample] | CollectError
            try:
                response = future.result(wait_s)
            except TimeoutError:
                complete = complete and source != _PROMETHEUS
                continue
            except CollectError as error:
                response = error
            except Exception as error:  # a source must not end the collection of the others
                _log.exception("unexpected answer of %s", source.name)
                response = CollectError(f"{source.name} gave an unexpected answer: {error!r}"[:300])
            del self._pending[source]
            self._handle(source, response)
            complete = complete and not (source == _PROMETHEUS and isinstance(response, CollectError))
        return complete

    def _handle(self, source: Source, response: list[Sample] | CollectError) -> None:
        if isinstance(response, CollectError):
            watched = source in self._gaps.watched or source == _NODE_USE
            if watched and source not in self._failing:
                self._failing.add(source)
                _log.warning("%s", response)
        else:
            self._rows.samples += response
            if source == _PROMETHEUS:
                self._check_prometheus_clock(answered=bool(response))
            self._gaps.add_data(source, (row.t_s for row in response))
            if not response:  # Prometheus takes some seconds to discover its first replica
                self._gaps.add_empty(source, self._clock.now_s())
            if source in self._failing:
                self._failing.discard(source)
                _log.info("%s answers again", source.pod or source.name)
        self._gaps.add_attempt(source, self._clock.now_s())

    def _check_host_clock(self) -> None:
        """Record every step of this machine's clock: the time axis of the run does not follow it."""
        offset_s = time.time() - self._clock.to_unix(self._clock.now_s())
        if abs(offset_s - self._host_offset_s) > MIN_STEP_S:
            self._record_step(clock_step(HOST, self._clock.now_s(), offset_s - self._host_offset_s))
            self._host_offset_s = offset_s

    def _check_prometheus_clock(self, *, answered: bool) -> None:
        """Record once when the samples of Prometheus begin to have wrong times."""
        offset_s = self._prometheus.offset_s
        if offset_s is not None and not self._prometheus_is_off:
            self._record_step(clock_step(GapSource.PROMETHEUS, self._clock.now_s(), offset_s))
        if offset_s is not None or answered:
            self._prometheus_is_off = offset_s is not None

    def _record_step(self, event: Event) -> None:
        _log.warning("%s", event.message)
        self._rows.events.append(event)

    def _close_parts(self) -> bool:
        for event in self._gaps.take():
            _log.warning("%s", event.message)
            self._rows.events.append(event)
        return self._rows.close_parts()


def next_deadline(start_s: float, now_s: float, period_s: float) -> float:
    """The first of the times `start_s + k·period_s` after now; missed deadlines are skipped."""
    passes = math.floor((now_s - start_s) / period_s) + 1
    deadline_s = start_s + period_s * passes
    return deadline_s if deadline_s > now_s else deadline_s + period_s  # the sum may be rounded down to now_s
