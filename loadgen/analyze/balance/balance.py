"""Measures how evenly requests were spread over the ready replicas, and when new replicas got their fair share.

With k ready replicas the fair share of each is 1 / k of the requests. An answered request counts when it was sent where
requests name their replica. Otherwise the counters of a replica say how many it got: those that it answered and those
in its queue, so that a backlog does not count as a share; a request that never waited counts when it was answered.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from loadgen.analyze.balance.served import Served
from loadgen.analyze.observed import Floats, Observed, Series
from loadgen.analyze.queueing import MAX_STEP_S, increments, last_sample, resets
from loadgen.analyze.results.balance import Balance, BalanceSource, BalanceVerdict, ReplicaUse
from loadgen.analyze.scaling.replicas import Fleet, Replica
from loadgen.analyze.stats import quantile
from loadgen.dataset.names import SignalName

WINDOW_S = 30.0
"""Windows of the coefficient of variation."""
MIN_EACH = 5.0
"""Requests that must have come for each replica: with fewer, one that got none may have had bad luck."""
FAIR = 0.8
"""A replica has its fair share when it gets at least this part of it."""
FAIR_REQUESTS = 10.0
"""Requests that are its fair share in the window in which that is checked."""
PARTLY = 0.5
"""A replica with less than this part of its fair share is used in part only."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Answered requests in order: when each counts, and the number of its replica in `names`; −1 for another."""

    t_s: Floats
    replica: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    names: tuple[str, ...]


def balance(run: Observed, fleet: Fleet, by: Served) -> Balance:
    """Measure the balance during the load, with the replica of each request."""
    ready = {name: pod for name, pod in fleet.pods.items() if _ready_s(pod, run.end_s) > 0}
    if run.end_s <= 0 or not ready:
        return Balance(verdict="not known", reason="The replicas were not observed.")
    source: BalanceSource | None = "requests" if by.by_name else None
    if source is None and any(name in run.signals.get(SignalName.RAW_SUCCESS, {}) for name in ready):
        source = "counters"
    answers = None if source is None else _answers(run, by, source, tuple(ready))
    uses = _uses(run, by, ready, source, answers)
    verdict, reason = _verdict(uses)
    if answers is None:
        if verdict != "not scaled":
            verdict, reason = "not known", "Neither requests nor counters show which replica answered."
        return Balance(verdict=verdict, reason=reason, replicas=uses)
    variation, by_chance = variation_of(answers, ready, run.end_s)
    return Balance(
        verdict=verdict,
        reason=reason,
        source=source,
        replicas=uses,
        variation=variation,
        variation_by_chance=by_chance,
    )


def _ready_s(pod: Replica, end_s: float) -> float:
    return sum(max(min(end, end_s) - max(start, 0.0), 0.0) for start, end in pod.ready)


def _answers(run: Observed, by: Served, source: BalanceSource, names: tuple[str, ...]) -> Answers:
    numbers = {name: number for number, name in enumerate(names)}
    if source == "requests":
        requests = run.requests
        known = requests.ok & (by.number >= 0)
        times = requests.sent_s[known]
        replica = np.array([*(numbers.get(name, -1) for name in by.names), -1], dtype=np.int64)[by.number[known]]
    else:
        parts = []
        for name, number in numbers.items():
            got = _got(run, name)
            counts = np.round(got.value).astype(np.int64)
            use = (got.t_s > 0) & (got.t_s <= run.end_s + WINDOW_S)
            parts.append((np.repeat(got.t_s[use], counts[use]), number))
        times = np.concatenate([each for each, _ in parts]) if parts else np.empty(0)
        replica = np.concatenate([np.full(len(each), number) for each, number in parts] or [np.empty(0, np.int64)])
    order = np.argsort(times, kind="stable")
    return Answers(times[order], replica[order].astype(np.int64), names)


def _got(run: Observed, name: str) -> Series:
    """How many requests a replica got at each sample of its counters: answered ones, and those in its queue."""
    answered = run.signals.get(SignalName.RAW_SUCCESS, {}).get(name)
    if answered is None or len(answered.t_s) < 2:
        return Series(np.empty(0), np.empty(0))
    fallen = resets(run, name)
    grown = increments(answered, fallen)
    waiting = run.signals.get(SignalName.RAW_PENDING, {}).get(name)
    queued = np.zeros(len(grown.t_s))
    if waiting is not None:
        queued = np.nan_to_num(last_sample(waiting, grown.t_s, MAX_STEP_S))
    got = np.zeros(len(grown.t_s))
    edges = [0, *np.searchsorted(grown.t_s, fallen).tolist(), len(grown.t_s)]
    for first, last in pairwise(edges):
        # A request that leaves the queue for a slot is in neither number until it is answered.
        most = np.maximum.accumulate(np.cumsum(grown.value[first:last]) + queued[first:last])
        got[first:last] = np.diff(most, prepend=0.0)
    return Series(grown.t_s, got)


def _fair(answers: Answers, ready: dict[str, Replica]) -> Floats:
    """1 / (ready replicas) at the time of each answer; 0 without a ready one."""
    count = np.zeros(len(answers.t_s))
    for pod in ready.values():
        for start, end in pod.ready:
            count += (answers.t_s >= start) & (answers.t_s < end)
    return np.where(count > 0, 1.0 / np.maximum(count, 1.0), 0.0)


def _uses(
    run: Observed, by: Served, ready: dict[str, Replica], source: BalanceSource | None, answers: Answers | None
) -> tuple[ReplicaUse, ...]:
    if answers is None:
        return tuple(_unknown(run, name, pod, added=_added(pod, run.end_s)) for name, pod in ready.items())
    fair, total = _fair(answers, ready), len(answers.t_s)
    latencies = _latencies(run, by, tuple(ready)) if source == "requests" else {}
    counted = run.signals.get(SignalName.RAW_SUCCESS, {})
    uses = []
    for number, (name, pod) in enumerate(ready.items()):
        if source == "counters" and name not in counted:
            uses.append(_unknown(run, name, pod, added=_added(pod, run.end_s)))
            continue
        own = answers.replica == number
        there = _within(pod, answers.t_s)
        expected = float(fair[there].sum())
        added = _added(pod, run.end_s)
        ttft_p50, ttft_p95, e2e_p95 = latencies.get(name, (None, None, None))
        mean, peak = _connections(run, name)
        uses.append(
            ReplicaUse(
                replica=name,
                ready_s=_ready_s(pod, run.end_s),
                requests=int(own.sum()),
                share=float(own.sum()) / total if total else None,
                fair=expected,
                of_fair_ratio=float(own.sum()) / expected if expected else None,
                added=added,
                to_fair_share_s=to_fair_share(pod, answers.t_s, own, fair) if added else None,
                ttft_p50_s=ttft_p50,
                ttft_p95_s=ttft_p95,
                e2e_p95_s=e2e_p95,
                server_mean_s=_server_mean_s(run, name),
                connections_mean=mean,
                connections_peak=peak,
            )
        )
    return tuple(uses)


def _unknown(run: Observed, name: str, pod: Replica, *, added: bool) -> ReplicaUse:
    mean, peak = _connections(run, name)
    return ReplicaUse(
        replica=name,
        ready_s=_ready_s(pod, run.end_s),
        requests=None,
        share=None,
        fair=None,
        of_fair_ratio=None,
        added=added,
        connections_mean=mean,
        connections_peak=peak,
    )


def _added(pod: Replica, end_s: float) -> bool:
    return pod.ready_s is not None and 0 < pod.ready_s < end_s


def _within(pod: Replica, t_s: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    inside = np.zeros(len(t_s), dtype=np.bool_)
    for start, end in pod.ready:
        inside |= (t_s >= start) & (t_s < end)
    return inside


def to_fair_share(
    pod: Replica, t_s: Floats, own: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], fair: Floats
) -> float | None:
    """From ready to the first answer from which on a replica got its fair share; None if it never did.

    It is checked in windows of consecutive answers of which `FAIR_REQUESTS` are the fair share.

    Args:
        pod: The replica.
        t_s: When answers count, in order.
        own: Whether each is of this replica.
        fair: Its fair share of each answer.
    """
    assert pod.ready_s is not None
    until = next((end for start, end in pod.ready if start == pod.ready_s), np.inf)
    first, last = np.searchsorted(t_s, (pod.ready_s, until))
    share = np.concatenate(([0.0], np.cumsum(fair[first:last])))
    got = np.concatenate(([0], np.cumsum(own[first:last])))
    ends = np.searchsorted(share, share + FAIR_REQUESTS - 1e-9)
    whole = np.flatnonzero(ends < len(share))
    enough = whole[got[ends[whole]] - got[whole] >= FAIR * (share[ends[whole]] - share[whole]) - 1e-9]
    if not len(enough):
        return None
    return max(float(t_s[first + enough[0]]) - pod.ready_s, 0.0)


def variation_of(answers: Answers, ready: dict[str, Replica], end_s: float) -> tuple[float | None, float | None]:
    """The coefficient of variation of answers for each ready replica, and that of random choice.

    Both are means over windows of `WINDOW_S`, weighted by their answers. In a window those replicas count that were
    ready throughout; random choice of one of k replicas for n answers gives √((k − 1) / n).
    """
    total = weighted = chance = 0.0
    for number in range(int(np.ceil(end_s / WINDOW_S))):
        since, until = number * WINDOW_S, min((number + 1) * WINDOW_S, end_s)
        there = [
            index
            for index, name in enumerate(answers.names)
            if any(start <= since and end >= until for start, end in ready[name].ready)
        ]
        first, last = np.searchsorted(answers.t_s, (since, until))
        counts = np.bincount(np.maximum(answers.replica[first:last], -1) + 1, minlength=len(answers.names) + 1)[1:]
        each = counts[there]
        if len(there) < 2 or each.mean() < MIN_EACH:
            continue
        weight = float(each.sum())
        total += weight
        weighted += weight * float(each.std() / each.mean())
        chance += weight * float(np.sqrt((len(there) - 1) / each.sum()))
    return (weighted / total, chance / total) if total else (None, None)


def _latencies(run: Observed, by: Served, names: tuple[str, ...]) -> dict[str, tuple[float | None, ...]]:
    """TTFT p50 and p95, and E2E p95 of the answered requests of each replica."""
    requests = run.requests
    found = {}
    for name in names:
        own = requests.ok & by.of(name)
        ttft, e2e = requests.ttft_s[own], requests.e2e_s[own]
        ttft, e2e = ttft[np.isfinite(ttft)], e2e[np.isfinite(e2e)]
        values = (quantile(ttft, 0.50), quantile(ttft, 0.95), quantile(e2e, 0.95))
        found[name] = tuple(None if np.isnan(value) else value for value in values)
    return found


def _server_mean_s(run: Observed, name: str) -> float | None:
    """Mean of queue and compute time of a successful request, by the counters of a replica within the load."""
    fallen = resets(run, name)
    sums = []
    for signal in (SignalName.RAW_QUEUE_US, SignalName.RAW_COMPUTE_US, SignalName.RAW_SUCCESS):
        series = run.signals.get(signal, {}).get(name)
        if series is None:
            return None
        grown = increments(series, fallen)
        sums.append(float(grown.value[grown.t_s > 0].sum()))
    queue_us, compute_us, successes = sums
    return (queue_us + compute_us) / 1e6 / successes if successes > 0 else None


def _connections(run: Observed, name: str) -> tuple[float | None, int | None]:
    series = run.signals.get(SignalName.CONNECTIONS, {}).get(name)
    if series is None:
        return None, None
    values = series.value[(series.t_s >= 0) & (series.t_s <= run.end_s)]
    return (float(values.mean()), int(values.max())) if len(values) else (None, None)


def _verdict(uses: tuple[ReplicaUse, ...]) -> tuple[BalanceVerdict, str]:
    """Whether the added replicas were used; one that was ready for too few requests to tell does not count."""
    added = [use for use in uses if use.added]
    if not added:
        there = len(uses)
        every = "one replica was" if there == 1 else f"the same {there} replicas were"
        return "not scaled", f"No replica became ready during the load: {every} there throughout."
    of = f"{len(added)} added {'replica' if len(added) == 1 else 'replicas'}"
    judged = [use for use in added if use.fair is not None and use.fair >= MIN_EACH]
    if not judged:
        return "not known", f"Too few requests came for {of} to show a share."
    idle = [use for use in judged if use.requests == 0]
    if idle:
        return "scaled but not used", f"{len(idle)} of {of} answered no request: {_listed(idle)}."
    known = [(use.replica, use.of_fair_ratio) for use in judged if use.of_fair_ratio is not None]
    partly = [(replica, ratio) for replica, ratio in known if ratio < PARTLY]
    if partly:
        shares = ", ".join(f"{replica} {ratio * 100:.0f} %" for replica, ratio in partly[:3])
        return "partly used", f"{len(partly)} of {of} got less than half of their fair share: {shares}."
    every = "The one" if len(added) == 1 else "Every one of the"
    return "used", f"{every} {of.partition(' ')[2] if len(added) == 1 else of} got at least half of its fair share."


def _listed(uses: list[ReplicaUse]) -> str:
    names = [use.replica for use in uses[:3]]
    return ", ".join(names) + (", …" if len(uses) > 3 else "")
