"""Names the steps of the lag chain whose time is uncertain because of a gap in the samples."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from loadgen.analyze.observed import Floats, Observed, Series
from loadgen.analyze.queueing import stale_s
from loadgen.analyze.results import ClockOffset, ScalingEvent
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.base.display import clock, tenths
from loadgen.dataset.names import SignalName


def with_gaps(
    run: Observed, fleet: Fleet, ratio: Series, events: Sequence[ScalingEvent], clock: ClockOffset | None = None
) -> tuple[ScalingEvent, ...]:
    """The scaling events with the gaps that touch their steps, and with the offset of the clocks between them.

    Args:
        run: The run.
        fleet: Its replicas.
        ratio: The fleet's ratio as the autoscaler read it.
        events: The scaling events.
        clock: Offset of the clock of samples and events from that of the requests, which give the load step.
    """
    return tuple(replace(event, gaps=(*_offset(event, clock), *_gaps(run, fleet, ratio, event))) for event in events)


def _offset(event: ScalingEvent, clock: ClockOffset | None) -> tuple[str, ...]:
    if clock is None or clock.offset_s is None or not clock.is_larger_than_error or event.trigger_s is None:
        return ()
    order = "early" if clock.offset_s > 0 else "late"
    distance = f"{tenths(abs(clock.offset_s))} too {order} relative to all other steps"
    return (f"load step: the load step is {distance}, because the clocks differ",)


def _gaps(run: Observed, fleet: Fleet, ratio: Series, event: ScalingEvent) -> tuple[str, ...]:
    stale, notes = stale_s(run), []
    crossed = event.over_target_s
    if crossed is not None:
        before = _previous(ratio.t_s[np.isfinite(ratio.value)], crossed)
        if before is not None and crossed - before > stale:
            notes.append(
                f"over target: the ratio was not sampled from {clock(before)} to {clock(crossed)}, so it crossed its "
                f"target up to {tenths(crossed - before)} earlier"
            )
    counters = run.signals.get(SignalName.RAW_SUCCESS, {})
    for name in event.pods if event.direction == "up" else ():
        pod = fleet.pods.get(name)
        if pod is None or pod.answered_s is None or pod.ready_s is None or pod.answered_s != event.serving_s:
            continue
        before = _previous(counters[name].t_s, pod.answered_s)
        start = pod.ready_s if before is None else max(before, pod.ready_s)
        if pod.answered_s - start > stale:
            notes.append(
                f"serving: the counters of {name} were not read from {clock(start)} to {clock(pod.answered_s)}, so it "
                f"answered its first request up to {tenths(pod.answered_s - start)} earlier"
            )
    return tuple(notes)


def _previous(times: Floats, at_s: float) -> float | None:
    """The last sample before one at `at_s`; None without one, and where there is no sample at `at_s`."""
    index = int(np.searchsorted(times, at_s, side="left"))
    if index == 0 or index >= len(times) or times[index] != at_s:
        return None
    return float(times[index - 1])
