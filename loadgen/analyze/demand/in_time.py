"""Answers whether the fleet was in time, from the lags and from what they did to requests."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from loadgen.analyze.observed import Observed, Series
from loadgen.analyze.queueing import autoscaler_reads
from loadgen.analyze.results import (
    Attribution,
    ClockOffset,
    Demand,
    Estimate,
    InTime,
    InTimeAnswer,
    LagParts,
    ScalingEvent,
    SignalTruth,
)
from loadgen.analyze.results.demand import LevelLag, NeededSpan
from loadgen.base.display import tenths


def in_time(
    run: Observed,
    ratio: Series,
    demand: Demand,
    scaling: Sequence[ScalingEvent],
    truth: SignalTruth,
    clock: ClockOffset,
) -> InTime:
    """Whether the fleet was in time.

    Args:
        run: The run.
        ratio: The fleet's ratio as the autoscaler read it.
        demand: What the load needed, with the lags.
        scaling: The scaling events.
        truth: What the signal shows.
        clock: Offset of the clock of samples and events, by which times of the fleet are wrong.
    """
    found = _found(run, ratio, demand, scaling, truth)
    if found.lag is None or clock.offset_s is None or not clock.is_larger_than_error:
        return found
    reason = (
        f"the clocks of the requests and of the fleet differ by {tenths(abs(clock.offset_s))}, and so the lag is wrong"
    )
    return replace(found, answer="not_known", reason=reason, clocks_differ=True)


def _found(run: Observed, ratio: Series, demand: Demand, scaling: Sequence[ScalingEvent], truth: SignalTruth) -> InTime:
    if run.length_s is None:
        return InTime(answer="not_known", reason="no load started")
    if not demand.rates:
        return _without_demand(run, ratio, demand, scaling, truth)
    scaler = run.info.autoscaler
    most = scaler.max_replicas if scaler is not None else None
    had_to = [
        _Lag(lag, span, run.end_s)
        for lag, span in zip(demand.lags, demand.needed, strict=True)
        if not lag.already_served
    ]
    possible = [each for each in had_to if most is None or each.lag.replicas <= most]
    if not had_to:
        highest = max((span.replicas for span in demand.needed), default=1)
        served = "one replica" if highest == 1 else f"the {highest} replicas that served when it began to need them"
        return InTime(answer="not_tested", reason=f"the load never needed more than {served}")
    if scaler is None and not scaling:
        level = max(each.lag.replicas for each in had_to)
        reason = f"the load needed {level} replicas, and there is no autoscaler that could add them"
        return InTime(answer="not_tested", reason=reason)
    if not possible:
        reason = f"the load needed more than the maximum of {most} replicas, which served when it began to need them"
        return InTime(answer="not_tested", reason=reason)
    return _judged(run, demand.attribution, max(possible, key=lambda each: each.estimate.value), possible, scaling)


@dataclass(frozen=True, slots=True)
class _Lag:
    """A lag with the span that needed the replicas, and the end of the load."""

    lag: LevelLag
    span: NeededSpan
    end_s: float

    @property
    def estimate(self) -> Estimate:
        """The lag; of replicas that never served, how long they were needed."""
        if self.lag.lag is not None:
            return self.lag.lag
        start, end = self.span.start, self.span.end
        until = Estimate(value=self.end_s, low=self.end_s, high=self.end_s) if end is None else end
        return Estimate(
            value=until.value - start.value,
            low=max(until.low - start.high, 0.0),
            high=max(until.high - start.low, until.value - start.value),
        )


def _judged(
    run: Observed, cause: Attribution | None, worst: _Lag, lags: Sequence[_Lag], scaling: Sequence[ScalingEvent]
) -> InTime:
    lag, estimate = worst.lag, worst.estimate
    never = lag.lag is None

    def made(answer: InTimeAnswer, reason: str) -> InTime:
        return InTime(
            answer=answer,
            reason=reason,
            lag=estimate,
            at_least=never,
            until_load_end=never and worst.span.end is None,
            replicas=lag.replicas,
            needed_s=lag.needed.value,
            served_s=lag.served_s,
            parts=_parts(lag, scaling),
        )

    if all(each.lag.lag is not None and each.lag.lag.high <= 0 for each in lags):
        return made("in_time", "all replicas served before the load needed them")
    if cause is None:
        if estimate.low > 0:
            return made("late", "replicas served after the load needed them, and no limit on TTFT or E2E says how late")
        unsure = "the interval of the lag includes 0, and there is no limit on TTFT or E2E that it could break"
        return made("not_known", unsure)
    if not cause.conclusive:
        share = f"{cause.unexplained:,} of {cause.slow:,} slow requests"
        return made("not_known", f"a replay does not explain {share}, so what the lag did is unknown")
    if cause.by_lag:
        requests = f"{cause.by_lag:,} of {cause.slow:,} slow requests" if cause.slow > 1 else "the one slow request"
        return made("late", f"the lag caused {requests}")
    return made("in_time", "the lag made no request slow")


def _parts(lag: LevelLag, scaling: Sequence[ScalingEvent]) -> LagParts | None:
    """The parts of a lag, if it is that of a scale-up whose steps and phase are known."""
    if lag.lag is None or lag.phase_s is None:
        return None
    whole = lag.lag.value
    event = next((e for e in scaling if e.lag_s == whole and e.trigger_s == lag.needed.value), None)
    if event is None or event.ready_s is None or event.over_target_s is None:
        return None
    until_decided_s = event.decided_s - lag.needed.value
    start_up_s = event.ready_s - event.decided_s
    return LagParts(
        phase_s=lag.phase_s,
        settings_s=until_decided_s - lag.phase_s,
        start_up_s=start_up_s,
        traffic_s=whole - until_decided_s - start_up_s,
    )


def _without_demand(
    run: Observed, ratio: Series, demand: Demand, scaling: Sequence[ScalingEvent], truth: SignalTruth
) -> InTime:
    """The answer where the need is unknown: only that nothing asked for a scale-up can be told."""
    why, scaler = demand.why_missing or "what the load needed is unknown", run.info.autoscaler
    if scaler is None or any(event.direction == "up" for event in scaling):
        return InTime(answer="not_known", reason=why)
    known = autoscaler_reads(run)
    times, values = (known.t_s, known.value) if len(known.t_s) else (ratio.t_s, ratio.value)
    during = values[(times >= 0) & (times <= run.end_s) & (values == values)]
    if truth.verdict == "blind" or not len(during) or during.max() > scaler.target * (1 + scaler.tolerance):
        return InTime(answer="not_known", reason=why)
    return InTime(answer="not_tested", reason="the ratio never crossed its target, so nothing asked for a scale-up")
