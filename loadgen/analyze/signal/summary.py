"""Judges the signal of a run: its truth, the use of the engines, and its gaps."""

from dataclasses import dataclass, replace

import numpy as np

from loadgen.analyze.findings.validity import idle_scrapes, ready_spans, sample_times
from loadgen.analyze.observed import Observed, Series
from loadgen.analyze.results import ClockOffset, EngineUse, SignalGap, SignalTruth
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.analyze.signal.candidates import candidates
from loadgen.analyze.signal.causes import causes
from loadgen.analyze.signal.deviation import TRUTH_TOLERANCE, deviation
from loadgen.analyze.signal.engine import engine_use, unseen_waiting
from loadgen.analyze.signal.gaps import signal_gaps
from loadgen.analyze.signal.offset import clock_offset
from loadgen.analyze.signal.truth import signal_truth


@dataclass(frozen=True, slots=True)
class Signal:
    """What the signal of a run shows.

    Attributes:
        truth: Whether the ratio can be trusted.
        engine: Use of the engines, of all replicas together and then of each.
        gaps: Times of the load without a value of the ratio.
        clock: Offset of the clock of samples and events.
        deviation: Deviation of the ratio from the counters, and the seconds compared; None where it is unknown.
    """

    truth: SignalTruth
    engine: tuple[EngineUse, ...]
    gaps: tuple[SignalGap, ...]
    clock: ClockOffset
    deviation: tuple[float, int] | None


def judge(run: Observed, fleet: Fleet, ratio: Series) -> Signal:
    """Judge the signal.

    Args:
        run: The run.
        fleet: Its replicas.
        ratio: The fleet's ratio as the autoscaler read it.
    """
    clock, unseen = clock_offset(run, fleet), unseen_waiting(run, ratio)
    differs = deviation(run, fleet, ratio) if run.info.autoscaler is not None and run.length_s else None
    truth = signal_truth(
        run,
        fleet,
        ratio,
        unseen_waiting=0 if unseen is None else unseen[1],
        deviates=differs is not None and differs[0] > TRUTH_TOLERANCE,
        clocks_differ=clock.is_larger_than_error,
        # Which series leads which is not known either if the clocks differ.
        candidates=() if clock.is_larger_than_error else candidates(run, fleet, ratio),
    )
    return Signal(
        truth=replace(truth, causes=causes(run, fleet)),
        engine=engine_use(run),
        gaps=signal_gaps(run, fleet, ready_spans(run, fleet), np.union1d(sample_times(run), idle_scrapes(run))),
        clock=clock,
        deviation=differs,
    )
