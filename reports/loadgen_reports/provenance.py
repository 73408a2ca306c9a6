"""Tables that describe the run: shortened durations, cluster, settings, seeds and versions."""

from collections.abc import Iterable

from loadgen.analyze.results import Analysis
from loadgen_reports import format as fmt
from loadgen_reports.tables import Cell, Column, Table

_BALANCES = {
    "requests": "balances requests",
    "connections": "balances connections",
    "one pod": "sends all requests to one pod",
    "unknown": "load balancing unknown",
}


def compressed(analysis: Analysis) -> Table:
    """Durations that a local run shortens, with their usual values in production."""
    rows = (
        (
            Cell(text=row.what),
            Cell(text=_with_unit(row.local, row.unit)),
            Cell(text=_with_unit(row.production, row.unit)),
        )
        for row in analysis.run.compressed
    )
    return Table(
        key="compressed",
        title="Shortened durations",
        columns=(
            Column(label="Duration"),
            Column(label="This run", numeric=True),
            Column(label="Usual in production", numeric=True),
        ),
        rows=tuple(rows),
    )


def autoscaler(analysis: Analysis) -> str | None:
    """One sentence on the autoscaler, with the name of its metric as code; None without an autoscaler."""
    run = analysis.run
    if not fmt.known(run.ratio_target):
        return None
    metric = _code(run.ratio_metric) if run.ratio_metric else "the queue-to-compute ratio"
    threshold = (
        f" (scales up above {fmt.ratio_value(run.ratio_target * (1 + run.tolerance))})"
        if fmt.known(run.tolerance)
        else ""
    )
    parts = [f"Autoscaler: mean of {metric} over replicas, target {fmt.ratio_value(run.ratio_target)}{threshold}"]
    if fmt.known(run.rate_window_s):
        parts.append(f"rate window {fmt.seconds(run.rate_window_s)}")
    if fmt.known(run.sync_period_s):
        parts.append(f"sync every {fmt.seconds(run.sync_period_s)}")
    if run.min_replicas is not None and run.max_replicas is not None:
        noun = fmt.plural(run.max_replicas, "replica")
        parts.append(f"{fmt.count(run.min_replicas)} to {fmt.count(run.max_replicas)} {noun}")
    if fmt.known(run.scale_down_window_s):
        parts.append(f"scale-down window {fmt.seconds(run.scale_down_window_s)}")
    return ", ".join(parts) + "."


def repeated_prompts(analysis: Analysis) -> str | None:
    """One sentence on the prompts that repeat an earlier one of the run; None when it is not known."""
    ratio = analysis.run.repeated_prompts_ratio
    if not fmt.known(ratio):
        return None
    if not ratio:
        return "Prompts: none repeats an earlier one of the run."
    return f"Prompts: {fmt.percent(ratio)} of those sent repeat an earlier one, which a prefix cache makes faster."


def _with_unit(value: float, unit: str) -> str:
    return f"{fmt.number(value)} {unit}".strip()


def key_values(key: str, title: str, values: Iterable[tuple[str, object]]) -> Table:
    """Names and values, one pair per row; both are literal text."""
    rows = tuple((Cell(text=name, literal=True), Cell(text=_value_text(value), literal=True)) for name, value in values)
    return Table(key=key, title=title, columns=(Column(label="Name"), Column(label="Value")), rows=rows)


def cluster(analysis: Analysis) -> Table:
    """The workload on a cluster, its endpoint, and the clock skew of its sources."""
    info = analysis.run.cluster
    rows: list[tuple[str, str]] = []
    if info is not None:
        rows = [
            ("Workload", f"{info.kind} {_code(info.workload)}"),
            ("Namespace", _code(info.namespace)),
            ("Context", _code(info.context)),
            ("Autoscaler", _code(info.hpa)),
            ("Service", _code(info.service)),
            ("Endpoint", f"{_code(info.endpoint)}, {_BALANCES[info.balances]}"),
        ]
        for name, ahead_s in info.skew_s.items():
            error_s = info.skew_error_s.get(name, 0.0)
            rows.append((f"Clock skew of {name}", f"{ahead_s:+.3f} s ± {error_s:.3f} s, corrected"))
        rows += [("Assumed", sentence) for sentence in info.assumed]
    return Table(
        key="cluster",
        title="Cluster",
        columns=(Column(label="Name"), Column(label="Value")),
        rows=tuple((Cell(text=name), Cell(text=value)) for name, value in rows),
    )


def _code(name: str | None) -> str:
    """A name between backquotes, which reports set as code."""
    return "none" if name is None else f"`{name.replace('`', '')}`"


def settings(analysis: Analysis) -> Table:
    """Resolved settings, flattened to dotted names."""
    return key_values("settings", "Settings", _flattened("", analysis.run.settings))


def seeds(analysis: Analysis) -> Table:
    """Seeds of everything random."""
    return key_values("seeds", "Seeds", analysis.run.seeds.items())


def versions(analysis: Analysis) -> Table:
    """Versions of programs and libraries."""
    return key_values("versions", "Versions", analysis.run.versions.items())


def _flattened(prefix: str, value: object) -> list[tuple[str, object]]:
    if isinstance(value, dict) and value:
        return [
            row
            for name, inner in value.items()
            for row in _flattened(f"{prefix}.{name}" if prefix else str(name), inner)
        ]
    if isinstance(value, list | tuple) and any(isinstance(inner, dict | list | tuple) for inner in value):
        return [row for i, inner in enumerate(value) for row in _flattened(f"{prefix}[{i}]", inner)]
    return [(prefix, value)] if prefix else []


def _value_text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_value_text(inner) for inner in value) or "empty"
    if isinstance(value, dict):
        return "empty"
    return str(value)
