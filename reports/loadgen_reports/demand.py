"""Presents what the load needed: the lag at each level, and capacity, causes and elasticity as one table."""

from loadgen.analyze.results import Analysis, Attribution, Demand, Elasticity, Estimate, LevelLag
from loadgen_reports import format as fmt
from loadgen_reports.finding_text import sentence
from loadgen_reports.lag_sentences import NARROW_S
from loadgen_reports.tables import Cell, Column, Table, capped

_METHOD = {"measured": "measured by the engine", "modelled": "modelled from token times"}
_SOURCE = {"plan": "the planned rate", "arrivals": "a rate estimated from the arrivals"}


def interval(estimate: Estimate) -> str:
    """The 95 % interval of a rate: `3.2 … 3.5`."""
    return f"{fmt.number(estimate.low)} … {fmt.number(estimate.high)}"


def duration(estimate: Estimate) -> str:
    """A duration: in tenths where it is that certain, otherwise in whole seconds with its interval."""
    if estimate.high - estimate.low <= NARROW_S:
        return fmt.tenths(estimate.value)
    return f"{fmt.count(estimate.value)} s ({fmt.count(estimate.low)} … {fmt.count(estimate.high)} s)"


def level_lags(analysis: Analysis) -> Table:
    """When each number of replicas was needed and when it served."""
    rows, notes = capped([_lag_row(lag) for lag in analysis.demand.lags], "needs")
    source = analysis.demand.source
    if source is not None and rows:
        notes += (f"Needed: from {_SOURCE[source]} and the rate that one replica fewer can serve.",)
    return Table(
        key="level-lags",
        title="Lag by level",
        columns=(
            Column(label="Replicas", numeric=True),
            Column(label="Needed", numeric=True),
            Column(label="Served", numeric=True),
            Column(label="Lag", numeric=True, term="lag"),
            Column(label="HPA phase in it", numeric=True),
            Column(label="Lag at mean phase", numeric=True),
        ),
        rows=rows,
        notes=notes,
    )


def _lag_row(lag: LevelLag) -> tuple[Cell, ...]:
    served = Cell(text=fmt.clock(lag.served_s)) if fmt.known(lag.served_s) else Cell(text="not served", style="over")
    if lag.already_served:
        return (
            Cell(text=fmt.count(lag.replicas)),
            Cell(text=fmt.clock(lag.needed.value)),
            Cell(text="already served"),
            *(Cell(text=fmt.MISSING, style="muted") for _ in range(3)),
        )
    return (
        Cell(text=fmt.count(lag.replicas)),
        Cell(text=fmt.clock(lag.needed.value)),
        served,
        _length(lag),
        _seconds(lag.phase_s),
        _seconds(lag.lag_at_mid_phase_s),
    )


def _length(lag: LevelLag) -> Cell:
    """The lag, or how long the replicas were needed and did not serve."""
    if lag.lag is not None:
        return Cell(text=duration(lag.lag))
    if not fmt.known(lag.lag_at_least_s):
        return Cell(text=fmt.MISSING, style="muted")
    return Cell(text=f"at least {fmt.tenths(lag.lag_at_least_s)}", style="over")


def _seconds(value: float | None) -> Cell:
    return Cell(text=fmt.tenths(value)) if fmt.known(value) else Cell(text=fmt.MISSING, style="muted")


def summary(analysis: Analysis) -> Table:
    """Capacity, rates of fleets, what the lag did, and elasticity."""
    demand = analysis.demand
    rows = [*_capacity(demand), *_chances(demand), *_causes(demand.attribution)]
    rows += _elasticity("serving", demand.elasticity_serving) + _elasticity("billed", demand.elasticity_billed)
    notes = (sentence(f"Not measured, because {demand.why_missing}"),) if demand.why_missing else ()
    return Table(
        key="demand",
        title="Demand",
        columns=(
            Column(label="Measure", term="demand"),
            Column(label="Value", numeric=True),
            Column(label="95 % interval, method"),
        ),
        rows=tuple((Cell(text=name), Cell(text=value), Cell(text=note)) for name, value, note in rows),
        notes=notes,
    )


def _capacity(demand: Demand) -> list[tuple[str, str, str]]:
    if demand.capacity is None or demand.service_method is None:
        return []
    full = "" if demand.full_batch else ", below a full batch"
    method = f"service times {_METHOD[demand.service_method]}{full}"
    rows = [
        ("Sustained throughput per replica", fmt.rate(demand.capacity.value), f"{interval(demand.capacity)}; {method}"),
        ("Requests that a replica serves at once", fmt.count(demand.slots), ""),
    ]
    for number, rate in enumerate(demand.rates[:8], start=1):
        name = f"Highest rate of {number} {fmt.plural(number, 'replica')} within the limits"
        rows.append((name, fmt.rate(rate.value), interval(rate)))
    return rows


def _chances(demand: Demand) -> list[tuple[str, str, str]]:
    """What other arrivals at the same rate give for the limited percentiles."""
    rows = []
    for each in demand.percentiles:
        name = f"{each.metric.upper()} {each.statistic} of other arrivals at the same rate"
        if each.why_missing is not None:
            rows.append((name, fmt.MISSING, f"no interval from one run, because {each.why_missing}"))
        else:
            note = "95 % interval by redrawn arrivals and services, replicas as they served"
            if each.sampled is not None:
                of = f"{fmt.count(each.sampled)} requests in {each.windows} windows"
                note += f", from a sample of {of} at random places in equal parts of the run"
            rows.append((name, f"{fmt.seconds(each.low_s)} … {fmt.seconds(each.high_s)}", note))
    return rows


def _causes(cause: Attribution | None) -> list[tuple[str, str, str]]:
    if cause is None or not cause.slow:
        return []
    verdict = "by two replays" if cause.conclusive else "not conclusive, too many are unexplained"
    return [
        ("Slow requests because of the lag", fmt.count(cause.by_lag), verdict),
        ("Slow requests also without lag", fmt.count(cause.otherwise), verdict),
        ("Slow requests that a replay does not explain", fmt.count(cause.unexplained), verdict),
    ]


def _elasticity(which: str, value: Elasticity | None) -> list[tuple[str, str, str]]:
    if value is None:
        return []
    return [
        (
            f"θ under, over ({which})",
            f"{fmt.percent(value.theta_under)}, {fmt.percent(value.theta_over)}",
            "missing and surplus replicas as a share of the needed ones",
        ),
        (
            f"τ under, over ({which})",
            f"{fmt.percent(value.tau_under)}, {fmt.percent(value.tau_over)}",
            "share of the time with too few and too many replicas",
        ),
        (
            f"υ under, over ({which})",
            f"{fmt.percent(value.upsilon_under)}, {fmt.percent(value.upsilon_over)}",
            "share of the sync periods in which need and supply moved apart",
        ),
        (
            f"Overshoot, reversals ({which})",
            f"{fmt.percent(value.overshoot_ratio)}, {fmt.count(value.reversals)}",
            "most supplied beyond most needed, changes of direction",
        ),
        (
            f"Settling, jitter ({which})",
            f"{fmt.tenths(value.settling_s)}, {fmt.number(60 * value.jitter_per_s)}/min",
            "longest time from a change of the need until the supply followed, changes beyond those of the need",
        ),
        (f"Autoscaler deviation σ ({which})", fmt.number(value.deviation), "distance from the ideal, 0"),
    ]
