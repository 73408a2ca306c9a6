"""Checks a simulation against its run: with the run's own settings it has to repeat the run."""

from dataclasses import dataclass

import numpy as np

from loadgen.analyze.observed import Floats, Observed
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.whatif.fit import Fit
from loadgen.whatif.outcome import first_token_s, percentile, run

REPLICAS_WITHIN = 0.10
"""Share by which the simulated replicas may differ on average, and share of the time for which they may differ."""
TTFT_WITHIN = 0.20
"""Share by which a simulated percentile of TTFT may differ."""
_NEGLIGIBLE_S = 0.05
_STEP_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A run beside the simulation of its own settings.

    Attributes:
        replicas_off_ratio: θ: mean difference of the ready replicas, over the mean of those of the run.
        time_off_ratio: τ: share of the time in which they differ by more than the HPA's phase explains.
        measured_s: TTFT p50, p95 and p99 of the run's answered requests.
        simulated_s: Those of the same requests in the simulation.
        problems: Why the simulation does not repeat the run, one sentence each; empty if it does.
    """

    replicas_off_ratio: float
    time_off_ratio: float
    measured_s: tuple[float, float, float]
    simulated_s: tuple[float, float, float]
    problems: tuple[str, ...]


def check(observed: Observed, fleet: Fleet, fitted: Fit) -> Check:
    """Simulate the run's own settings and compare.

    Args:
        observed: The run.
        fleet: Its replicas.
        fitted: The simulation.
    """
    simulated = run(fitted.load, fitted.setup, fitted.span)
    times = np.arange(0.0, observed.end_s, _STEP_S)
    real = fleet.ready.at(times)
    spans = [(each.ready_s, each.draining_s) for each in simulated.replicas]
    modelled = np.array([sum(start <= t_s < end for start, end in spans) for t_s in times.tolist()], dtype=float)
    known = np.isfinite(real)
    apart = np.abs(modelled - real)[known]
    # a difference that is shorter than a sync period is the phase of the HPA
    apart = _longer_than(apart, fitted.setup.path.sync_s / _STEP_S)
    off = float(apart.sum() / max(real[known].sum(), 1e-9)) if known.any() else 1.0
    time_off = float((apart > 0).mean()) if known.any() else 1.0
    requests = observed.requests
    due = requests.due & np.isfinite(requests.sent_s)
    order = np.argsort(requests.sent_s[due], kind="stable")
    answered = np.isfinite((requests.first_s - requests.sent_s)[due][order])
    measured = (requests.first_s - requests.sent_s)[due][order][answered]
    ttft = first_token_s(fitted.load, simulated)[answered]
    shares = (0.50, 0.95, 0.99)
    measured_s, simulated_s = ([percentile(each, share) for share in shares] for each in (measured, ttft))
    problems = []
    if off > REPLICAS_WITHIN or time_off > REPLICAS_WITHIN:
        problems.append(
            f"its replicas differ from those of the run by {off:.0%} on average, and for {time_off:.0%} of the time"
        )
    for name, is_s, was_s in zip(("p50", "p95"), simulated_s, measured_s, strict=False):
        if abs(is_s - was_s) > max(TTFT_WITHIN * was_s, _NEGLIGIBLE_S):
            problems.append(f"its TTFT {name} is {is_s:.3g} s, that of the run {was_s:.3g} s")
    return Check(
        replicas_off_ratio=off,
        time_off_ratio=time_off,
        measured_s=(measured_s[0], measured_s[1], measured_s[2]),
        simulated_s=(simulated_s[0], simulated_s[1], simulated_s[2]),
        problems=tuple(problems),
    )


def _longer_than(values: Floats, steps: float) -> Floats:
    """The values without spans of values above 0 that are not longer than a number of steps."""
    result = values.copy()
    edges = np.flatnonzero(np.diff(np.concatenate(([0.0], (values > 0).astype(float), [0.0]))))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if end - start <= steps:
            result[start:end] = 0.0
    return result
