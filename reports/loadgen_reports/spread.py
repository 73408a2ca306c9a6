"""Presents how requests were spread over the replicas, and TTFT by the age of the replica, as tables."""

from loadgen.analyze.results import AgeGroup, Analysis, Balance, ReplicaAge, ReplicaUse
from loadgen_reports import format as fmt
from loadgen_reports.tables import Cell, Column, Table, capped

_SOURCES = {
    "requests": "by the replicas that requests name",
    "counters": "by the counters of the replicas: requests that were answered or in the queue",
}


def replicas(analysis: Analysis) -> Table:
    """Share, latency and connections of each replica; empty if the replicas were not observed."""
    balance = analysis.balance
    rows, notes = capped([_row(use) for use in balance.replicas], "replicas") if balance else ((), ())
    return Table(
        key="balance",
        title="Balance over the replicas",
        columns=(
            Column(label="Replica"),
            Column(label="Ready", numeric=True),
            Column(label="Requests", numeric=True),
            Column(label="Share", numeric=True),
            Column(label="Of fair share", numeric=True),
            Column(label="To fair share", numeric=True),
            Column(label="TTFT p50, p95", numeric=True),
            Column(label="E2E p95", numeric=True),
            Column(label="Mean in the server", numeric=True),
            Column(label="Connections, mean and peak", numeric=True),
        ),
        rows=rows,
        notes=(*_notes(balance), *notes) if balance is not None and rows else (),
    )


def _row(use: ReplicaUse) -> tuple[Cell, ...]:
    idle = use.requests == 0 and bool(use.fair)
    ttft = [fmt.seconds(value) for value in (use.ttft_p50_s, use.ttft_p95_s)]
    connections = [fmt.number(use.connections_mean), fmt.count(use.connections_peak)]
    return (
        Cell(text=fmt.clean(use.replica), note="added" if use.added else None),
        Cell(text=fmt.rounded_duration(use.ready_s)),
        Cell(text=fmt.count(use.requests), style="over" if idle else ""),
        Cell(text=fmt.percent(use.share)),
        Cell(text=fmt.percent(use.of_fair_ratio)),
        Cell(text=_to_fair_share(use)),
        Cell(text=_pair(ttft)),
        Cell(text=fmt.seconds(use.e2e_p95_s)),
        Cell(text=fmt.seconds(use.server_mean_s)),
        Cell(text=_pair(connections)),
    )


def _to_fair_share(use: ReplicaUse) -> str:
    if not use.added or use.requests is None:
        return fmt.MISSING
    return fmt.tenths(use.to_fair_share_s) if fmt.known(use.to_fair_share_s) else "not reached"


def _pair(texts: list[str]) -> str:
    return fmt.MISSING if all(text == fmt.MISSING for text in texts) else ", ".join(texts)


def _notes(balance: Balance) -> tuple[str, ...]:
    if balance.source is None:
        return (fmt.clean(balance.reason),)
    notes = [f"{fmt.clean(balance.reason)} Measured {_SOURCES[balance.source]}."]
    if fmt.known(balance.variation):
        notes.append(
            f"Coefficient of variation of the requests for each ready replica: {fmt.number(balance.variation, 2)}; "
            f"random choice of a replica gives {fmt.number(balance.variation_by_chance, 2)}."
        )
    if all(use.connections_peak is None for use in balance.replicas):
        notes.append(
            "Connections were not observed: they are counted for replicas on this machine only; on a cluster, neither "
            "Triton nor gateways report them for each replica."
        )
    return tuple(notes)


def ages(analysis: Analysis) -> Table:
    """TTFT by the age of the replica that answered."""
    age = analysis.replica_age
    return Table(
        key="replica-age",
        title="TTFT by age of the replica",
        columns=(
            Column(label="Since its first request"),
            Column(label="Requests", numeric=True),
            *(Column(label=name, numeric=True) for name in ("p50", "p95", "p99", "max")),
        ),
        rows=tuple(_age_row(group, age) for group in age.groups) if age is not None else (),
        notes=_age_notes(age) if age is not None and age.groups else (),
    )


def _age_row(group: AgeGroup, age: ReplicaAge) -> tuple[Cell, ...]:
    to = f"{group.from_s:g} s and later" if group.to_s is None else f"{group.from_s:g} to {group.to_s:g} s"
    is_cold = age.cold_s is not None and group.from_s < age.cold_s
    values = (group.ttft_p50_s, group.ttft_p95_s, group.ttft_p99_s, group.ttft_max_s)
    return (
        Cell(text=to, note="cold" if is_cold else None),
        Cell(text=fmt.count(group.requests)),
        *(Cell(text=fmt.seconds(value)) for value in values),
    )


def _age_notes(age: ReplicaAge) -> tuple[str, ...]:
    notes = []
    if age.known < age.answered:
        notes.append(
            f"The replica is known for {fmt.count(age.known)} of {fmt.count(age.answered)} answered requests: those "
            f"that name it, and those that were sent while only one was ready."
        )
    if age.cold_s is not None:
        notes.append(
            f"Cold and warm apart: TTFT p95 was {fmt.seconds(age.cold_p95_s)} in the first {age.cold_s:g} s of a "
            f"replica, and {fmt.seconds(age.warm_p95_s)} without these {fmt.count(age.cold_requests)} requests."
        )
    return tuple(notes)
