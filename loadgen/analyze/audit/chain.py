"""Splits the time from the signal over its target to the decision: scrape, rule, adapter, wait for the sync, held.

true signal ─▶ visible in Prometheus ─▶ rule ─▶ adapter ─▶ first sync ─▶ decided
(counters)         (scrapes)        (samples)  (polled)        └─ held ─┘
"""

from collections.abc import Mapping, Sequence

import numpy as np

from loadgen.analyze.audit.inputs import STATUS_SLACK_S
from loadgen.analyze.observed import Floats, Observed, Series
from loadgen.analyze.queueing import mean_over_pods, mean_true_ratio, stale_s
from loadgen.analyze.results import AuditLink, ScalingEvent
from loadgen.analyze.scaling.beyond import Beyond
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.dataset.names import SignalName
from loadgen.dataset.run_info import Autoscaler

_STEP_S = 1.0
_TRUE_S = 2.0
"""Resolution of the true signal: counters that are read every second, at the times of a grid of 1 s."""
_MAX_GRID = 200_000.0
"""Seconds of the grid: more than two days."""


class DecisionChain:
    """The links before the decisions of one run.

    Args:
        run: The run.
        fleet: Its replicas.
        scaler: Its autoscaler.
        ratio: The fleet's ratio as the autoscaler read it.
        syncs_s: Times of all syncs, in order.
    """

    def __init__(
        self, run: Observed, fleet: Fleet, scaler: Autoscaler, ratio: Series, syncs_s: Sequence[float]
    ) -> None:
        self._run, self._scaler, self._ratio = run, scaler, ratio
        self._syncs_s = np.asarray(syncs_s, dtype=np.float64)
        self._polled = run.signals.get(SignalName.AUTOSCALER_RATIO, {})
        self._stamp_s = 0.0 if run.info.cluster is None else STATUS_SLACK_S
        start_s = max(run.first_s, -_MAX_GRID)
        at = start_s + _STEP_S * np.arange(min(max(run.last_s - start_s, 0.0), _MAX_GRID))
        self._true = Series(at, mean_true_ratio(run, fleet, at))
        self._read = mean_over_pods(self._polled, stale_s(run))
        self._rule_interval_s = _interval_s(run.signals.get(SignalName.RATIO, {}))
        self._polled_interval_s = _interval_s(self._polled)
        scrapes = [series.t_s[series.value > 0] for series in run.signals.get(SignalName.UP, {}).values()]
        self._scrapes_s = [times for times in scrapes if len(times)]
        self._beyond: dict[tuple[int, bool], Beyond] = {}

    def links(self, event: ScalingEvent) -> tuple[AuditLink, ...]:
        """The links of one decision, in order; one that was not observed has the reason."""
        scaler, up = self._scaler, event.direction == "up"
        threshold = scaler.target * (1 + scaler.tolerance if up else 1 - scaler.tolerance)
        links = _Links()
        rule_s = self._crossed(self._ratio, threshold, event.decided_s, scaler.sync_period_s, up=up)
        since_s = event.over_target_s
        if rule_s is None:
            links.skip((*_BEFORE_SYNC, "sync"), "the sampled ratio was not beyond its target at the decision")
        elif since_s is not None and since_s > rule_s:
            links.skip(_BEFORE_SYNC, "the signal was already beyond its target before the last decision or load step")
            links.continue_from(since_s)
            after_s = float(np.nextafter(since_s + self._stamp_s, np.inf))  # not the sync of the last decision
            sync_s = self._first_sync_s(after_s, event.decided_s)
            links.add("sync", sync_s, self._stamp_s, "no sync was recorded")
        else:
            self._add_signal(links, threshold, rule_s, up=up)
            adapter_s = self._adapted_s(threshold, event.decided_s, rule_s, up=up)
            links.add("adapter", adapter_s, self._polled_interval_s, self._no_adapter())
            sync_s = self._first_sync_s(rule_s if adapter_s is None else adapter_s, event.decided_s)
            links.add("sync", sync_s, self._stamp_s, "no sync was recorded")
        links.add("decided", event.decided_s, self._stamp_s, "")
        return tuple(links.made)

    def _add_signal(self, links: "_Links", threshold: float, rule_s: float, *, up: bool) -> None:
        """Add the links up to the rule, which is known."""
        scrape_interval_s = self._scaler.scrape_interval_s
        until_s = rule_s + _TRUE_S
        within_s = scrape_interval_s + (self._rule_interval_s or 0.0) + 2 * _TRUE_S
        signal_s = self._crossed(self._true, threshold, until_s, within_s, up=up)
        signal_s = None if signal_s is None else min(signal_s, rule_s)
        links.add("signal", signal_s, _TRUE_S, "the counters were not beyond the target before the rule")
        scrape_s = None if signal_s is None else self._scraped_s(signal_s, rule_s)
        why = "the link before it was not observed" if signal_s is None else "no scrape in between was recorded"
        links.add("scrape", scrape_s, scrape_interval_s, why)
        links.add("rule", rule_s, self._rule_interval_s, "")

    def _scraped_s(self, signal_s: float, rule_s: float) -> float | None:
        """When every replica that was scraped in between had been scraped."""
        at = ((times, int(np.searchsorted(times, signal_s))) for times in self._scrapes_s)
        first = [float(times[index]) for times, index in at if index < len(times) and times[index] <= rule_s]
        return max(first, default=None)

    def _adapted_s(self, threshold: float, decided_s: float, rule_s: float, *, up: bool) -> float | None:
        if not self._polled:
            return None
        at_s = self._crossed(self._read, threshold, decided_s, self._scaler.sync_period_s, up=up)
        return None if at_s is None else max(at_s, rule_s)

    def _no_adapter(self) -> str:
        if self._run.info.cluster is None:
            return "the metrics API queries Prometheus in each sync, so it has no time of its own"
        if not self._polled:
            return "the metrics API was not polled"
        return "the polled value was not beyond its target at the decision"

    def _crossed(self, series: Series, threshold: float, until_s: float, within_s: float, *, up: bool) -> float | None:
        """Start of the last span beyond the threshold that contains `until_s`, or ends at most `within_s` before it."""
        key = id(series), up  # the threshold depends on the direction alone
        if key not in self._beyond:
            self._beyond[key] = Beyond(series, threshold, up=up)
        return self._beyond[key].since_s(until_s, within_s)

    def _first_sync_s(self, visible_s: float, decided_s: float) -> float | None:
        """The first sync that could read the value; the decision itself if none before it could."""
        after = self._syncs_s[(self._syncs_s >= visible_s) & (self._syncs_s < decided_s - self._stamp_s)]
        if len(after):
            return float(after[0])
        return decided_s if len(self._syncs_s) else None


_SOURCES = {
    "signal": "raw counters",
    "scrape": "samples up",
    "rule": "samples ratio",
    "adapter": "samples autoscaler_ratio",
    "sync": "hpa_sync",
    "decided": "hpa_rescale",
}
_BEFORE_SYNC = ("signal", "scrape", "rule", "adapter")


class _Links:
    """Collects links; each takes the time since the last one that was observed."""

    def __init__(self) -> None:
        self.made: list[AuditLink] = []
        self._previous_s: float | None = None

    def skip(self, names: Sequence[str], why: str) -> None:
        """Add links that were not observed."""
        for name in names:
            self.add(name, None, None, why)

    def continue_from(self, at_s: float) -> None:
        """Count the next link from this time on."""
        self._previous_s = at_s

    def add(self, name: str, at_s: float | None, resolution_s: float | None, why: str) -> None:
        """Add a link that ended at `at_s`; `why` says why that is unknown."""
        took_s = None if at_s is None or self._previous_s is None else at_s - self._previous_s
        self.made.append(
            AuditLink(
                name=name,
                at_s=at_s,
                took_s=took_s,
                resolution_s=None if at_s is None else resolution_s,
                source=_SOURCES[name],
                why_missing=why if at_s is None else None,
            )
        )
        self._previous_s = self._previous_s if at_s is None else at_s


def _interval_s(pods: Mapping[str, Series]) -> float | None:
    """Median time between two samples of a replica; None without two samples."""
    steps: list[Floats] = [np.diff(series.t_s) for series in pods.values() if len(series.t_s) > 1]
    return float(np.median(np.concatenate(steps))) if steps else None
