"""What the observer records of times in which a watch was interrupted."""

import pytest

from loadgen.dataset.stack import StackFolder
from support.kube.watched import deployment, disconnected, event, gaps, journal, now, pod, rescale_event


def test_a_pod_that_is_missing_after_a_gap_has_stopped(folder, observer):
    """The API server was unreachable from 103 to 108 s; the new list does not contain the pod."""
    at = now(folder)
    observer.handle(event("workloads", "ADDED", deployment(1), at))
    observer.handle(event("pods", "LISTED", {"items": [pod("a")]}, at))
    observer.handle(disconnected("pods", at + 3, at + 5))
    observer.handle(disconnected("pods", at + 3, at + 7, "another reason"))
    observer.handle(event("pods", "LISTED", {"items": []}, at + 8))
    observer.flush(at + 8)
    assert StackFolder(folder.path).read().replicas == ()
    kinds = [each["kind"] for each in journal(folder)]
    assert {"replica_draining", "replica_stopped", "collect_gap"} <= set(kinds)
    assert gaps(folder) == [("pods", 103.0, 108.0, "watch of pods interrupted: timeout")]


@pytest.mark.parametrize("source", ["hpas", "workloads", "events", "rescales", "nodes", "replicasets"])
def test_each_watch_has_its_own_gaps(folder, observer, source):
    """Including optional ones."""
    at = now(folder)
    observer.handle(disconnected(source, at + 3, at + 5))
    observer.handle(event(source, "LISTED", {"items": []}, at + 8))
    assert [gap[:3] for gap in gaps(folder)] == [(source, 103.0, 108.0)]


def test_an_outage_that_lasts_to_the_end_of_the_run_is_a_gap(folder, observer):
    """The watch is never restarted."""
    at = now(folder)
    observer.handle(event("pods", "LISTED", {"items": []}, at))
    observer.handle(disconnected("pods", at + 3, at + 5))
    observer.close(at + 60)
    assert [gap[:3] for gap in gaps(folder)] == [("pods", 103.0, 160.0)]


def test_a_watch_that_is_restarted_at_once_has_no_gap(folder, observer):
    """Its resource version expired, and it has a new list half a second later."""
    at = now(folder)
    observer.handle(disconnected("pods", at, at + 0.1))
    observer.handle(event("pods", "LISTED", {"items": []}, at + 0.5))
    assert journal(folder) == []


def test_a_rescale_in_a_gap_waits_for_the_watch_of_its_events(folder, observer):
    """The workload is listed again at 110 s, the HPA's events only at 130 s: they have 104 s."""
    at = float(round(now(folder)))
    observer.handle(event("workloads", "LISTED", {"items": [deployment(1)]}, at))
    for source in ("workloads", "rescales", "hpas"):
        observer.handle(disconnected(source, at + 1, at + 2))
    observer.handle(event("workloads", "LISTED", {"items": [deployment(3)]}, at + 10))
    observer.flush(at + 29)
    assert [each["kind"] for each in journal(folder)] == ["collect_gap"]
    observer.handle(event("hpas", "LISTED", {"items": []}, at + 30))
    observer.handle(event("rescales", "LISTED", {"items": [rescale_event(3, at + 4)]}, at + 30))
    observer.flush(at + 30)
    recorded = next(each for each in journal(folder) if each["kind"] == "hpa_rescale")
    assert (recorded["t_s"], recorded["reason"]) == (pytest.approx(104, abs=0.5), "SuccessfulRescale")
