"""Finds what each replica answered: by the replica that answers name, else by the counters of the replicas."""

from dataclasses import dataclass

import numpy as np

from loadgen.analyze.columns import Texts
from loadgen.analyze.observed import Bools, Floats, Observed
from loadgen.analyze.steps import Interval
from loadgen.dataset.names import SignalName

MOST_ANSWERS = 5_000_000
"""Counters of more answers are not followed one by one."""


@dataclass(frozen=True, slots=True)
class Answered:
    """Answers by replica, in order of time.

    Attributes:
        t_s: When each ended, or was counted.
        pod: Who answered it.
        source: What they were read from: `requests.pod` or `raw_success`.
        resolution_s: How exactly the times are known.
    """

    t_s: Floats
    pod: Texts
    source: str
    resolution_s: float


def answered(run: Observed) -> Answered | None:
    """What each replica answered; None if neither answers nor counters tell, and if counters count too many answers."""
    requests = run.requests
    named = requests.ok & named_pods(run)
    if named.any() and named.sum() >= requests.ok.sum() / 2:
        order = np.argsort(requests.ended_s[named], kind="stable")
        return Answered(requests.ended_s[named][order], requests.pod[named][order], "requests.pod", 0.0)
    times: list[Floats] = []
    pods: list[str] = []
    steps: list[Floats] = []
    left = float(MOST_ANSWERS)
    for pod, series in run.signals.get(SignalName.RAW_SUCCESS, {}).items():
        # A counter that falls was reset by a restart, and its new value is what was counted since.
        more = np.diff(series.value, prepend=series.value[:1])
        more = np.clip(np.where(more < 0, series.value, more), 0, MOST_ANSWERS + 1)
        left -= float(more.sum())
        if left < 0:
            return None
        counted = np.repeat(series.t_s, more.astype(np.int64))
        times.append(counted)
        pods.append(pod)
        steps.append(np.diff(series.t_s))
    if not times or not sum(map(len, times)):
        return None
    at = np.concatenate(times)
    code = np.repeat(np.arange(len(pods), dtype=np.int32), [len(each) for each in times])
    order = np.argsort(at, kind="stable")
    return Answered(at[order], Texts(code[order], tuple(pods)), "raw_success", float(np.median(np.concatenate(steps))))


def named_pods(run: Observed) -> Bools:
    """Whether each request has the name of the replica that answered it."""
    return run.requests.pod.known


def spans_by_pod(t_s: Floats, pods: Texts) -> dict[str, Interval]:
    """The first and the last time of each replica.

    Args:
        t_s: Times, none of them NaN.
        pods: The replica of each.
    """
    first, last = np.full(len(pods.names), np.inf), np.full(len(pods.names), -np.inf)
    np.minimum.at(first, pods.code, t_s)
    np.maximum.at(last, pods.code, t_s)
    found = zip(pods.names, first.tolist(), last.tolist(), strict=True)
    return {name: (since, until) for name, since, until in found if since <= until}
