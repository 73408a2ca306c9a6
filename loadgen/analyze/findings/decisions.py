"""Findings about the decisions of the autoscaler: unnecessary scale-ups, flapping, and changes that it did not make."""

from collections.abc import Sequence

from loadgen.analyze.findings import codes
from loadgen.analyze.findings.windows import window_of
from loadgen.analyze.observed import Observed
from loadgen.analyze.results import Demand, Finding, ScalingEvent, Window
from loadgen.base.display import clock, listed
from loadgen.dataset.names import EventKind, RescaleReason


def unnecessary_scale_ups(scaling: Sequence[ScalingEvent], demand: Demand) -> list[Finding]:
    """Scale-ups from a number of replicas that the load never outgrew until the added ones were gone."""
    unnecessary = [(number, event) for number, event in enumerate(scaling) if event.needless]
    if not unnecessary or not demand.rates:
        return []
    changes = listed(
        [
            f"{event.before} → {event.after} at {clock(event.decided_s)}, while the load did not exceed the capacity "
            f"of {_rate(demand, event.before)}"
            for _, event in unnecessary
        ]
    )
    # The ratio had crossed its target before an earlier scale-up, which this decision repeats.
    repeated = any(
        number > 0
        and scaling[number - 1].direction == "up"
        and event.over_target_s is not None
        and event.over_target_s <= scaling[number - 1].decided_s
        for number, event in unnecessary
    )
    reason = (
        "The backlog of an old replica keeps the mean over replicas high, and a longer rate window only prolongs that. "
        "Give scale-ups a stabilization window as long as a replica takes to start, or add a metric that counts "
        "requests"
        if repeated
        else "The ratio crossed its target although the replicas can serve this load: raise the target, give scale-ups "
        "a stabilization window, or add a metric that counts requests"
    )
    times = [event.decided_s for _, event in unnecessary]
    window = Window(times[0], times[-1] if len(times) > 1 else None)
    return [
        codes.SCALING_NEEDLESS.finding(
            measured=float(len(unnecessary)), limit=0.0, window=window, advice=f"{changes}. {reason}."
        )
    ]


def _rate(demand: Demand, replicas: int) -> str:
    """The rate that a number of replicas carries; known up to the most that the load needed."""
    known = min(max(replicas, 1), len(demand.rates))
    return f"{'over ' if replicas > known else ''}{demand.rates[known - 1].value:.3g}/s"


def flapping(run: Observed, scaling: Sequence[ScalingEvent]) -> list[Finding]:
    """A scale-up, a scale-down and another scale-up within two scale-down windows and two sync periods."""
    scaler = run.info.autoscaler
    if scaler is None:
        return []
    limit = 2 * (scaler.scale_down_window_s + scaler.sync_period_s)
    direction_changes = [
        event for i, event in enumerate(scaling) if i == 0 or event.direction != scaling[i - 1].direction
    ]
    flaps = [
        (first, third)
        for first, third in zip(direction_changes, direction_changes[2:], strict=False)
        if first.direction == "up" and third.decided_s - first.decided_s < limit
    ]
    if not flaps:
        return []
    first, third = min(flaps, key=lambda pair: pair[1].decided_s - pair[0].decided_s)
    advice = (
        f"The replica count went up, down and up again {len(flaps)} time{'s' if len(flaps) > 1 else ''}: lengthen the "
        f"scale-down stabilization window, or add a metric that does not fall to 0 below saturation."
    )
    window = Window(first.decided_s, third.decided_s)
    elapsed_s = third.decided_s - first.decided_s
    return [codes.SCALING_FLAPPING.finding(measured=elapsed_s, limit=limit, window=window, advice=advice)]


def rescales_by_others(run: Observed) -> list[Finding]:
    """Changes of the desired count that the autoscaler did not make."""
    events = [
        event
        for event in run.of_kind(EventKind.HPA_RESCALE)
        if event.reason == RescaleReason.NOT_BY_AUTOSCALER and 0 <= event.t_s <= run.end_s
    ]
    if not events:
        return []
    changes = listed([f"{e.data.get('before')} → {e.data.get('after')} at {clock(e.t_s)}" for e in events])
    advice = (
        f"{changes}: something other than the autoscaler changed the number of replicas, such as a user, a rollout or "
        f"another autoscaler. These changes are not judged; prevent them to judge the autoscaler."
    )
    measured = float(len(events))
    return [codes.SCALING_BY_OTHERS.finding(measured=measured, limit=0.0, window=window_of(events), advice=advice)]
