"""The tables of the signal: the recorded series as signals, and where requests waited."""

from loadgen.analyze.results import Analysis
from loadgen_reports import format as fmt
from loadgen_reports.sentences import SIGNAL_LABELS
from loadgen_reports.tables import Cell, Column, Table, capped, coefficient

_BOTTLENECKS = {
    "batch": "batch of the engine",
    "kv_cache": "KV cache",
    "triton_queue": "Triton's queue",
    "compute": "compute",
}


def engine(analysis: Analysis) -> Table:
    """What limited the replicas: requests inside the engine, its batch and KV cache, and Triton's queue."""
    # One replica alone is the same as all of them.
    uses = analysis.engine[:1] if len(analysis.engine) == 2 else analysis.engine
    rows = [
        (
            Cell(text=use.replica or "all replicas", literal=use.replica is not None),
            Cell(text=fmt.count(use.waiting_peak), style="over" if use.waiting_ratio else ""),
            Cell(text=fmt.percent(use.waiting_ratio)),
            Cell(text=fmt.count(use.active_peak)),
            Cell(text=fmt.percent(use.full_ratio)),
            Cell(text=fmt.percent(use.kv_peak)),
            Cell(text=fmt.percent(use.kv_full_ratio)),
            Cell(text=fmt.count(use.queued_peak)),
            Cell(text=fmt.percent(use.queued_ratio)),
            Cell(text=_BOTTLENECKS[use.bottleneck] if use.bottleneck else "none known", note=use.reason),
        )
        for use in uses
    ]
    shown, notes = capped(rows, "replicas")
    return Table(
        key="engine",
        title="Inside the engine",
        columns=(
            Column(label="Replica"),
            Column(label="Waiting, peak", numeric=True),
            Column(label="Time waiting", numeric=True),
            Column(label="Active, peak", numeric=True),
            Column(label="Time at batch limit", numeric=True),
            Column(label="KV cache, peak", numeric=True),
            Column(label="Time at KV limit", numeric=True),
            Column(label="Triton queue, peak", numeric=True),
            Column(label="Time queued", numeric=True),
            Column(label="Bottleneck"),
        ),
        rows=shown,
        notes=notes,
    )


def signals(analysis: Analysis) -> Table:
    """The recorded series compared as signals for scaling, the best first."""
    found = analysis.signal.candidates if analysis.signal is not None else ()
    return Table(
        key="signals",
        title="Recorded series as signals",
        columns=(
            Column(label="Series, mean over replicas"),
            Column(label="Lead", numeric=True),
            Column(label="Monotonicity", numeric=True),
            Column(label="Gain", numeric=True),
            Column(label="Noise", numeric=True),
        ),
        rows=tuple(
            (
                Cell(text=SIGNAL_LABELS.get(each.signal, each.signal)),
                Cell(text="blind", style="over") if each.blind else Cell(text=fmt.time_difference(each.lead_s)),
                Cell(text=coefficient(each.monotonicity)),
                Cell(text=fmt.number(each.gain)),
                Cell(text=fmt.percent(each.noise_ratio)),
            )
            for each in found
        ),
        notes=(
            "Lead: from rising above its noise until a limit was broken. Monotonicity: rank correlation with the "
            "requests in flight per ready replica. Gain: rise from low to high load, in standard deviations of the "
            "noise. Noise: share of the time beyond its noise while no limit was broken.",
        )
        if found
        else (),
    )


def causes(analysis: Analysis) -> Table:
    """What the ratio that the autoscaler read differs from the truth by, cause by cause."""
    found = analysis.signal.causes if analysis.signal is not None else ()
    syncs = found[0].syncs if found else 0
    return Table(
        key="signal-causes",
        title="Ratio as read, against the truth",
        columns=(
            Column(label="Cause"),
            Column(label="Mean part", numeric=True),
            Column(label="Mean size", numeric=True),
        ),
        rows=tuple(
            (
                Cell(text=each.name.capitalize()),
                Cell(text="not known", note=each.why_missing, style="muted")
                if each.mean is None
                else Cell(text=_signed(each.mean)),
                Cell(text=fmt.ratio_value(each.mean_absolute)),
            )
            for each in found
        ),
        notes=(
            f"Parts of the ratio, over {fmt.count(syncs)} HPA {fmt.plural(syncs, 'sync')}: together they are the ratio "
            "as read minus Σ queue / Σ compute of the requests in the system. Not attributed: wrong labels, another "
            "window, another formula.",
        )
        if found
        else (),
    )


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else fmt.MINUS if value < 0 else ''}{fmt.ratio_value(abs(value))}"
