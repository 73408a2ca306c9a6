"""Converts the tables of a run folder to sorted arrays on the time axis of the load."""

import math
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from loadgen.analyze.columns import Columns, arrow, groups
from loadgen.analyze.event_data import parse_data
from loadgen.analyze.incarnations import split_incarnations
from loadgen.analyze.observed import (
    Damage,
    Event,
    Floats,
    Observed,
    Requests,
    Series,
    Tables,
)
from loadgen.analyze.rows import MONOTONIC_EVENTS, MONOTONIC_SIGNALS, OUTSIDE_S, Checked, checked, series_of, span
from loadgen.analyze.tokens import Tokens
from loadgen.base.text import clean
from loadgen.dataset.names import GENERATOR_CAUSES, Cause, Outcome, TokenSource
from loadgen.dataset.run_info import RunInfo


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
        chunks=bool((rows.requests.texts("token_source") == TokenSource.CHUNKS).any()),
    )


def _of_this_run(info: RunInfo, rows: Checked, requests: Requests, zero_s: float) -> tuple[Columns, Columns, Floats]:
    """Samples and events without those that have a time outside the run, and the times of the latter.

    Requests, counters and events of the load have the times of the monotonic clock; Prometheus and the Kubernetes API
    stamp theirs by a wall clock, which may be set during the run.
    """
    samples, events = rows.samples, rows.events
    if info.load_start_s is None:
        return samples, events, np.empty(0)
    sampled, happened = samples.numbers("t_s"), events.numbers("t_s")
    by_us = [
        requests.scheduled_s + zero_s,
        requests.ended_s + zero_s,
        sampled[samples.texts("signal").isin(MONOTONIC_SIGNALS)],
        happened[events.texts("kind").isin(MONOTONIC_EVENTS)],
        np.array([info.load_start_s, info.load_end_s or np.nan]),
    ]
    settle_s = info.settings.get("settle_s")
    last = float(np.nanmax(np.concatenate(by_us))) + (settle_s if isinstance(settle_s, int | float) else 0.0)
    wrong_samples = (sampled > last + OUTSIDE_S) | (sampled < -OUTSIDE_S)
    wrong_events = happened > last + OUTSIDE_S
    times = np.sort(np.concatenate((sampled[wrong_samples], happened[wrong_events]))) - zero_s
    return samples.where(~wrong_samples), events.where(~wrong_events), times


def _durations(given: Columns, column: str) -> Floats:
    """A column of durations with NaN for those that are negative, which are damage."""
    values = given.numbers(column)
    return np.where(values >= 0, values, np.nan)


def _timeout_s(info: RunInfo) -> float:
    """The time limit of a request; +inf when the settings do not have it."""
    timeout_s = info.settings.get("request_timeout_s")
    return float(timeout_s) if isinstance(timeout_s, int | float) else math.inf


def _requests(given: Columns, zero_s: float, timeout_s: float) -> Requests:
    ids, scheduled_s = given.numbers("request_id").astype(np.int64), given.numbers("scheduled_s")
    order = np.lexsort((ids, scheduled_s))

    def times(column: str) -> Floats:
        return given.numbers(column)[order] - zero_s

    outcome, cause = given.texts("outcome")[order], given.texts("cause")[order]
    ok = outcome == Outcome.OK
    timed_out = (given.numbers("ended_s") - given.numbers("sent_s") >= timeout_s)[order]
    return Requests(
        ids=ids[order],
        scheduled_s=scheduled_s[order] - zero_s,
        sent_s=times("sent_s"),
        first_s=times("first_token_s"),
        last_s=times("last_token_s"),
        ended_s=times("ended_s"),
        outcome=outcome,
        cause=cause,
        output_tokens=given.numbers("output_tokens")[order],
        max_tokens=given.numbers("max_tokens")[order],
        ok=ok,
        stopped=(cause == Cause.RUN_STOPPED) & ~ok & ~timed_out,
        by_generator=cause.isin(GENERATOR_CAUSES),
        engine_queue_s=_durations(given, "engine_queue_s")[order],
        engine_prefill_s=_durations(given, "engine_prefill_s")[order],
        engine_decode_s=_durations(given, "engine_decode_s")[order],
        pod=given.texts("pod")[order],
    )


def _parts(tables: Tables) -> Iterable[pa.Table]:
    """The token times part by part."""
    if isinstance(tables.tokens, pa.Table) or hasattr(tables.tokens, "columns"):  # in one, as Arrow or pandas have it
        return [arrow("tokens", tables.tokens)]
    return tables.tokens


def _signals(given: Columns, zero_s: float) -> dict[str, dict[str, Series]]:
    times, values = given.numbers("t_s") - zero_s, given.numbers("value")
    signal, pod = given.texts("signal"), given.texts("pod")
    series = series_of(signal, pod)
    order, _ = groups(series, times)
    result: dict[str, dict[str, Series]] = {}
    for part in np.split(order, np.flatnonzero(np.diff(series[order])) + 1):
        if not len(part):
            continue
        t = times[part]
        last_of_time = np.append(np.diff(t) > 0, True)
        name, of = signal[int(part[0])], pod[int(part[0])]
        result.setdefault(str(name), {})[of or ""] = Series(t[last_of_time], values[part][last_of_time])
    return {name: dict(sorted(result[name].items())) for name in sorted(result)}


def _events(given: Columns, zero_s: float, rows: int) -> tuple[tuple[Event, ...], list[Damage]]:
    """The events in order, and the damage of their data, which costs only the fields at fault."""
    times = given.numbers("t_s")
    order = np.argsort(times, kind="stable")
    texts = [given.texts(name)[order].tolist() for name in ("kind", "pod", "reason", "message", "data")]
    events, counts, examples = [], dict[str, int](), dict[str, str]()
    parsed = {text: parse_data(text) for text in set(texts[-1])}
    for t_s, kind, pod, reason, message, text in zip(times[order].tolist(), *texts, strict=True):
        data, faults = parsed[text]
        for fault, value in faults.items():
            counts[fault] = counts.get(fault, 0) + 1
            examples.setdefault(fault, f"kind {clean(kind, 40)}, t_s {t_s}: {value}")
        event = Event(t_s=t_s - zero_s, kind=str(kind), pod=pod, reason=reason, message=message, data=data)
        events.append(event)
    damage = [
        Damage(table="events", rows=rows, count=count, fault=fault, example=examples[fault], left_out=False)
        for fault, count in counts.items()
    ]
    return tuple(events), damage
