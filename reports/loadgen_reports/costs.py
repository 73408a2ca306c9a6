"""Presents what other fleets would have cost, and what requests and tokens cost, as tables."""

from loadgen.analyze.results import Analysis, Charge, Cost, CostAlternative, UnitCost
from loadgen_reports import format as fmt
from loadgen_reports.tables import Cell, Column, Table

_FLEETS = {
    "smallest_fixed_fleet": "Smallest fixed fleet",
    "static_peak": "Static peak",
    "perfect": "Perfect autoscaler",
    "perfect_with_start_up": "Perfect autoscaler, with start-up",
}
_LIMITS = {True: "met", False: "missed", None: "not known"}
_SOURCES = {
    "workload": "as the workload requests them",
    "setting": "by the setting pricing",
    "flag": "by --gpus-per-replica",
}


def fleets(analysis: Analysis) -> Table:
    """The cost of the run and of other fleets for the same requests; empty if the replicas were not observed."""
    cost = analysis.cost
    used = cost.billed
    rows: list[tuple[Cell, ...]] = []
    if used is not None:
        rows.append((*_cells("This run", cost.mean_replicas, used, used, cost), Cell(text=""), Cell(text="")))
        rows += [_row(each, used, cost) for each in cost.alternatives]
    return Table(
        key="cost-fleets",
        title="Cost of other fleets",
        columns=(
            Column(label="Fleet"),
            Column(label="Replicas", numeric=True),
            *_charge_columns(cost),
            Column(label="Of this run", numeric=True),
            Column(label="Limits on TTFT, E2E"),
            Column(label="Conclusion"),
        ),
        rows=tuple(rows),
        notes=_notes(cost) if rows else (),
    )


def units(analysis: Analysis) -> Table:
    """What 1,000 requests that met the SLO, and 1,000,000 output tokens cost."""
    cost = analysis.cost
    named = (
        ("1,000 requests that met the SLO", cost.per_thousand_good),
        ("1,000,000 output tokens", cost.per_million_tokens),
    )
    return Table(
        key="cost-units",
        title="Cost of requests and tokens",
        columns=(
            Column(label="Unit"),
            Column(label="In this run", numeric=True),
            *_charge_columns(cost),
            Column(label="Conclusion"),
        ),
        rows=tuple(_unit_row(name, unit, cost) for name, unit in named if unit is not None),
    )


def _row(alternative: CostAlternative, used: Charge, cost: Cost) -> tuple[Cell, ...]:
    limits = _LIMITS[alternative.meets_limits]
    replicas = alternative.replicas
    name = _FLEETS[alternative.kind]
    return (
        *_cells(name, replicas, alternative.charge, used, cost, most=alternative.start_up_s is not None),
        Cell(text=limits, style="over" if alternative.meets_limits is False else ""),
        Cell(text=fmt.clean(alternative.conclusion)),
    )


def _cells(
    name: str, replicas: float | None, charge: Charge | None, used: Charge, cost: Cost, *, most: bool = False
) -> tuple[Cell, ...]:
    share = charge.replica_hours / used.replica_hours if charge is not None and used.replica_hours else None
    number = fmt.number(replicas)
    return (
        Cell(text=name),
        Cell(text=f"up to {number}" if most and fmt.known(replicas) else number),
        *_charge_cells(charge, cost),
        Cell(text=fmt.percent(share)),
    )


def _unit_row(name: str, unit: UnitCost, cost: Cost) -> tuple[Cell, ...]:
    count = Cell(text=fmt.count(unit.count))
    return (Cell(text=name), count, *_charge_cells(unit.charge, cost), Cell(text=fmt.clean(unit.conclusion)))


def _charge_columns(cost: Cost) -> tuple[Column, ...]:
    columns = [Column(label="Replica-hours", numeric=True)]
    if cost.gpus_per_replica is not None:
        columns.append(Column(label="GPU-hours", numeric=True))
        if cost.price_per_gpu_hour is not None:
            columns.append(Column(label=fmt.clean(cost.currency or ""), numeric=True))
    return tuple(columns)


def _charge_cells(charge: Charge | None, cost: Cost) -> tuple[Cell, ...]:
    values = (None, None, None) if charge is None else (charge.replica_hours, charge.gpu_hours, charge.amount)
    return tuple(Cell(text=fmt.number(value)) for value in values[: len(_charge_columns(cost))])


def _notes(cost: Cost) -> tuple[str, ...]:
    if cost.gpus_per_replica is None or cost.gpu_source is None:
        return ("GPU-hours are not known: set pricing.gpus_per_replica, or give loadgen report --gpus-per-replica.",)
    gpus = fmt.count(cost.gpus_per_replica)
    note = f"{gpus} {fmt.plural(cost.gpus_per_replica, 'GPU')} for each replica, {_SOURCES[cost.gpu_source]}"
    if cost.price_per_gpu_hour is None:
        return (f"{note}; no price is set: set pricing.per_gpu_hour, or give loadgen report --price-per-gpu-hour.",)
    return (f"{note}; {fmt.number(cost.price_per_gpu_hour)} {cost.currency} for a GPU-hour.",)
