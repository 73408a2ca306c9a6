"""Checks a simulation against its run: with the run's own settings it has to repeat the run."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from loadgen.analyze.observed import Floats, Observed
from loadgen.analyze.queueing import autoscaler_reads
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.base.display import clock, number, seconds
from loadgen.dataset.names import Outcome
from loadgen.whatif.evidence import contradictions
from loadgen.whatif.fit import Fit, metric_of
from loadgen.whatif.model import Load
from loadgen.whatif.settings import Setup
from loadgen.whatif.simulation import Simulated
from loadgen.whatif.sweep import first_token_s, percentile, run

REPLICAS_WITHIN = 0.10
"""Share by which the simulated replicas may differ on average, and share of the time for which they may differ."""
TTFT_WITHIN = 0.20
"""Share by which a simulated percentile of TTFT may differ."""
_NEGLIGIBLE_S = 0.05
_FEWEST_FOR_P99 = 100
"""Of fewer requests p99 is the slowest, and a matter of chance."""
_STEP_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A run beside a simulation of the same load.

    Attributes:
        replicas_off_ratio: θ: mean difference of the ready replicas, over the mean of those of the run.
        time_off_ratio: τ: share of the time in which they differ by more than the HPA's phase explains.
        measured_s: p50, p95 and p99 of the TTFT of the run, or of its E2E if no first token was recorded. Requests
            that timed out are infinitely slow. Those that failed in another way, which no simulation knows, are left
            out.
        simulated_s: Those of the simulation.
        measured_replica_s: Replica-seconds of the run during the load, from created to gone.
        simulated_replica_s: Those of the simulation.
    """

    replicas_off_ratio: float
    time_off_ratio: float
    measured_s: tuple[float, float, float]
    simulated_s: tuple[float, float, float]
    measured_replica_s: float
    simulated_replica_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(Comparison):
    """A run beside the simulation of its own settings.

    Attributes:
        problems: Why the simulation does not repeat the run, one sentence each; empty if it does.
    """

    problems: tuple[str, ...]


def check(observed: Observed, fleet: Fleet, fitted: Fit) -> Check:
    """Simulate the run's own settings and compare.

    Args:
        observed: The run.
        fleet: Its replicas.
        fitted: The simulation.
    """
    simulated = run(fitted.load, fitted.setup, fitted.span)
    found = compare(observed, fleet, fitted.load, simulated, fitted.setup)
    off, time_off = found.replicas_off_ratio, found.time_off_ratio
    problems = list(contradictions(observed, fleet))
    if off > REPLICAS_WITHIN or time_off > REPLICAS_WITHIN:
        problems.append(
            f"its replicas differ from those of the run by {off:.0%} on average, and for {time_off:.0%} of the time"
        )
        problems += _first_other_decision(observed, fleet, simulated, fitted.setup.path.sync_s)
    metric = fitted.metric.upper()
    names = ("p50", "p95", "p99") if len(observed.requests) >= _FEWEST_FOR_P99 else ("p50", "p95")
    for name, is_s, was_s in zip(names, found.simulated_s, found.measured_s, strict=False):
        if not abs(is_s - was_s) <= max(TTFT_WITHIN * was_s, _NEGLIGIBLE_S) and is_s != was_s:
            problems.append(f"its {metric} {name} is {_seconds(is_s)}, that of the run {_seconds(was_s)}")
    return Check(**asdict(found), problems=tuple(problems))


def compare(observed: Observed, fleet: Fleet, load: Load, simulated: Simulated, setup: Setup) -> Comparison:
    """Compare a run with a simulation.

    Args:
        observed: The run.
        fleet: Its replicas.
        load: The simulated requests.
        simulated: What happened to them.
        setup: The simulated setup.
    """
    times = np.arange(0.0, observed.end_s, _STEP_S)
    real = fleet.ready.at(times)
    spans = [(each.ready_s, each.draining_s) for each in simulated.replicas]
    modelled = np.array([sum(start <= t_s < end for start, end in spans) for t_s in times.tolist()], dtype=float)
    known = np.isfinite(real)
    # a difference that is shorter than a sync period is the phase of the HPA
    apart = _longer_than(np.abs(modelled - real)[known], setup.path.sync_s / _STEP_S)
    requests = observed.requests
    answered_s = requests.first_s if metric_of(observed) == "ttft" else np.where(requests.ok, requests.last_s, np.nan)
    latency_s = answered_s - requests.sent_s
    timed_out = np.isnan(latency_s) & np.isfinite(requests.sent_s) & (requests.outcome == Outcome.TIMEOUT)
    measured = np.concatenate((latency_s[np.isfinite(latency_s)], np.full(int(timed_out.sum()), np.inf)))
    measured_s, simulated_s = (
        [percentile(each, share) for share in (0.50, 0.95, 0.99)] for each in (measured, first_token_s(load, simulated))
    )
    replicas, seconds = fleet.billed.within(0.0, observed.end_s)
    return Comparison(
        replicas_off_ratio=float(apart.sum() / max(real[known].sum(), 1e-9)) if known.any() else 1.0,
        time_off_ratio=float((apart > 0).mean()) if known.any() else 1.0,
        measured_s=(measured_s[0], measured_s[1], measured_s[2]),
        simulated_s=(simulated_s[0], simulated_s[1], simulated_s[2]),
        measured_replica_s=float(np.nansum(replicas * seconds)),
        simulated_replica_s=simulated.replica_seconds(0.0, observed.end_s),
    )


def _first_other_decision(observed: Observed, fleet: Fleet, simulated: Simulated, sync_s: float) -> Iterator[str]:
    """The first sync after which the HPA wants other replicas than that of the run, and what both of them read."""
    reads = autoscaler_reads(observed)
    for sync in simulated.syncs:
        wanted = float(fleet.desired.at(np.array([sync.t_s + sync_s / 2]))[0])
        if not 0 <= sync.t_s <= observed.end_s or math.isnan(wanted) or wanted == sync.after:
            continue
        its, that = f"wants {sync.after}", f"wanted {wanted:.0f}"
        near = np.flatnonzero(np.abs(reads.t_s - sync.t_s) <= sync_s / 2)
        if len(near) and sync.metric_milli is not None:
            nearest = near[np.abs(reads.t_s[near] - sync.t_s).argmin()]
            its = f"reads {number(sync.metric_milli / 1000)} and {its}"
            that = f"read {number(float(reads.value[nearest]))} and {that}"
        yield f"its HPA first decides otherwise at {clock(sync.t_s)}, where it {its}, and that of the run {that}"
        return


def _seconds(value: float) -> str:
    return seconds(value) if math.isfinite(value) else "that of requests without an answer"


def _longer_than(values: Floats, steps: float) -> Floats:
    """The values without spans of values above 0 that are not longer than a number of steps."""
    result = values.copy()
    edges = np.flatnonzero(np.diff(np.concatenate(([0.0], (values > 0).astype(float), [0.0]))))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if end - start <= steps:
            result[start:end] = 0.0
    return result
