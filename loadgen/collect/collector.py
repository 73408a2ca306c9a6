"""The loop of the collector: a pass every second on absolute deadlines, parts closed every few seconds."""

import logging
import math
import time
from concurrent.futures import Future, ThreadPoolExecutor

from loadgen.base.errors import CollectError
from loadgen.base.stop import Stop
from loadgen.collect import custom_metrics
from loadgen.collect.gaps import Gaps, Source
from loadgen.collect.journal import Journal
from loadgen.collect.prometheus import PrometheusReader
from loadgen.collect.raw import TIMEOUT_S, RawReader
from loadgen.collect.rows import Rows, Sample
from loadgen.collect.signals import queried
from loadgen.collect.targets import StackTargets, Targets, UrlTargets
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.names import GapSource
from loadgen.dataset.run_info import RunInfo
from loadgen.dataset.tables import load_writer
from loadgen.scenario.settings import FLEETS

PERIOD_S = 1.0
PASSES_PER_PART = 3
PERIODS_OF_A_GAP = 3
USUAL_SCRAPE_INTERVAL_S = 15.0
LAST_ANSWER_S = 3.0
_PROMETHEUS = Source(GapSource.PROMETHEUS)
_CUSTOM_METRICS = Source(GapSource.CUSTOM_METRICS)
_log = logging.getLogger(__name__)


class Collector:
    """Reads all sources of one run; `run` ends only when it is told to.

    Args:
        folder: The run to fill.
        info: Its `run.json`.
        period_s: Time between two passes; a replica without data for three of them has a gap.
        timeout_s: Longest wait for the page of a replica.
    """

    def __init__(
        self, folder: RunFolder, info: RunInfo, *, period_s: float = PERIOD_S, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._period_s = period_s
        self._clock = info.clock
        self._targets = StackTargets(folder, info) if info.target in FLEETS else UrlTargets(folder, info)
        self._journal = Journal(folder.path / "stack" / "journal.jsonl")
        self._rows = Rows(folder)
        self._raw = RawReader(self._clock, timeout_s)
        interval_s = info.autoscaler.scrape_interval_s if info.autoscaler else USUAL_SCRAPE_INTERVAL_S
        self._prometheus = PrometheusReader(
            queried(info),
            self._clock,
            overlap_s=max(5.0, 2 * interval_s),
            skew_s=info.cluster.skew_s.get("prometheus", 0.0) if info.cluster else 0.0,
            only_replicas=info.cluster is not None,
        )
        self._asking = ThreadPoolExecutor(2, thread_name_prefix="asking")
        self._asked: dict[Source, Future[list[Sample]]] = {}
        shortest_s = PERIODS_OF_A_GAP * period_s
        asked_s = PASSES_PER_PART * shortest_s
        self._gaps = Gaps(
            {
                GapSource.PROMETHEUS: max(shortest_s, 2.5 * interval_s),
                GapSource.METRICS: shortest_s,
                GapSource.CUSTOM_METRICS: asked_s,
            }
        )
        self._troubled: set[Source] = set()
        self._passes = 0

    def run(self, stop: Stop) -> bool:
        """Collect until `stop` says why to end; False when rows could not be written to the very end."""
        if isinstance(self._targets, UrlTargets) and self._targets.nothing():
            _log.info("nothing to collect: neither prometheus_url nor metrics_url is set")
        load_writer()
        start_s = time.monotonic()
        reason: str | None = "an error"
        try:
            while not (reason := stop.wait(next_deadline(start_s, time.monotonic(), self._period_s))):
                self.collect()
        finally:
            _log.info("ending: %s", reason or "an error")
            written = self.finish()
        return written

    def collect(self) -> None:
        """One pass: what has changed, the journal, all replicas; Prometheus, its like and the parts at every third."""
        targets = self._targets.current()
        self._expect(targets)
        self._rows.events += self._journal.read()
        self._read_raw(targets)
        self._take_answers(wait_s=0.0)
        # Prometheus answers beside the pass, and what it said is there when the next pass closes the parts.
        if self._passes % PASSES_PER_PART == PASSES_PER_PART - 1:
            self._ask(targets)
        if self._passes % PASSES_PER_PART == 0:
            self._close_parts()
        self._passes += 1

    def finish(self) -> bool:
        """Read everything a last time and close the last parts; False when they could not be written."""
        targets = self._targets.current()
        while events := self._journal.read():
            self._rows.events += events
        self._read_raw(targets)
        if self._take_answers(wait_s=LAST_ANSWER_S):
            self._ask(targets)
            self._take_answers(wait_s=LAST_ANSWER_S)
        for source in self._gaps.watched:
            self._gaps.release(source)
        written = self._close_parts()
        if not written:
            _log.error("%d samples and %d events are lost", len(self._rows.samples), len(self._rows.events))
        self._raw.close()
        self._asking.shutdown(wait=False, cancel_futures=True)
        return written

    def _expect(self, targets: Targets) -> None:
        due = {
            Source(GapSource.METRICS, replica.name) for replica in targets.replicas if replica.ready and targets.model
        }
        if targets.prometheus and targets.serving:
            due.add(_PROMETHEUS)
        if targets.custom_metrics and targets.serving:
            due.add(_CUSTOM_METRICS)
        for source in self._gaps.watched - due:
            self._gaps.release(source)
            self._troubled.discard(source)
        for source in due:
            self._gaps.expect(source, self._clock.now_s())

    def _read_raw(self, targets: Targets) -> None:
        if not targets.model:
            return
        for name, answer in self._raw.read(targets.replicas, targets.model).items():
            self._take(Source(GapSource.METRICS, name), answer)

    def _ask(self, targets: Targets) -> None:
        if targets.prometheus and _PROMETHEUS not in self._asked:
            self._asked[_PROMETHEUS] = self._asking.submit(self._prometheus.read, targets.prometheus, targets.names)
        if targets.custom_metrics and _CUSTOM_METRICS not in self._asked:
            self._asked[_CUSTOM_METRICS] = self._asking.submit(custom_metrics.read, targets.custom_metrics, self._clock)

    def _take_answers(self, wait_s: float) -> bool:
        """Take what was answered; False when Prometheus has not answered yet, or not well."""
        well = True
        for source, asked in list(self._asked.items()):
            answer: list[Sample] | CollectError
            try:
                answer = asked.result(wait_s)
            except TimeoutError:
                well = well and source != _PROMETHEUS
                continue
            except CollectError as error:
                answer = error
            del self._asked[source]
            self._take(source, answer)
            well = well and not (source == _PROMETHEUS and isinstance(answer, CollectError))
        return well

    def _take(self, source: Source, answer: list[Sample] | CollectError) -> None:
        if isinstance(answer, CollectError):
            if source in self._gaps.watched and source not in self._troubled:
                self._troubled.add(source)
                _log.warning("%s", answer)
        else:
            self._rows.samples += answer
            self._gaps.got(source, (row.t_s for row in answer))
            if not answer:  # Prometheus takes some seconds to find its first replica
                self._gaps.quiet(source, self._clock.now_s())
            if source in self._troubled:
                self._troubled.discard(source)
                _log.info("%s answers again", source.pod or source.name)
        self._gaps.tried(source, self._clock.now_s())

    def _close_parts(self) -> bool:
        for event in self._gaps.take():
            _log.warning("%s", event.message)
            self._rows.events.append(event)
        return self._rows.close_parts()


def next_deadline(start_s: float, now_s: float, period_s: float) -> float:
    """The first of the moments `start_s + k·period_s` after now; those that were missed are left out."""
    passes = math.floor((now_s - start_s) / period_s) + 1
    deadline_s = start_s + period_s * passes
    return deadline_s if deadline_s > now_s else deadline_s + period_s  # the sum may be rounded down to now
