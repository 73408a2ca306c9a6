"""Leaves out the rows of a run folder that cannot be true, and counts them by what is wrong with them.

Every analysis begins here, so that no other module meets a time that is not finite, a negative count or an unknown
outcome. A row is left out for the first fault that it has.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from loadgen.analyze.columns import Bools, Columns, Floats, Ints, Texts, columns, groups
from loadgen.analyze.observed import Damage, Tables
from loadgen.analyze.too_many import MAX_REPLICAS, extra_replicas, extra_series
from loadgen.base.text import clean
from loadgen.dataset.names import (
    GENERATOR_SIGNALS,
    NODE_USE_SIGNALS,
    REPLICA_EVENTS,
    EventKind,
    SignalName,
)
from loadgen.dataset.run_info import RunInfo
from loadgen.dataset.tables import MAX_RUN_S

OUTSIDE_S = 300.0
"""A record this long after everything that the run itself did, or before its start, has a wrong time."""
MAX_WALL_CLOCK_S = 1e11
"""Samples and events have times of other machines' clocks, which may be set to any year."""
MAX_VALUE = 1e18
"""No counter reaches this: a hundred thousand requests at once for 30 days are 3e17 µs."""
CONFLICT = "another value than a later row of the same time, signal and replica"

MIXED = "a counter that falls again and again, as those of two sources do"
EXTRA = f"a replica beyond the first {MAX_REPLICAS:,}"
MIN_FALLS = 5
FALLS_RATIO = 0.4
"""Of two sources in turn every second step is a fall; a server that crashes again and again has fewer."""
ODD_RATIO = 0.01
"""A signal is of the whole fleet or of its replicas; up to this share of the other kind is damage."""

MONOTONIC_SIGNALS = [name for name in SignalName if name.startswith("raw_")] + [
    SignalName.AUTOSCALER_RATIO,
    SignalName.CONNECTIONS,
    *sorted(NODE_USE_SIGNALS),
    *sorted(GENERATOR_SIGNALS),
]
"""Signals with the time of the collector; the others have that of Prometheus."""
MONOTONIC_EVENTS = [EventKind.LOAD_STARTED, EventKind.LOAD_STOPPED, EventKind.LOAD_ENDED, EventKind.CLOCK_STEP]
"""Events with the time of a process of the run; the others may have that of the Kubernetes API."""
_COUNTERS = [
    SignalName.RAW_QUEUE_US,
    SignalName.RAW_COMPUTE_US,
    SignalName.RAW_OTHER_QUEUE_US,
    SignalName.RAW_OTHER_COMPUTE_US,
    SignalName.RAW_SUCCESS,
    SignalName.RAW_FAILURE,
]
_RATIOS = [SignalName.RATIO, SignalName.AUTOSCALER_RATIO]
"""Signals that may be undefined (NaN): a ratio without compute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The rows that can be true, and the damage."""

    samples: Columns
    events: Columns
    damage: tuple[Damage, ...]


def checked(info: RunInfo, tables: Tables) -> Checked:
    """Check every sample and event; `request_rows` and `tokens` check the other two tables part by part."""
    _, latest_s = span(info)
    settle_s = info.settings.get("settle_s") or 0.0
    events = _events(columns("events", tables.events), latest_s + settle_s)
    replicas = frozenset(filter(None, set(events.left().texts("pod").tolist())))
    samples = _samples(columns("samples", tables.samples), latest_s + settle_s, replicas)
    return Checked(
        samples=samples.left(),
        events=events.left(),
        damage=(*samples.damage, *events.damage),
    )


class Rows:
    """The rows of a table that can still be true.

    Args:
        table: Name of the table.
        given: Its columns.
        keys: Columns that identify a row for a reader.

    Attributes:
        given: Its columns.
        good: Whether each row can still be true.
        damage: The rows that were dropped.
        faults: What was looked for, in order.
    """

    def __init__(self, table: str, given: Columns, *keys: str) -> None:
        self.given, self.good = given, np.ones(len(given), dtype=np.bool_)
        self.damage: list[Damage] = []
        self.faults: list[str] = []
        self._table, self._keys = table, keys

    def drop(self, wrong: Bools, fault: str, column: str | None = None) -> None:
        """Leave out the rows that are wrong; `column` has the value to show."""
        self.faults.append(fault)
        if not wrong.any():
            return
        wrong = wrong & self.good
        count = int(np.count_nonzero(wrong))
        if not count:
            return
        row = int(np.argmax(wrong))
        shown = {key: self.given.value(key, row) for key in self._keys}
        shown = {key: value for key, value in shown.items() if value is not None}
        if column:
            shown[column] = self.given.value(column, row)
        example = ", ".join(f"{name} {clean(value, 40)}" for name, value in shown.items())
        self.damage.append(
            Damage(
                table=self._table,
                rows=len(self.good),
                count=count,
                fault=fault,
                example=example or "a row that nothing identifies",
            )
        )
        self.good &= ~wrong

    def drop_missing(self, column: str, missing: Bools) -> None:
        """Leave out the rows without a value of this column."""
        self.drop(missing, f"no {column}")

    def drop_outside(self, column: str, values: Floats, low: float, high: float) -> None:
        """Leave out the rows with a value outside [low, high]; a missing one is not outside."""
        self.drop((values < low) | (values > high), f"an impossible {column}", column)

    def left(self) -> Columns:
        """The rows that were not dropped."""
        return self.given.where(self.good)


def span(info: RunInfo) -> tuple[float, float]:
    """The first and the last time that a request can have: the load, its longest answer, and `OUTSIDE_S`."""
    if info.load_start_s is None:
        return -MAX_RUN_S, MAX_RUN_S
    ends = [stage.end_s for stage in info.stages] + ([] if info.load_end_s is None else [info.load_end_s])
    if not ends:
        return info.load_start_s - OUTSIDE_S, MAX_RUN_S
    timeout_s = info.settings.get("request_timeout_s") or 0.0
    return info.load_start_s - OUTSIDE_S, min(max(ends) + timeout_s + OUTSIDE_S, MAX_RUN_S)


def _samples(given: Columns, latest_s: float, replicas: frozenset[str]) -> Rows:
    rows = Rows("samples", given, "signal", "pod", "t_s")
    t_s, value = given.numbers("t_s"), given.numbers("value")
    signal, pod = given.texts("signal"), given.texts("pod")
    rows.drop_missing("t_s", np.isnan(t_s))
    rows.drop_missing("signal", ~signal.known)
    _drop_times(rows, t_s, signal.isin(MONOTONIC_SIGNALS), latest_s)
    rows.drop(np.isnan(value) & ~signal.isin(_RATIOS), "no value")
    rows.drop_outside("value", value, -MAX_VALUE, MAX_VALUE)
    rows.drop((value < 0) & signal.isin(SignalName), "a negative value", "value")
    rows.drop(_without_pod(signal, pod, rows.good), "no pod, which the other samples of this signal have")
    rows.drop(extra_series(pod, rows.good, replicas), EXTRA)
    series = series_of(signal, pod)
    rows.drop(_contradicted(series, t_s, value, rows.good), CONFLICT, "value")
    rows.drop(_mixed(series, t_s, value, rows.good & signal.isin(_COUNTERS)), MIXED)
    return rows


def _events(given: Columns, latest_s: float) -> Rows:
    rows = Rows("events", given, "kind", "pod", "t_s")
    t_s, kind, pod = given.numbers("t_s"), given.texts("kind"), given.texts("pod")
    rows.drop_missing("t_s", np.isnan(t_s))
    rows.drop_missing("kind", ~kind.known)
    _drop_times(rows, t_s, kind.isin(MONOTONIC_EVENTS), latest_s)
    no_pod = ~pod.known | (pod == "")
    rows.drop(kind.isin(REPLICA_EVENTS) & no_pod, "no pod, which such an event has")
    rows.drop(extra_replicas(t_s, kind, pod, rows.good), EXTRA)
    # Two containers of a pod may have the same event in the same second, by the API's whole seconds.
    once = rows.good & ~(kind == EventKind.POD_EVENT)
    others = [given.texts(column).code for column in given.names if column != "t_s"]
    rows.drop(repeated(once, t_s, *others), "the same values as an earlier row")
    return rows


def _drop_times(rows: Rows, t_s: Floats, monotonic: Bools, latest_s: float) -> None:
    """Leave out times that no clock has; those of other machines' clocks may be of another year (`clock.step`)."""
    rows.drop_outside("t_s", t_s, -MAX_WALL_CLOCK_S, MAX_WALL_CLOCK_S)
    rows.drop(monotonic & ((t_s < -OUTSIDE_S) | (t_s > latest_s)), "a t_s outside the run", "t_s")


def series_of(signal: Texts, pod: Texts) -> Ints:
    """The number of the series of each sample: one for each signal and replica."""
    return signal.code.astype(np.int64) * (len(pod.names) + 1) + pod.code + 1


def repeated(good: Bools, *keys: npt.NDArray[Any]) -> Bools:
    """Whether a good row has the same keys as an earlier good one."""
    places = np.flatnonzero(good)
    order, first = groups(*(key[places] for key in keys))
    found = np.zeros(len(good), dtype=np.bool_)
    found[places[order[~first]]] = True
    return found


def _contradicted(series: Ints, t_s: Floats, value: Floats, good: Bools) -> Bools:
    """Whether a later good row has another value for the same time and series.

    Overlapping reads of Prometheus repeat samples with the same value.
    """
    places = np.flatnonzero(good)
    order, first = groups(series[places], t_s[places])
    contradicted = np.zeros(len(good), dtype=np.bool_)
    if first.all():
        return contradicted
    places, lasts = places[order], np.append(first[1:], True)
    last = value[places[lasts]][np.cumsum(first) - 1]
    own = value[places]
    contradicted[places[(own != last) & ~(np.isnan(own) & np.isnan(last))]] = True
    return contradicted


def _without_pod(signal: Texts, pod: Texts, good: Bools) -> Bools:
    """Whether a good row is one of the few of its signal that have no replica."""
    without = good & ~pod.known
    if not without.any():
        return without
    rows = np.bincount(signal.code[good], minlength=len(signal.names))
    missing = np.bincount(signal.code[without], minlength=len(signal.names))
    few: Bools = missing <= ODD_RATIO * rows
    return without & few[signal.code]


def _mixed(series: Ints, t_s: Floats, value: Floats, counters: Bools) -> Bools:
    """Whether a counter's row is of a series that falls too often: samples of two models or servers in turn."""
    places = np.flatnonzero(counters)
    places = places[groups(series[places], t_s[places])[0]]
    mixed = np.zeros(len(counters), dtype=np.bool_)
    of, value = series[places], value[places]
    same = of[1:] == of[:-1]
    group = np.concatenate(([0], np.cumsum(~same))) if len(places) else of
    steps = np.bincount(group[1:][same], minlength=len(places))
    falls = np.bincount(group[1:][same & (value[1:] < value[:-1])], minlength=len(places))
    mixed[places] = ((falls >= MIN_FALLS) & (falls > FALLS_RATIO * steps))[group]
    return mixed
