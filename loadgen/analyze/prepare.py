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
    Delivery,
    Event,
    Floats,
    Ints,
    Observed,
    Requests,
    Series,
    Tables,
)
from loadgen.analyze.request_rows import RequestRows
from loadgen.analyze.rows import MONOTONIC_EVENTS, MONOTONIC_SIGNALS, OUTSIDE_S, Checked, checked, series_of, span
from loadgen.analyze.stats import quantile
from loadgen.analyze.tokens import Tokens
from loadgen.base.text import clean
from loadgen.dataset.names import GENERATOR_CAUSES, Cause, Outcome, TokenSource
from loadgen.dataset.run_info import RunInfo


def observe(info: RunInfo, tables: Tables) -> Observed:
    """Check, sort and shift the tables; token times are only read when the answers are iterated."""
    zero = info.load_start_s or 0.0
    given = RequestRows(info, tables)
    rows = checked(info, tables)
    earliest_s, latest_s = span(info)
    requests, chunks, delivery = _requests(given, zero, _timeout_s(info))
    samples, events_table, misdated = _of_this_run(info, rows, requests, zero)
    events, event_damage = _events(events_table, zero, len(tables.events))
    events, signals = split_incarnations(events, _signals(samples, zero))
    due = requests.due
    recorded = _range(requests.scheduled_s[due], requests.ended_s[due])
    others = [np.array([event.t_s for event in events])]
    others += [series.t_s for pods in signals.values() for series in pods.values()]
    everything = _range(np.array(recorded), *others)
    first, last = everything or (0.0, 0.0)
    length: float | None = None
    if info.load_start_s is not None:
        last_record = (recorded or everything or (0.0, 0.0))[1]
        length = max(last_record if info.load_end_s is None else info.load_end_s - zero, 0.0)
    return Observed(
        info=info,
        zero_s=zero,
        length_s=length,
        first_s=min(first, 0.0),
        last_s=max(last, length or 0.0),
        interrupted=info.state in ("starting", "loading"),
        requests=requests,
        delivery=delivery,
        answers=Tokens(parts=_parts(tables), zero_s=zero, earliest_s=earliest_s, latest_s=latest_s, ids=requests.ids),
        signals=signals,
        events=events,
        misdated_s=misdated,
        damage=(*given.damage, *rows.damage, *event_damage),
        chunks=chunks,
    )


def _range(*times: Floats) -> tuple[float, float] | tuple[()]:
    """The first and the last of the times that are finite; empty without one."""
    found = [each[np.isfinite(each)] for each in times]
    found = [each for each in found if len(each)]
    return (min(float(each.min()) for each in found), max(float(each.max()) for each in found)) if found else ()


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
        np.array(_range(requests.scheduled_s, requests.ended_s)) + zero_s,
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


def _timeout_s(info: RunInfo) -> float:
    """The time limit of a request; +inf when the settings do not have it."""
    timeout_s = info.settings.get("request_timeout_s")
    return float(timeout_s) if isinstance(timeout_s, int | float) else math.inf


def _requests(given: RequestRows, zero_s: float, timeout_s: float) -> tuple[Requests, bool, Delivery]:
    """The requests in order of their due time, whether chunks were counted, and how requests came onto the wire."""
    chunks = bool((given.take_texts("token_source") == TokenSource.CHUNKS).any())
    scheduled_s = given.take("scheduled_s")
    order = _by_due_time(scheduled_s, given.ids)

    def times(column: str) -> Floats:
        values = given.take(column)[order]
        values -= zero_s
        return values

    def durations(column: str) -> Floats:
        """Without those that are negative, which are damage."""
        values = given.take(column)[order]
        values[values < 0] = np.nan
        return values

    outcome, cause = given.take_texts("outcome")[order], given.take_texts("cause")[order]
    scheduled_s = scheduled_s[order]
    ok = outcome == Outcome.OK
    sent_s, ended_s = given.take("sent_s")[order], given.take("ended_s")[order]
    timed_out = ended_s - sent_s >= timeout_s
    delivery = _delivery(sent_s, given.take("on_wire_s")[order], given.take("resent"))
    for values in (scheduled_s, sent_s, ended_s):
        values -= zero_s
    requests = Requests(
        ids=given.ids[order],
        scheduled_s=scheduled_s,
        sent_s=sent_s,
        first_s=times("first_token_s"),
        last_s=times("last_token_s"),
        ended_s=ended_s,
        outcome=outcome,
        cause=cause,
        output_tokens=given.take("output_tokens")[order],
        max_tokens=given.take("max_tokens")[order],
        ok=ok,
        stopped=(cause == Cause.RUN_STOPPED) & ~ok & ~timed_out,
        by_generator=cause.isin(GENERATOR_CAUSES),
        engine_queue_s=durations("engine_queue_s"),
        engine_prefill_s=durations("engine_prefill_s"),
        engine_decode_s=durations("engine_decode_s"),
        pod=given.take_texts("pod")[order],
    )
    return requests, chunks, delivery


def _delivery(sent_s: Floats, on_wire_s: Floats, resent: Floats) -> Delivery:
    waits_s = on_wire_s - sent_s
    waits_s = waits_s[waits_s >= 0]
    known = resent[~np.isnan(resent)]
    return Delivery(
        wait_p99_s=quantile(waits_s, 0.99) if len(waits_s) else None,
        wait_max_s=float(waits_s.max()) if len(waits_s) else None,
        resent=int(known.sum()) if len(known) else None,
    )


def _by_due_time(scheduled_s: Floats, ids: Ints) -> Ints:
    """Rows in order of their due time; those that were due at the same time in order of their numbers."""
    order = np.argsort(scheduled_s)
    ordered = scheduled_s[order]
    return np.lexsort((ids, scheduled_s)) if (ordered[1:] == ordered[:-1]).any() else order


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
