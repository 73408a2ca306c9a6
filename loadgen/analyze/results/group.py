"""Several runs of one scenario, judged together."""

from dataclasses import dataclass

from loadgen.analyze.results.analysis import Verdict
from loadgen.analyze.results.demand import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """One run of a group.

    Attributes:
        run_id: Name of its folder.
        number: Its number, from 1.
        verdict: Its own verdict.
        phase_s: Time from a sync of the autoscaler to the start of the load; None if no sync was observed.
    """

    run_id: str
    number: int
    verdict: Verdict
    phase_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedFigure:
    """One figure in every run.

    Attributes:
        title: Its name.
        unit: `s`, `ratio`, `count`, or empty for a plain number.
        values: Its value in each run, in their order; None where it is unknown, +inf for a percentile that is a value
            which never arrived.
        mean: Mean of the values with its 95 % interval by Student's t, which takes the phases as drawn at random; None
            with fewer than two values, or with one that is unknown or infinite.
    """

    title: str
    unit: str
    values: tuple[float | None, ...]
    mean: Estimate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedLimit:
    """One limit in every run.

    Attributes:
        code: Code of the finding.
        figure: The measured values.
        limit: The limit.
        met: Whether each run met it; None where its verdict is unknown, because requests were open at a stop.
        close: Whether it is too close to call: the limit is within the interval of the mean, or, without an interval,
            some runs met it and others did not.
        repeats: The number of runs at which the interval would no longer contain the limit, if their spread stays;
            None if it does not now, or the number is unknown.
    """

    code: str
    figure: RepeatedFigure
    limit: float
    met: tuple[bool | None, ...]
    close: bool
    repeats: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Runs of one scenario that differ in the phase of the autoscaler at which the load started.

    Attributes:
        group_id: Name of the group and of its folder.
        scenario: Scenario name.
        target: Target of the runs.
        emulated: One sentence about the emulated parts; None when nothing is emulated.
        planned: Number of runs that were planned.
        verdict: `pass` if every run passed; otherwise `invalid` if one is, else `fail`.
        sync_period_s: Sync period of the autoscaler; None where it is unknown.
        runs: The runs, in the order of their numbers.
        limits: The limits.
        figures: Other figures.
    """

    group_id: str
    scenario: str
    target: str
    emulated: str | None
    planned: int
    verdict: Verdict
    sync_period_s: float | None
    runs: tuple[Repeat, ...]
    limits: tuple[RepeatedLimit, ...]
    figures: tuple[RepeatedFigure, ...]
