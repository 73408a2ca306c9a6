"""Answers in one line whether the fleet was in time, and splits its lag by what can change it."""

from loadgen.analyze.results import Analysis, InTime
from loadgen_reports import format as fmt
from loadgen_reports.demand import duration
from loadgen_reports.finding_text import sentence
from loadgen_reports.lag_sentences import NARROW_S
from loadgen_reports.tables import Cell, Column, Table


def in_time_line(analysis: Analysis) -> str | None:
    """The first line of a report: whether the fleet was in time, by how much, and why; None if no load started."""
    found = analysis.headline.in_time
    if found is None or analysis.run.state == "never_started":
        return None
    reason = found.reason
    if found.answer == "not_tested":
        return fmt.clean(f"In time: not tested. {sentence(reason)}")
    if found.answer == "not_known":
        lag = f" {_needed(found)}" if found.lag is not None and not found.clocks_differ else ""
        return fmt.clean(f"In time: not known, because {reason}.{lag}{_phase(analysis, found)}")
    if found.answer == "late":
        return fmt.clean(
            f"In time: no, late by {_length(found)}. {sentence(reason)} {_needed(found)}{_phase(analysis, found)}"
        )
    early = found.lag is not None and found.lag.value <= 0
    amount = f", by {_length(found)}" if early else ""
    lag = "" if early or found.lag is None else f" {_needed(found)}"
    return fmt.clean(f"In time: yes{amount}. {sentence(reason)}{lag}{'' if early else _phase(analysis, found)}")


def _length(found: InTime) -> str:
    """The length of the lag, early or late, with its interval where that is wide."""
    lag = found.lag
    assert lag is not None
    low, high = (lag.low, lag.high) if lag.value > 0 else (-lag.high, -lag.low)
    if found.at_least:
        return f"at least {fmt.tenths(lag.value)}"
    if lag.high - lag.low <= NARROW_S:
        return fmt.tenths(abs(lag.value))
    return f"{fmt.count(abs(lag.value))} s (95 % interval {fmt.count(low)} … {fmt.count(high)} s)"


def _needed(found: InTime) -> str:
    """When the replicas were needed and when they served."""
    served = "did not serve while they were needed" if found.at_least else f"served at {fmt.clock(found.served_s)}"
    replicas = f"{fmt.count(found.replicas)} {fmt.plural(found.replicas or 0, 'replica')}"
    return f"{replicas} were needed at {fmt.clock(found.needed_s)} and {served}."


def _phase(analysis: Analysis, found: InTime) -> str:
    """How much of the lag is chance, with a leading space; empty where it is not known."""
    parts, period_s = found.parts, analysis.run.sync_period_s
    if parts is None or not fmt.known(period_s):
        return ""
    return (
        f" Of the lag, {fmt.tenths(parts.phase_s)} is the phase of the HPA, which is chance (0 to "
        f"{fmt.seconds(period_s)})."
    )


def lag_parts(analysis: Analysis) -> Table:
    """The worst lag by what can change it; empty where its parts are not known."""
    found = analysis.headline.in_time
    parts = None if found is None else found.parts
    rows = []
    if found is not None and found.lag is not None and parts is not None:
        whole = found.lag.value
        period_s = analysis.run.sync_period_s
        chance = f"chance: 0 to {fmt.seconds(period_s)}" if fmt.known(period_s) else "chance"
        values = (
            ("Phase of the HPA", parts.phase_s, chance),
            ("Signal and rules", parts.settings_s, "settings: target, rate window, scrapes, rule, behavior of the HPA"),
            ("Start-up", parts.start_up_s, "image, engine, readiness probe, nodes"),
            ("Traffic", parts.traffic_s, "gateway and connections of the clients"),
        )
        rows = [_row(name, value, whole, note) for name, value, note in values]
        rows.append((Cell(text="Lag"), Cell(text=duration(found.lag)), Cell(text=""), Cell(text="")))
    return Table(
        key="lag-parts",
        title="Longest lag by what can change it",
        columns=(
            Column(label="Part", term="lag"),
            Column(label="Time", numeric=True),
            Column(label="Share", numeric=True),
            Column(label="Changed by"),
        ),
        rows=tuple(rows),
    )


def _row(name: str, value: float, whole: float, note: str) -> tuple[Cell, ...]:
    share = fmt.percent(value / whole) if whole > 0 and 0 <= value <= whole else fmt.MISSING
    return Cell(text=name), Cell(text=fmt.tenths(value)), Cell(text=share), Cell(text=note)
