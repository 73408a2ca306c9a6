"""The advice for a missing ratio: the cause is the real one, and the advice can be followed."""

import pytest

from loadgen.analyze.findings.validity import validity
from loadgen.analyze.results import Window
from loadgen.analyze.scaling.replicas import fleet
from loadgen.dataset.run_info import SIGNAL_NOT_OBSERVED, ClusterInfo
from support.runs.tables import ZERO_S, by_code, event, info, life, observed, request, series

REQUESTS = [request(n, float(n)) for n in range(60)]
READY = life("a", -9, -5)
NO_RIGHT = f"missing RBAC permissions: list on services cluster-wide, or --kube-prometheus ({SIGNAL_NOT_OBSERVED})"
NOT_FOUND = f"no Prometheus was found on the cluster: without --kube-prometheus {SIGNAL_NOT_OBSERVED}"
REFUSED = f"Prometheus m/p:9090 does not answer from here (status 401); …: without it, {SIGNAL_NOT_OBSERVED}"


def cluster(*lacking):
    return ClusterInfo(
        kind="Deployment",
        workload="llm",
        namespace="serving",
        context="c",
        endpoint="ingress",
        balances="requests",
        lacking=lacking,
    )


def scrapes(value, times=range(60)):
    return series("up", "a", {float(t): value for t in times})


def outage(start, end):
    return event(start, "collect_gap", source="prometheus", from_s=start + ZERO_S, to_s=end + ZERO_S)


@pytest.mark.parametrize(
    ("on", "samples", "events", "says"),
    [
        *(
            (cluster("no events", reason), [], [], f"be judged: {reason}. Grant what is missing, or name a Prometheus")
            for reason in (NO_RIGHT, NOT_FOUND, REFUSED)
        ),
        (
            cluster(),
            [],
            [outage(0, 60)],
            "Prometheus did not answer. Check logs/collector.log for its answers (a refusal",
        ),
        (
            None,
            [],
            [outage(0, 60)],
            "Prometheus did not answer. Check logs/collector.log for its answers and the log of",
        ),
        (cluster(), scrapes(0.0), [], "Prometheus could not scrape the replicas. Its page of targets has the error"),
        (None, scrapes(0.0), [], "Prometheus could not scrape the replicas. Check the logs of the replicas in logs/"),
        (
            cluster("the value of something else is not recorded"),
            scrapes(1.0),
            [],
            "scraped the replicas but has no series queue_compute_ratio for them. Check that a recording rule makes it",
        ),
        (
            cluster(),
            [],
            [],
            "no scrape of a replica was recorded. Check that Prometheus scrapes the replicas, as a Servi",
        ),
        (None, [], [], "no scrape of a replica was recorded. Check that Prometheus scrapes the replicas and that"),
    ],
)
def test_a_load_without_any_sample(on, samples, events, says):
    """A missing right, a Prometheus that is not there or does not answer, failed scrapes, a missing rule or target."""
    run = observed(info(cluster=on), requests=REQUESTS, samples=samples, events=[*READY, *events])
    found = by_code(validity(run, fleet(run)), "validity.signal")
    assert not found.passed
    assert found.advice.startswith("The ratio was not recorded during the load, so scaling cannot be judged: ")
    assert says in found.advice


@pytest.mark.parametrize(
    ("on", "samples", "events", "says"),
    [
        (
            cluster(),
            [],
            [outage(21, 30)],
            "Prometheus did not answer during this time, and the autoscaler reads its met",
        ),
        (
            None,
            scrapes(0.0, range(21, 31)),
            [],
            "could not scrape any replica during this time. Check the logs of the r",
        ),
        (
            cluster(),
            scrapes(0.0, range(21, 31)),
            [],
            "during this time. Its page of targets has the error: check the p",
        ),
        (
            cluster(),
            scrapes(1.0),
            [],
            "but its recording rule gave no ratio: check that the rule is evaluated as often",
        ),
        (cluster(), [], [], "check in the log of Prometheus and in logs/collector.log which of the two stalled"),
        (None, [], [], "check in the logs of Prometheus and in logs/collector.log which of the two stalled"),
    ],
)
def test_a_gap_between_samples(on, samples, events, says):
    """No ratio from 20 to 31 s: Prometheus, its scrapes, its rule, or no trace of either."""
    ratio = series("ratio", "a", {float(t): 0.5 for t in (*range(-5, 21), *range(31, 60))})
    run = observed(info(cluster=on), requests=REQUESTS, samples=ratio + samples, events=[*READY, *events])
    found = by_code(validity(run, fleet(run)), "validity.scrape_gap")
    assert (found.passed, found.window) == (False, Window(20.0, 31.0))
    assert says in found.advice
