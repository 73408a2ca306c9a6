"""Leaves out the rows of a run folder that cannot be true, and counts them by what is wrong with them.

Every analysis begins here, so that no other module meets a time that is not finite, a negative count or an unknown
outcome. A row is left out for the first fault that it has.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from loadgen.analyze.observed import Bools, Damage, Floats, Tables
from loadgen.analyze.tokens import REPEATED
from loadgen.base.text import clean
from loadgen.dataset.names import (
    GENERATOR_SIGNALS,
    NODE_USE_SIGNALS,
    OUTCOMES,
    REPLICA_EVENTS,
    Cause,
    EventKind,
    Outcome,
    SignalName,
)
from loadgen.dataset.run_info import RunInfo
from loadgen.dataset.tables import MAX_REQUEST_ID, MAX_RUN_S

OUTSIDE_S = 300.0
"""A record this long after everything that the run itself did, or before its start, has a wrong time."""
MAX_WALL_CLOCK_S = 1e11
"""Samples and events have times of other machines' clocks, which may be set to any year."""
MAX_VALUE = 1e18
"""No counter reaches this: a hundred thousand requests at once for 30 days are 3e17 µs."""
CONFLICT = "another value than a later row of the same time, signal and replica"

MIXED = "a counter that falls again and again, as those of two sources do"
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
_TIMES = ("scheduled_s", "sent_s", "first_token_s", "last_token_s", "ended_s")
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

    requests: pd.DataFrame
    samples: pd.DataFrame
    events: pd.DataFrame
    damage: tuple[Damage, ...]


def checked(info: RunInfo, tables: Tables) -> Checked:
    """Check every row of a run but those of `tokens`, which `loadgen.analyze.tokens` checks part by part."""
    earliest_s, latest_s = span(info)
    settle_s = info.settings.get("settle_s") or 0.0
    requests = _requests(info, tables.requests, earliest_s, latest_s)
    samples = _samples(tables.samples, latest_s + settle_s)
    events = _events(tables.events, latest_s + settle_s)
    return Checked(
        requests=requests.left(),
        samples=samples.left(),
        events=events.left(),
        damage=(*requests.damage, *samples.damage, *events.damage),
    )


class _Rows:
    """The rows of a table that can still be true.

    Args:
        table: Name of the table.
        frame: The table.
        keys: Columns that identify a row for a reader.
    """

    def __init__(self, table: str, frame: pd.DataFrame, *keys: str) -> None:
        self.frame, self.good = frame, np.ones(len(frame), dtype=np.bool_)
        self.damage: list[Damage] = []
        self._table, self._keys = table, keys

    def drop(self, wrong: Bools, fault: str, column: str | None = None) -> None:
        """Leave out the rows that are wrong; `column` has the value to show."""
        wrong = wrong & self.good
        count = int(np.count_nonzero(wrong))
        if not count:
            return
        row = self.frame.iloc[int(np.argmax(wrong))]
        shown = dict.fromkeys((*(key for key in self._keys if not pd.isna(row[key])), *([column] if column else [])))
        example = ", ".join(f"{name} {clean(row[name], 40)}" for name in shown) or "a row that nothing identifies"
        self.damage.append(Damage(table=self._table, rows=len(self.frame), count=count, fault=fault, example=example))
        self.good &= ~wrong

    def drop_missing(self, *columns: str) -> None:
        """Leave out the rows without a value of one of these columns."""
        for column in columns:
            self.drop(self.frame[column].isna().to_numpy(dtype=np.bool_), f"no {column}")

    def drop_outside(self, column: str, low: float, high: float) -> None:
        """Leave out the rows with a value outside [low, high]; a missing one is not outside."""
        values = _floats(self.frame, column)
        self.drop((values < low) | (values > high), f"an impossible {column}", column)

    def left(self) -> pd.DataFrame:
        """The rows that were not dropped."""
        return self.frame if self.good.all() else self.frame[self.good]


def span(info: RunInfo) -> tuple[float, float]:
    """The first and the last time that a request can have: the load, its longest answer, and `OUTSIDE_S`."""
    if info.load_start_s is None:
        return -MAX_RUN_S, MAX_RUN_S
    ends = [stage.end_s for stage in info.stages] + ([] if info.load_end_s is None else [info.load_end_s])
    if not ends:
        return info.load_start_s - OUTSIDE_S, MAX_RUN_S
    timeout_s = info.settings.get("request_timeout_s") or 0.0
    return info.load_start_s - OUTSIDE_S, min(max(ends) + timeout_s + OUTSIDE_S, MAX_RUN_S)


def _requests(info: RunInfo, frame: pd.DataFrame, earliest_s: float, latest_s: float) -> _Rows:
    rows = _Rows("requests", frame, "request_id")
    rows.drop_missing("request_id", "scheduled_s", "outcome", "worker", "input_tokens", "max_tokens")
    of_plan = info.state == "finished" and info.expected_rows is not None
    rows.drop_outside("request_id", 0, (info.expected_rows or 0) - 1 if of_plan else MAX_REQUEST_ID)
    for column in _TIMES:
        rows.drop_outside(column, earliest_s, latest_s)
    for column in frame.columns:
        if column.endswith("_s") and column not in _TIMES:  # a duration
            rows.drop_outside(column, -MAX_RUN_S, latest_s - earliest_s)
    for column in ("worker", "input_tokens", "max_tokens", "output_tokens"):
        rows.drop_outside(column, 0, math.inf)
    outcome = frame["outcome"].astype(object)
    rows.drop(~outcome.isin(list(OUTCOMES)).to_numpy(), "an unknown outcome", "outcome")
    answered = ((outcome == Outcome.OK) & (frame["cause"].astype(object) != Cause.NOT_RECORDABLE)).to_numpy()
    for column in ("sent_s", "last_token_s", "ended_s"):
        rows.drop(answered & frame[column].isna().to_numpy(), f"the outcome ok without {column}")
    rows.drop(_repeated(frame, rows.good, ["request_id"]), REPEATED)
    return rows


def _samples(frame: pd.DataFrame, latest_s: float) -> _Rows:
    rows = _Rows("samples", frame, "signal", "pod", "t_s")
    rows.drop_missing("t_s", "signal")
    signal = frame["signal"].astype(object)
    _drop_times(rows, signal.isin(MONOTONIC_SIGNALS).to_numpy(), latest_s)
    value = _floats(frame, "value")
    rows.drop(np.isnan(value) & ~signal.isin(_RATIOS).to_numpy(), "no value")
    rows.drop_outside("value", -MAX_VALUE, MAX_VALUE)
    rows.drop((value < 0) & signal.isin(list(SignalName)).to_numpy(), "a negative value", "value")
    rows.drop(_without_pod(frame, rows.good), "no pod, which the other samples of this signal have")
    rows.drop(_contradicted(frame, rows.good), CONFLICT, "value")
    rows.drop(_mixed(frame, rows.good), MIXED)
    return rows


def _events(frame: pd.DataFrame, latest_s: float) -> _Rows:
    rows = _Rows("events", frame, "kind", "pod", "t_s")
    rows.drop_missing("t_s", "kind")
    kind = frame["kind"].astype(object)
    _drop_times(rows, kind.isin(MONOTONIC_EVENTS).to_numpy(), latest_s)
    no_pod = (frame["pod"].isna() | (frame["pod"].astype(object) == "")).to_numpy()
    rows.drop(kind.isin(REPLICA_EVENTS).to_numpy() & no_pod, "no pod, which such an event has")
    # Two containers of a pod may have the same event in the same second, by the API's whole seconds.
    once = rows.good & (kind != EventKind.POD_EVENT).to_numpy()
    rows.drop(_repeated(frame, once, list(frame.columns)), "the same values as an earlier row")
    return rows


def _drop_times(rows: _Rows, monotonic: Bools, latest_s: float) -> None:
    """Leave out times that no clock has; those of other machines' clocks may be of another year (`clock.step`)."""
    rows.drop_outside("t_s", -MAX_WALL_CLOCK_S, MAX_WALL_CLOCK_S)
    t_s = _floats(rows.frame, "t_s")
    rows.drop(monotonic & ((t_s < -OUTSIDE_S) | (t_s > latest_s)), "a t_s outside the run", "t_s")


def _repeated(frame: pd.DataFrame, good: Bools, columns: list[str]) -> Bools:
    """Whether a good row has the same values of these columns as an earlier good one."""
    repeated = np.zeros(len(frame), dtype=np.bool_)
    repeated[good] = frame.loc[good, columns].duplicated().to_numpy()
    return repeated


def _contradicted(frame: pd.DataFrame, good: Bools) -> Bools:
    """Whether a later good row has another value for the same time, signal and replica.

    Overlapping reads of Prometheus repeat samples with the same value.
    """
    contradicted = np.zeros(len(frame), dtype=np.bool_)
    keys = ["t_s", "signal", "pod"]
    places = np.flatnonzero(good)
    places = places[frame.iloc[places].duplicated(keys, keep=False).to_numpy()]
    if not len(places):
        return contradicted
    several = frame.iloc[places]
    group = several.groupby(keys, dropna=False, sort=False).ngroup().to_numpy()
    value = _floats(several, "value")
    last = np.empty(group.max() + 1)
    last[group] = value  # the last of several assignments to one place stays
    differs = (value != last[group]) & ~(np.isnan(value) & np.isnan(last[group]))
    contradicted[places[differs]] = True
    return contradicted


def _without_pod(frame: pd.DataFrame, good: Bools) -> Bools:
    """Whether a good row is one of the few of its signal that have no replica."""
    names, no_pod = frame["signal"].where(good), frame["pod"].isna()
    share = no_pod.groupby(names).transform("mean")  # NaN for rows that are not good
    return (no_pod & (share <= ODD_RATIO)).to_numpy(dtype=np.bool_)


def _mixed(frame: pd.DataFrame, good: Bools) -> Bools:
    """Whether a good row is of a counter that falls too often: samples of two models or servers in turn."""
    mixed = np.zeros(len(frame), dtype=np.bool_)
    places = np.flatnonzero(good & frame["signal"].isin(_COUNTERS).to_numpy())
    if not len(places):
        return mixed
    counters = frame.iloc[places]
    group = counters.groupby(["signal", "pod"], dropna=False, sort=False).ngroup().to_numpy()
    order = np.lexsort((_floats(counters, "t_s"), group))
    of, value = group[order], _floats(counters, "value")[order]
    same = of[1:] == of[:-1]
    steps = np.bincount(of[1:][same], minlength=group.max() + 1)
    falls = np.bincount(of[1:][same & (value[1:] < value[:-1])], minlength=group.max() + 1)
    mixed[places] = ((falls >= MIN_FALLS) & (falls > FALLS_RATIO * steps))[group]
    return mixed


def _floats(frame: pd.DataFrame, column: str) -> Floats:
    return frame[column].to_numpy(dtype=np.float64, na_value=np.nan)
