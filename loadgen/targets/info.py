"""Defines what `run.json` records about a target."""

from dataclasses import dataclass

from loadgen.dataset.run_info import Autoscaler, ClusterInfo, Compression

_MISSED_SCRAPES = 3
_MIN_SCRAPE_GAP_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetInfo:
    """A target: before its start as the settings describe it, after its start as it is.

    Attributes:
        emulated: Sentence that names the emulated parts; None when nothing is emulated.
        compressions: Durations that are shorter than in production.
        autoscaler: Settings of the autoscaler; None without one that a run can judge.
        cluster: Workload on a cluster; None for other targets.
    """

    emulated: str | None = None
    compressions: tuple[Compression, ...] = ()
    autoscaler: Autoscaler | None = None
    cluster: ClusterInfo | None = None

    @property
    def scrape_gap_s(self) -> float:
        """Default limit on the longest gap in the signal: three scrape intervals, and at least 5 s."""
        if self.autoscaler is None:
            return _MIN_SCRAPE_GAP_S
        return max(_MIN_SCRAPE_GAP_S, _MISSED_SCRAPES * self.autoscaler.scrape_interval_s)
