"""Judges the ratio as a signal for scaling: trustworthy, late, blind, noisy, or not known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from loadgen.analyze.observed import Bools, Floats, Observed, Series
from loadgen.analyze.queueing import window_s
from loadgen.analyze.results import SignalCandidate, SignalTruth, SignalVerdict
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.analyze.signal.breaches import Breach, breaches
from loadgen.analyze.signal.noise import MIN_WINDOWS, Noise, noise
from loadgen.analyze.steps import Interval, runs
from loadgen.base.display import clock, tenths
from loadgen.dataset.names import SignalName

MAX_FALSE_RATIO = 0.05
MIN_CALM = 10
"""Fewer samples without a broken limit do not show what the noise is."""
NOISE_WIDTHS = 3.0
"""The ratio is above its noise this many standard deviations (of the median absolute deviation) above the median."""
_TO_DEVIATION = 1.4826
"""Standard deviation of a normal distribution / its median absolute deviation."""


@dataclass(frozen=True, slots=True)
class Response:
    """What the ratio did while a limit was broken.

    Attributes:
        breach: The span in which it was broken.
        lead_s: Time by which the ratio rose above its noise before the limit was broken, negative where after; None
            where it never did.
        highest: Highest ratio until the last of these requests ended; NaN without a sample.
    """

    breach: Breach
    lead_s: float | None
    highest: float


def responses(run: Observed, signal: Series, least: float, without_calm: float) -> tuple[tuple[Response, ...], float]:
    """How a signal responded to every breach of a limit, and the value up to which it is within its noise.

    A breach that is shorter than a sync period is over before the autoscaler can respond, so it shows nothing.

    Args:
        run: The run.
        signal: The ratio, or another series that the autoscaler could read.
        least: Rise above its median that counts as noise in any case.
        without_calm: What its noise ends at where a limit was broken almost throughout.
    """
    scaler, found = run.info.autoscaler, breaches(run)
    assert scaler is not None
    use = (signal.t_s >= 0) & (signal.t_s <= run.end_s)
    at, values = signal.t_s[use], signal.value[use]
    limit = _noise_limit(run, at, values, found, least, without_calm)
    spans = _merged(at, values > limit, scaler.scrape_interval_s)
    long = [each for each in found if each.until_s - each.broke_s > scaler.sync_period_s]
    return tuple(_response(each, at, values, spans, scaler.sync_period_s) for each in long), limit


def ratio_responses(run: Observed, ratio: Series) -> tuple[tuple[Response, ...], float]:
    """How the ratio responded; a change within the tolerance is noise, as the autoscaler itself ignores it."""
    scaler = run.info.autoscaler
    assert scaler is not None
    return responses(run, ratio, scaler.tolerance * scaler.target, (1 + scaler.tolerance) * scaler.target)


def signal_truth(
    run: Observed,
    fleet: Fleet,
    ratio: Series,
    *,
    unseen_waiting: int = 0,
    deviates: bool = False,
    clocks_differ: bool = False,
    candidates: tuple[SignalCandidate, ...] = (),
) -> SignalTruth:
    """Judge the ratio.

    Args:
        run: The run.
        fleet: Its replicas.
        ratio: The fleet's ratio as the autoscaler read it.
        unseen_waiting: Most requests that waited inside the engine while the ratio stayed below its target.
        deviates: Whether the ratio deviates from the raw counters.
        clocks_differ: Whether the clock of the samples differs from that of the requests.
        candidates: The recorded series that the autoscaler could read, the best first.
    """
    scaler = run.info.autoscaler
    if scaler is None or not run.end_s:
        return SignalTruth(verdict="not known", reason="The run has no autoscaler whose metric is known.")
    during = ratio.value[(ratio.t_s >= 0) & (ratio.t_s <= run.end_s)]
    if not np.isfinite(during).any():
        return SignalTruth(verdict="not known", reason="The ratio was not sampled during the load.")
    each, limit = ratio_responses(run, ratio)
    measured = noise(run, fleet, ratio, breaches(run))

    def truth(verdict: SignalVerdict, reason: str) -> SignalTruth:
        leads = [one.lead_s for one in each if one.lead_s is not None]
        return SignalTruth(
            verdict=verdict,
            reason=reason,
            lead_s=min(leads, default=None),
            noise_limit=limit,
            false_ratio=measured.false_ratio,
            false_low=measured.low,
            false_high=measured.high,
            constant_s=measured.constant_s,
            candidates=candidates,
        )

    noisy = f"At constant load and replicas, an evaluation is on the wrong side of the target with {_chance(measured)}."
    if unseen_waiting:
        waited = f"Up to {unseen_waiting:,} requests waited inside the engine"
        return truth("blind", f"{waited}, and the ratio stayed below its target.")
    if measured.low is not None and measured.low > MAX_FALSE_RATIO:
        return truth("noisy", noisy)
    blind = next((one for one in each if one.lead_s is None), None)
    if blind is not None:
        return truth("blind", blindness(run, blind, limit))
    if clocks_differ:
        return truth("not known", "The clocks of requests and samples differ, so it is not known which came first.")
    resolution_s = max(1.0, scaler.scrape_interval_s)
    late = min((one for one in each if one.lead_s is not None and one.lead_s < -resolution_s), key=_lead, default=None)
    if late is not None:
        return truth(
            "late",
            f"The ratio rose above its noise {tenths(-_lead(late))} after the first request exceeded its limit at "
            f"{clock(late.breach.broke_s)}.",
        )
    lead = _lead_text(min(map(_lead, each)), resolution_s) if each else ""
    if not each and during[np.isfinite(during)].max() <= scaler.target * (1 + scaler.tolerance):
        return truth("not known", "No limit on latency was broken and the ratio never exceeded its target.")
    if deviates:
        return truth("not known", "The ratio deviates from the raw counters of the replicas.")
    before = lead or "It exceeded its target, and no limit on latency was broken"
    if measured.false_ratio is None:
        return truth("not known", f"{before}; {_unknown_noise(run, measured, limit, candidates)}")
    if measured.false_ratio > MAX_FALSE_RATIO:
        return truth("noisy", noisy)
    return truth("trustworthy", f"{before}. {noisy}")


def blindness(run: Observed, response: Response, limit: float) -> str:
    """Why the ratio did not show a breach, as one sentence."""
    breach = response.breach
    highest = "was undefined" if np.isnan(response.highest) else f"stayed within its noise (at most {limit:.2g})"
    exceeded = f"From {clock(breach.broke_s)} requests exceeded their limit"
    start = f"{exceeded}, and the ratio {highest} until {clock(breach.until_s)}"
    if not _completed(run, breach):
        return f"{start}: no request completed, so the counters did not move."
    return f"{start}."


def _lead(response: Response) -> float:
    assert response.lead_s is not None
    return response.lead_s


def _lead_text(lead_s: float, resolution_s: float) -> str:
    if lead_s <= resolution_s:
        return f"It rose above its noise within {resolution_s:g} s of the time at which a limit was broken"
    return f"It rose above its noise at least {tenths(lead_s)} before a limit was broken"


def _unknown_noise(run: Observed, measured: Noise, limit: float, candidates: Sequence[SignalCandidate]) -> str:
    """What is known of the noise where the load was not constant for long enough."""
    needed_s = MIN_WINDOWS * window_s(run)
    text = (
        f"its noise is not known: there was too little constant load ({measured.constant_s:.0f} s of the "
        f"{needed_s:.0f} s that it takes)."
    )
    own = next((each for each in candidates if each.signal == SignalName.RATIO), None)
    if own is None or own.noise_ratio is None:
        return text
    share = f"{own.noise_ratio * 100:.1f} % of the time"
    return f"{text} While no limit was broken, it was above {limit:.2g}, where its noise is taken to end, for {share}."


def _chance(measured: Noise) -> str:
    if measured.false_ratio is None or measured.low is None or measured.high is None:
        return "an unknown chance"
    close = ", too close to call" if measured.low <= MAX_FALSE_RATIO <= measured.high else ""
    return (
        f"a chance of {measured.false_ratio * 100:.1f} % (95 % interval {measured.low * 100:.1f} to "
        f"{measured.high * 100:.1f} %, limit {MAX_FALSE_RATIO * 100:.0f} %{close})"
    )


def _noise_limit(
    run: Observed, at: Floats, values: Floats, found: Sequence[Breach], least: float, without_calm: float
) -> float:
    """The value up to which a signal is within its noise, from the seconds in which no limit was broken."""
    calm = np.isfinite(values)
    for breach in found:
        calm &= (at < breach.start_s) | (at > breach.until_s + window_s(run))
    if calm.sum() < MIN_CALM:
        return without_calm
    median = float(np.median(values[calm]))
    deviation = _TO_DEVIATION * float(np.median(np.abs(values[calm] - median)))
    # At low load a ratio is 0 most of the time, and yet its noise is not.
    usual = min(float(np.quantile(values[calm], 1 - MAX_FALSE_RATIO)), without_calm)
    return max(median + max(NOISE_WIDTHS * deviation, least), usual)


def _merged(at: Floats, above: Bools, scrape_s: float) -> list[Interval]:
    """Spans above the noise; a missing sample does not end one."""
    spans: list[Interval] = []
    for first, last in runs(above):
        start, end = float(at[first]), float(at[last]) + scrape_s
        if spans and start - spans[-1][1] <= scrape_s:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def _response(breach: Breach, at: Floats, values: Floats, spans: Sequence[Interval], sync_s: float) -> Response:
    """The span above the noise in which the limit was broken; else one just before, or the first one after.

    Just before is within a sync period, as the autoscaler may have missed the pause. Earlier spans are left out: at low
    load, noise can follow noise.
    """
    inside = values[(at >= breach.start_s) & (at <= breach.until_s)]
    highest = float(np.nanmax(inside)) if np.isfinite(inside).any() else float("nan")
    before = [start for start, end in spans if start <= breach.broke_s < end + sync_s]
    after = [start for start, _ in spans if breach.broke_s < start <= breach.until_s]
    start_s = before[-1] if before else after[0] if after else None
    return Response(breach, None if start_s is None else breach.broke_s - start_s, highest)


def _completed(run: Observed, breach: Breach) -> bool:
    """Whether a replica counted a success during a breach; True where its counters were not collected."""
    counters = [series for series in run.signals.get(SignalName.RAW_SUCCESS, {}).values() if len(series.t_s)]
    if not counters:
        return True
    for series in counters:
        inside = series.value[(series.t_s >= breach.start_s) & (series.t_s <= breach.until_s)]
        if len(inside) and inside.max() > inside.min():
            return True
    return False
