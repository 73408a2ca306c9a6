"""Presents what limited a run beside the fleet: the load generator, the nodes, and the slowest requests."""

from loadgen.analyze.results import Analysis, NodeUnderLoad, SlowRequest
from loadgen_reports import format as fmt
from loadgen_reports.tables import Cell, Column, Table

MOST_NODES = 50
"""Nodes that are listed."""


def generator(analysis: Analysis) -> Table:
    """What the load generator and its machine did; the verdict is a note. What was not recorded is left out."""
    found = analysis.generator
    rows = (
        ()
        if found is None
        else (
            ("Send lag p99", fmt.seconds(found.send_lag_p99_s)),
            ("From sending to the wire, p99", fmt.seconds(found.wire_wait_p99_s)),
            ("From sending to the wire, longest", fmt.seconds(found.wire_wait_max_s)),
            ("Requests sent again", fmt.count(found.resent) if found.resent is not None else fmt.MISSING),
            ("Event loop lag, p99", fmt.seconds(found.loop_lag_p99_s)),
            ("Event loop lag, longest", fmt.seconds(found.loop_lag_max_s)),
            ("Processes", fmt.count(found.processes) if found.processes else fmt.MISSING),
            ("CPU of the busiest process, mean", fmt.percent(found.cpu_mean_ratio)),
            ("CPU of the busiest process, most in 5 s", fmt.percent(found.cpu_peak_ratio)),
            ("All CPUs of its machine, most in 5 s", fmt.percent(found.host_cpu_peak_ratio)),
            ("Time of processes that waited for a CPU, most in 5 s", fmt.percent(found.host_cpu_pressure_peak_ratio)),
            ("CPU taken by other virtual machines, most in 5 s", fmt.percent(found.host_steal_peak_ratio)),
        )
    )
    return Table(
        key="generator",
        title="Load generator",
        columns=(Column(label="Measure", term="send-lag"), Column(label="Value", numeric=True)),
        rows=tuple((Cell(text=name), Cell(text=text)) for name, text in rows if text != fmt.MISSING),
        notes=() if found is None else (fmt.clean(found.reason),),
    )


def slowest(analysis: Analysis) -> Table:
    """The slowest requests, with their numbers in the table of requests."""
    found = analysis.generator
    return Table(
        key="slowest",
        title="Slowest requests",
        columns=(
            Column(label="Request", numeric=True),
            Column(label="Due", numeric=True),
            Column(label="TTFT", numeric=True, term="ttft"),
            Column(label="E2E", numeric=True, term="e2e"),
            Column(label="Send lag", numeric=True, term="send-lag"),
            Column(label="Replica"),
            Column(label="Outcome"),
        ),
        rows=() if found is None else tuple(_row(each) for each in found.slowest),
    )


def _row(each: SlowRequest) -> tuple[Cell, ...]:
    return (
        Cell(text=str(each.request_id)),
        Cell(text=fmt.clock(each.due_s)),
        Cell(text=fmt.seconds(each.ttft_s)),
        Cell(text=fmt.seconds(each.e2e_s)),
        Cell(text=fmt.seconds(each.send_lag_s)),
        Cell(text=fmt.clean(each.replica) if each.replica is not None else fmt.MISSING),
        Cell(text=fmt.clean(each.outcome)),
    )


def nodes(analysis: Analysis) -> Table:
    """The nodes of a cluster with replicas on them; the verdict is a note. Of many, the ones with pressure first."""
    found = analysis.nodes
    shown = () if found is None else found.nodes[:MOST_NODES]
    more = 0 if found is None else len(found.nodes) - len(shown)
    notes = () if found is None else (fmt.clean(found.reason),)
    return Table(
        key="nodes",
        title="Nodes of the replicas",
        columns=(
            Column(label="Node"),
            Column(label="Replicas", numeric=True),
            Column(label="Short of"),
            Column(label="CPU, most", numeric=True),
            Column(label="of its replicas", numeric=True),
            Column(label="Memory, most", numeric=True),
            Column(label="of its replicas", numeric=True),
        ),
        rows=tuple(_node(each) for each in shown),
        notes=(*notes, *((f"{more} more nodes are in analysis.json.",) if more > 0 else ())),
    )


def _node(each: NodeUnderLoad) -> tuple[Cell, ...]:
    resources = ", ".join(dict.fromkeys(span.resource for span in each.pressure))
    return (
        Cell(text=fmt.clean(each.name), literal=True),
        Cell(text=fmt.count(len(each.replicas))),
        Cell(text=resources or "none reported", style="" if resources else "muted"),
        Cell(text=fmt.percent(each.cpu_peak_ratio)),
        Cell(text=fmt.percent(each.cpu_replicas_ratio)),
        Cell(text=fmt.percent(each.memory_peak_ratio)),
        Cell(text=fmt.percent(each.memory_replicas_ratio)),
    )
