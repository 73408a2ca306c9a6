"""The finding about wall clocks that were set during the run."""

import numpy as np

from loadgen.analyze.findings import codes
from loadgen.analyze.findings.validity import idle_scrapes, longest_gap, ready_spans, sample_times
from loadgen.analyze.findings.windows import window_of
from loadgen.analyze.observed import Floats, Observed
from loadgen.analyze.results import ClockOffset, Finding
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.base.display import clock, listed, tenths
from loadgen.dataset.names import EventKind, SignalName

_STAMPED = (
    SignalName.RATIO,
    SignalName.UP,
    SignalName.ENGINE_ACTIVE,
    SignalName.ENGINE_WAITING,
    SignalName.KV_USED_RATIO,
)
"""Signals with the time of Prometheus."""


def clock_steps(run: Observed, fleet: Fleet) -> list[Finding]:
    """The steps of all clocks; `invalid` if samples of Prometheus are missing for longer than the run may be blind."""
    events = run.of_kind(EventKind.CLOCK_STEP)
    outside = run.misdated_s
    if not events and not len(outside):
        return []
    steps_s = [abs(step_s) for event in events if isinstance(step_s := event.data.get("step_s"), int | float)]
    if len(outside):
        steps_s.append(float(np.max(np.where(outside < 0, -outside, outside - run.end_s))))
    texts = [f"{event.message} (at {clock(event.t_s)})" for event in events if event.message]
    if len(outside):
        texts.append(f"{len(outside):,} samples and events have times outside the run, and are left out")
    advice = f"{listed(texts)}."
    blind_s = _blind_s(run, fleet)
    limit_s = run.info.validity.scrape_gap_s
    severity = None
    if blind_s is not None and blind_s > limit_s:
        severity = codes.SCRAPE_GAP.severity
        advice += f" Prometheus has no usable samples for {tenths(blind_s)} of the load, {limit_s:g} s are allowed."
    advice += " Synchronize the clocks (NTP) and don't set them during a run, then run it again."
    return [
        codes.CLOCK_STEP.finding(
            measured=max(steps_s, default=None),
            limit=None,
            window=window_of(events) if events else None,
            advice=advice,
            severity=severity,
        )
    ]


def clock_offsets(offset: ClockOffset) -> list[Finding]:
    """An offset between the clocks of the requests and of the samples that is larger than its error."""
    if not offset.is_larger_than_error or offset.offset_s is None:
        return []
    order = "ahead of" if offset.offset_s > 0 else "behind"
    advice = (
        f"By the counters of the replicas, the clock of samples and events is {tenths(abs(offset.offset_s))} (± "
        f"{offset.error_s:.1f} s) {order} that of the requests. Times of replicas, of the ratio and of the autoscaler "
        f"are off by this amount relative to those of requests, and so are the lag and its steps; nothing was "
        f"corrected. Synchronize the clocks (NTP) of the hosts that send requests and that collect, then run it again."
    )
    return [codes.CLOCK_OFFSET.finding(measured=abs(offset.offset_s), limit=offset.error_s, advice=advice)]


def _blind_s(run: Observed, fleet: Fleet) -> float | None:
    """The longest time of the load without samples of Prometheus; None where none were expected."""
    if run.info.autoscaler is not None:
        times: Floats = np.union1d(sample_times(run), idle_scrapes(run))
    else:
        series = [series.t_s for name in _STAMPED for series in run.signals.get(name, {}).values()]
        if not series and not len(run.misdated_s):
            return None
        times = np.unique(np.concatenate([*series, np.empty(0)]))
    gap = longest_gap(times, ready_spans(run, fleet))
    return None if gap is None else gap[1] - gap[0]
