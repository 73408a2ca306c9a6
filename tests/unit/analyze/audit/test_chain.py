"""The links from the signal over its target to the decision, with known times.

22 s  the counters are beyond 1.1: Σ queue / Σ compute of 10 s is 0.3 · (t − 18)
23 s  scraped      24 s  the rule      30 s  a sync reads 1.05      45 s  a sync reads 3 and decides
"""

import numpy as np
import pytest

from loadgen.analyze.audit.chain import DecisionChain
from loadgen.analyze.observed import Series
from loadgen.analyze.results import ScalingEvent
from loadgen.analyze.scaling.replicas import fleet
from support.runs.tables import SCALER, info, life, observed, series

DECIDED_S = 45.0


def event(over_target_s):
    return ScalingEvent(
        direction="up", before=1, after=3, reason="", trigger_s=None, over_target_s=over_target_s, decided_s=DECIDED_S,
        created_s=None, scheduled_s=None, started_s=None, ready_s=None, serving_s=None, recovered_s=None, pods=(),
        complete=False,
    )  # fmt: skip


def counters():
    """From 18 s on, 3 s of queue and 1 s of compute every second; before, 1 s of compute."""
    times = [float(t) for t in range(-9, 61)]
    compute = {t: (t + 9) * 1e6 for t in times}
    queue = {t: max(t - 18.0, 0.0) * 3e6 for t in times}
    return [*series("raw_queue_us", "a", queue), *series("raw_compute_us", "a", compute)]


def links(*samples, ratio=None, over_target_s=24.0, syncs=(15.0, 30.0, DECIDED_S), **changes):
    run = observed(info(**changes), events=life("a", -9, -5), samples=[*counters(), *samples])
    times = np.arange(0.0, 60.0, 2.0)
    read = Series(times, np.where(times >= 24, 1.2, 0.5)) if ratio is None else ratio
    chain = DecisionChain(run, fleet(run), SCALER, read, syncs)
    return {link.name: link for link in chain.links(event(over_target_s))}


def rule_samples():
    return series("ratio", "a", {float(t): 1.2 if t >= 24 else 0.5 for t in range(0, 60, 2)})


def scrapes():
    return series("up", "a", {float(t): 1.0 for t in range(-7, 60, 5)})  # … 18, 23, 28


def test_each_link_ends_when_it_did():
    """The times, and the seconds since the link before."""
    found = links(*scrapes(), *rule_samples())
    assert [(name, link.at_s, link.took_s) for name, link in found.items()] == [
        ("signal", 22.0, None),
        ("scrape", 23.0, 1.0),
        ("rule", 24.0, 1.0),
        ("adapter", None, None),
        ("sync", 30.0, 6.0),
        ("decided", 45.0, 15.0),
    ]
    assert (found["signal"].resolution_s, found["scrape"].resolution_s, found["rule"].resolution_s) == (2.0, 1.0, 2.0)
    assert found["adapter"].why_missing == (
        "the metrics API queries Prometheus in each sync, so it has no time of its own"
    )


def test_the_links_add_up():
    """From the first to the last observed link nothing is lost and nothing counts twice."""
    found = links(*scrapes(), *rule_samples())
    took = sum(link.took_s for link in found.values() if link.took_s is not None)
    assert took == DECIDED_S - 22.0


def test_a_link_without_data_is_not_observed():
    """Without scrapes, its time is part of the rule's."""
    found = links(*rule_samples())
    assert (found["scrape"].at_s, found["scrape"].why_missing) == (None, "no scrape in between was recorded")
    assert found["rule"].took_s == 2.0


def test_a_polled_metrics_api_has_its_own_link():
    """On a cluster: the API served it at 26 s, and times are known to 1.5 s."""
    polled = series("autoscaler_ratio", "a", {float(t): 1.2 if t >= 26 else 0.5 for t in range(1, 60, 5)})
    found = links(*scrapes(), *rule_samples(), *polled)
    assert (found["adapter"].at_s, found["adapter"].took_s, found["adapter"].resolution_s) == (26.0, 2.0, 5.0)
    assert found["sync"].took_s == 4.0


def test_no_sync_held():
    """The decision was the first sync: no time passed in between."""
    found = links(*scrapes(), *rule_samples(), syncs=(15.0, DECIDED_S))
    assert (found["sync"].at_s, found["decided"].took_s) == (DECIDED_S, 0.0)


@pytest.mark.parametrize("ratio", [Series(np.empty(0), np.empty(0)), Series(np.arange(60.0), np.full(60, 0.5))])
def test_without_a_crossing_no_link_is_known(ratio):
    """The ratio was not sampled, or was not over its target: only the decision is known, and every link says why."""
    found = links(ratio=ratio)
    assert [name for name, link in found.items() if link.at_s is not None] == ["decided"]
    assert {link.why_missing for name, link in found.items() if name != "decided"} == {
        "the sampled ratio was not beyond its target at the decision"
    }


def test_a_second_decision_on_the_same_crossing_waits_from_the_first():
    """A decision at 30 s was on the same crossing: of this one, only the syncs after it are links."""
    found = links(*scrapes(), *rule_samples(), over_target_s=30.0, syncs=(15.0, 30.0, 40.0, DECIDED_S))
    assert {name: link.at_s for name, link in found.items() if link.at_s is not None} == {"sync": 40.0, "decided": 45.0}
    assert (found["sync"].took_s, found["decided"].took_s) == (10.0, 5.0)
    assert found["rule"].why_missing == "the signal was already beyond its target before the last decision or load step"
