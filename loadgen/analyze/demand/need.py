"""Determines the replicas that a run needed over time, from its plan or from its arrivals."""

import math
from dataclasses import dataclass

import numpy as np
from pydantic import TypeAdapter, ValidationError

from loadgen.analyze.demand.capacity import Rates
from loadgen.analyze.demand.demand import Planned, needed_of_arrivals, needed_of_plan, needed_replicas
from loadgen.analyze.demand.intensity import Intensity, intensity
from loadgen.analyze.observed import Observed
from loadgen.analyze.results.demand import Estimate, NeededSpan, RateSource
from loadgen.analyze.steps import Step
from loadgen.base.errors import SettingsError
from loadgen.scenario.rates import Rate

_RATE: TypeAdapter[Rate] = TypeAdapter(Rate)
_MOST_CYCLES = 100_000
"""A plan of more waves is damaged, and its spans would fill the memory."""
_OFF = 5.0
"""Standard deviations by which the number of arrivals may differ from that of the plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a run needed.

    Attributes:
        rates: Rates of 1, 2, … replicas, up to the number that carries the highest load.
        source: Where the offered rate comes from.
        spans: Spans that needed 2 replicas or more.
        curve: Needed replicas over time.
        highest_per_s: Highest offered rate.
        rate: The offered rate.
    """

    rates: tuple[Estimate, ...]
    source: RateSource
    spans: tuple[NeededSpan, ...]
    curve: Step
    highest_per_s: float
    rate: Planned | Intensity


def need(run: Observed, rates: Rates, bound: str | None = None) -> Need | str:
    """Determine the need; a text says why it is not possible, as the end of a sentence after "because".

    Args:
        run: The run.
        rates: The rates that fleets carry.
        bound: Why the rates are lower bounds, if they are: then it is only known that one replica is enough.
    """
    due = run.requests.scheduled_s[run.requests.due]
    if run.end_s <= 0 or not len(due):
        return "no request was due"
    plan = planned(run)
    rate = plan or intensity(due, run.end_s)
    highest = rate.highest()
    most = rates.needed(highest)
    if bound is not None and most != 1:
        return bound
    if most is None:
        return "no number of replicas carries this load"
    levels = [rates.of(replicas) for replicas in range(1, most + 1)]
    spans = needed_of_plan(rate, levels) if isinstance(rate, Planned) else needed_of_arrivals(rate, levels)
    return Need(
        rates=tuple(levels),
        source="plan" if plan else "arrivals",
        spans=spans,
        curve=needed_replicas(spans, run.end_s),
        highest_per_s=highest,
        rate=rate,
    )


def planned(run: Observed) -> Planned | None:
    """The planned rate until the end of the load; None if the run has no plan, or did not follow it."""
    load = run.info.settings.get("load")
    if _cycles(load) > _MOST_CYCLES:
        return None
    try:
        rate = _RATE.validate_python(load)
    except (ValidationError, SettingsError):
        return None
    end_s = min(rate.length_s, run.end_s)
    expected = rate.expected(end_s)
    arrived = int((run.requests.scheduled_s[run.requests.due] <= end_s).sum())
    if not abs(arrived - expected) <= _OFF * math.sqrt(expected + 1):
        return None
    edges = {0.0, end_s, *(edge for span in rate.spans() for edge in (span.start_s, span.end_s) if edge < end_s)}
    return Planned(at=rate.at, edges_s=np.array(sorted(edges)))


def _cycles(load: object) -> int:
    """The most cycles of any wave in a load as it is recorded."""
    if isinstance(load, dict):
        own = load.get("cycles")
        return max([own if isinstance(own, int) else 0, *(_cycles(part) for part in load.values())])
    return max(map(_cycles, load), default=0) if isinstance(load, list) else 0
