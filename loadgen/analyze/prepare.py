"""Converts the tables of a run folder to sorted arrays on the time axis of the load."""

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd
import pyarrow as pa

from loadgen.analyze.event_data import parse_data
from loadgen.analyze.incarnations import split_incarnations
from loadgen.analyze.observed import (
    Damage,
    Event,
    Floats,
    Objects,
    Observed,
    Requests,
    Series,
    Tables,
)
from loadgen.analyze.rows import MONOTONIC_EVENTS, MONOTONIC_SIGNALS, OUTSIDE_S, Checked, checked, span
from loadgen.analyze.tokens import Tokens
from loadgen.base.text import clean
from loadgen.dataset.names import GENERATOR_CAUSES, Cause, Outcome
from loadgen.dataset.run_info import RunInfo
from loadgen.dataset.tables import TOKENS


def observe(info: RunInfo, tables: Tables) -> Observed:
    """Check, sort and shift the tables; token times are only read when the answers are iterated."""
    zero = info.load_start_s or 0.0
    rows = checked(info, tables)
    earliest_s, latest_s = span(info)
    requests = _requests(rows.requests, zero, _timeout_s(info))
    samples, events_table, misdated = _of_this_run(info, rows, requests, zero)
    events, event_damage = _events(events_table, zero, len(tables.events))
    events, signals = split_incarnations(events, _signals(samples, zero))
    request_times = [requests.scheduled_s[requests.due], requests.ended_s[requests.due]]
    recorded = np.concatenate(request_times)
    recorded = recorded[np.isfinite(recorded)]
    others = [np.array([event.t_s for event in events])]
    others += [series.t_s for pods in signals.values() for series in pods.values()]
    everything = np.concatenate([recorded, *others])
    first = float(everything.min()) if len(everything) else 0.0
    last = float(everything.max()) if len(everything) else 0.0
    length: float | None = None
    if info.load_start_s is not None:
        known = recorded if len(recorded) else everything
        last_record = float(known.max()) if len(known) else 0.0
        length = max(last_record if info.load_end_s is None else info.load_end_s - zero, 0.0)
    return Observed(
        info=info,
        zero_s=zero,
        length_s=length,
        first_s=min(first, 0.0),
        last_s=max(last, length or 0.0),
        interrupted=info.state in ("starting", "loading"),
        requests=requests,
        answers=Tokens(parts=_parts(tables), zero_s=zero, earliest_s=earliest_s, latest_s=latest_s, ids=requests.ids),
        signals=signals,
        events=events,
        misdated_s=misdated,
        damage=(*rows.damage, *event_damage),
    )


def _of_this_run(
    info: RunInfo, rows: Checked, requests: Requests, zero_s: float
) -> tuple[pd.DataFrame, pd.DataFrame, Floats]:
    """Samples and events without those that have a time outside the run, and the times of the latter.

    Requests, counters and events of the load have the times of the monotonic clock; Prometheus and the Kubernetes API
    stamp theirs by a wall clock, which may be set during the run.
    """
    samples, events = rows.samples, rows.events
    if info.load_start_s is None:
        return samples, events, np.empty(0)
    sampled, happened = _floats(samples, "t_s"), _floats(events, "t_s")
    by_us = [
        requests.scheduled_s + zero_s,
        requests.ended_s + zero_s,
        sampled[samples["signal"].isin(MONOTONIC_SIGNALS)],
        happened[events["kind"].isin(MONOTONIC_EVENTS)],
        np.array([info.load_start_s, info.load_end_s or np.nan]),
    ]
    settle_s = info.settings.get("settle_s")
    last = float(np.nanmax(np.concatenate(by_us))) + (settle_s if isinstance(settle_s, int | float) else 0.0)
    wrong_samples = (sampled > last + OUTSIDE_S) | (sampled < -OUTSIDE_S)
    wrong_events = happened > last + OUTSIDE_S
    times = np.sort(np.concatenate((sampled[wrong_samples], happened[wrong_events]))) - zero_s
    return samples[~wrong_samples], events[~wrong_events], times


def _floats(frame: pd.DataFrame, column: str) -> Floats:
    return frame[column].to_numpy(dtype=np.float64, na_value=np.nan)


def _durations(frame: pd.DataFrame, column: str) -> Floats:
    """A column of durations with NaN for those that are negative, which are damage."""
    values = _floats(frame, column)
    return np.where(values >= 0, values, np.nan)


def _texts(frame: pd.DataFrame, column: str) -> Objects:
    """A text column with None for missing values."""
    texts = frame[column]
    if isinstance(texts.dtype, pd.CategoricalDtype):
        return np.array([*texts.cat.categories, None], dtype=object)[texts.cat.codes.to_numpy()]
    values = texts.to_numpy(dtype=object, copy=True)
    values[pd.isna(values)] = None
    return values


def _timeout_s(info: RunInfo) -> float:
    """The time limit of a request; +inf when the settings do not have it."""
    timeout_s = info.settings.get("request_timeout_s")
    return float(timeout_s) if isinstance(timeout_s, int | float) else math.inf


def _requests(frame: pd.DataFrame, zero_s: float, timeout_s: float) -> Requests:
    order = np.lexsort((frame["request_id"], frame["scheduled_s"]))

    def times(column: str) -> Floats:
        return _floats(frame, column)[order] - zero_s

    outcome, cause = _texts(frame, "outcome")[order], _texts(frame, "cause")[order]
    timed_out = (_floats(frame, "ended_s") - _floats(frame, "sent_s") >= timeout_s)[order]
    return Requests(
        ids=frame["request_id"].to_numpy(dtype=np.int64)[order],
        scheduled_s=times("scheduled_s"),
        sent_s=times("sent_s"),
        first_s=times("first_token_s"),
        last_s=times("last_token_s"),
        ended_s=times("ended_s"),
        outcome=outcome,
        cause=cause,
        output_tokens=_floats(frame, "output_tokens")[order],
        max_tokens=_floats(frame, "max_tokens")[order],
        ok=np.asarray(outcome == Outcome.OK, dtype=np.bool_),
        stopped=np.asarray((cause == Cause.RUN_STOPPED) & (outcome != Outcome.OK) & ~timed_out, dtype=np.bool_),
        by_generator=frame["cause"].isin(GENERATOR_CAUSES).to_numpy(dtype=np.bool_)[order],
        engine_queue_s=_durations(frame, "engine_queue_s")[order],
        engine_prefill_s=_durations(frame, "engine_prefill_s")[order],
        engine_decode_s=_durations(frame, "engine_decode_s")[order],
        pod=_texts(frame, "pod")[order],
    )


def _parts(tables: Tables) -> Iterable[pa.Table]:
    """The token times part by part."""
    if isinstance(tables.tokens, pd.DataFrame):
        return [pa.Table.from_pandas(tables.tokens, schema=TOKENS, preserve_index=False)]
    return tables.tokens


def _signals(frame: pd.DataFrame, zero_s: float) -> dict[str, dict[str, Series]]:
    times, values = _floats(frame, "t_s") - zero_s, _floats(frame, "value")
    signal, signals = pd.factorize(frame["signal"].astype(object))
    pod, pods = pd.factorize(frame["pod"].astype(object).where(frame["pod"].notna(), ""))
    order = np.lexsort((times, pod, signal))
    key = (signal * max(len(pods), 1) + pod)[order]
    result: dict[str, dict[str, Series]] = {}
    for part in np.split(order, np.flatnonzero(np.diff(key)) + 1):
        if not len(part):
            continue
        t = times[part]
        last_of_time = np.append(np.diff(t) > 0, True)
        series = Series(t[last_of_time], values[part][last_of_time])
        result.setdefault(str(signals[signal[part[0]]]), {})[str(pods[pod[part[0]]])] = series
    return {name: dict(sorted(result[name].items())) for name in sorted(result)}


def _events(frame: pd.DataFrame, zero_s: float, rows: int) -> tuple[tuple[Event, ...], list[Damage]]:
    """The events in order, and the damage of their data, which costs only the fields at fault."""
    frame = frame.sort_values("t_s", kind="stable")
    columns = [_texts(frame, name) for name in ("kind", "pod", "reason", "message", "data")]
    events, counts, examples = [], dict[str, int](), dict[str, str]()
    for t_s, kind, pod, reason, message, text in zip(_floats(frame, "t_s"), *columns, strict=True):
        data, faults = parse_data(text)
        for fault, value in faults.items():
            counts[fault] = counts.get(fault, 0) + 1
            examples.setdefault(fault, f"kind {clean(kind, 40)}, t_s {t_s}: {value}")
        event = Event(t_s=float(t_s - zero_s), kind=kind, pod=pod, reason=reason, message=message, data=data)
        events.append(event)
    damage = [
        Damage(table="events", rows=rows, count=count, fault=fault, example=examples[fault], left_out=False)
        for fault, count in counts.items()
    ]
    return tuple(events), damage
