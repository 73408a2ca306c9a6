"""Changes of the replica count and the HPA's reports; times are seconds since 1970, the first count is 1."""

from datetime import UTC, datetime

import pytest

from loadgen.kube.observe.rescales import RescaleTracker, new_size

OTHER, OWN = "NotByAutoscaler", "SuccessfulRescale"


def stamp(unix_s):
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def event(size, at, count=1, uid=None):
    """An event of the HPA; the event correlator counts repeated ones."""
    return {
        "metadata": {"uid": uid or f"to-{size}"},
        "reason": OWN,
        "message": f"New size: {size}; reason: pods metric r above target",
        "lastTimestamp": stamp(at),
        "count": count,
    }


def hpa(desired, scaled_at):
    return {"status": {"desiredReplicas": desired, "lastScaleTime": stamp(scaled_at)}}


@pytest.fixture
def rescales():
    tracker = RescaleTracker(has_hpa=True)
    tracker.set_replicas(1, 900.0)
    return tracker


def events(rescales, now_s, **options):
    flushed = rescales.flush(now_s, **options)
    return [(each.unix_s, each.data["before"], each.data["after"], each.reason) for each in flushed]


def test_a_manual_change_is_not_attributed_to_the_hpa(rescales):
    """`kubectl scale` to 3: no event and no new lastScaleTime."""
    rescales.set_replicas(3, 1000.0)
    assert events(rescales, 1004.0) == []
    assert events(rescales, 1006.0) == [(1000.0, 1, 3, OTHER)]


def test_events_of_other_rescales_do_not_match(rescales):
    """One of ten minutes ago to the same size, and one that is too old when the count comes back down."""
    rescales.add_event(event(2, 400), 1000.0)
    rescales.set_replicas(4, 1000.0)
    rescales.set_replicas(2, 1100.0)
    assert events(rescales, 1106.0) == [(1000.0, 1, 4, OTHER), (1100.0, 4, 2, OTHER)]


def test_an_event_matches_once(rescales):
    """Listing it again adds nothing; a repeated event has a new count and a new time."""
    rescales.add_event(event(3, 1000), 1000.5)
    rescales.set_replicas(3, 1000.5)
    rescales.add_event(event(3, 1000), 1001.0)
    rescales.set_replicas(1, 1001.0)
    rescales.set_replicas(3, 1002.0)
    rescales.add_event(event(3, 1000), 1003.0)
    assert events(rescales, 1010.0) == [(1000.5, 1, 3, OWN), (1001.0, 3, 1, OTHER), (1002.0, 1, 3, OTHER)]
    rescales.set_replicas(1, 1100.0)
    rescales.add_event(event(1, 1100), 1100.0)
    rescales.set_replicas(3, 1200.0)
    rescales.add_event(event(3, 1200, count=2), 1200.0)
    assert events(rescales, 1210.0) == [(1100.0, 3, 1, OWN), (1200.0, 1, 3, OWN)]


def test_the_status_alone_is_sufficient(rescales):
    """Events may be unreadable or dropped: the new lastScaleTime proves the rescale."""
    rescales.add_status(hpa(3, 1000))
    rescales.set_replicas(3, 1000.2)
    rescales.add_status(hpa(3, 1000))
    rescales.set_replicas(1, 1003.0)
    rescales.add_status(hpa(1, 1003))
    (first, second) = rescales.flush(1010.0)
    assert (first.reason, first.message) == (OWN, None)
    assert (second.unix_s, second.reason) == (1003.0, OWN)


@pytest.mark.parametrize(
    ("observed_s", "stamp_s", "decided_s"),
    [
        (1000.7, 1000, 1000.7),  # the same second: the observation is more precise
        (1000.9, 1001, 1000.9),  # observed before the HPA reported it
        (1002.4, 1000, 1000.0),  # observed late
    ],
)
def test_a_rescale_has_the_api_s_time_unless_the_observation_is_more_precise(rescales, observed_s, stamp_s, decided_s):
    rescales.add_event(event(3, stamp_s), observed_s)
    rescales.set_replicas(3, observed_s)
    assert events(rescales, observed_s + 0.1) == [(decided_s, 1, 3, OWN)]


def test_a_rescale_in_a_gap_has_the_time_of_its_event(rescales):
    """The gap lasts from 1000 to 1050 s; the event has 1010 s."""
    rescales.set_replicas(3, 1050.0, disconnected_since_s=1000.0)
    rescales.add_event(event(3, 1010), 1050.0)
    (each,) = rescales.flush(1056.0)
    assert (each.unix_s, each.reason, dict(each.data)) == (1010.0, OWN, {"before": 1, "after": 3})
    assert each.message.endswith("above target (while the watch was disconnected)")


def test_a_rescale_in_a_gap_has_the_time_of_the_status_without_an_event(rescales):
    rescales.set_replicas(3, 1050.0, disconnected_since_s=1000.0)
    rescales.add_status(hpa(3, 1010))
    assert events(rescales, 1056.0) == [(1010.0, 1, 3, OWN)]


def test_several_rescales_in_a_gap_are_reported_from_their_events(rescales):
    """1 → 2 → 4 → 3, of which only the first and the last count were observed; an earlier event does not match."""
    rescales.add_event(event(5, 900), 901.0)
    rescales.set_replicas(3, 1050.0, disconnected_since_s=1000.0)
    for size, at in ((2, 1010), (4, 1020), (3, 1040)):
        rescales.add_event(event(size, at), 1050.0)
    assert events(rescales, 1056.0) == [(1010.0, 1, 2, OWN), (1020.0, 2, 4, OWN), (1040.0, 4, 3, OWN)]


def test_rescales_in_a_gap_that_return_to_the_same_count_are_reported(rescales):
    """1 → 3 → 1; a gap without events adds nothing."""
    rescales.set_replicas(1, 1050.0, disconnected_since_s=1000.0)
    rescales.add_event(event(3, 1010), 1050.0)
    rescales.add_event(event(1, 1030), 1050.0)
    assert events(rescales, 1056.0) == [(1010.0, 1, 3, OWN), (1030.0, 3, 1, OWN)]
    rescales.set_replicas(1, 1150.0, disconnected_since_s=1100.0)
    assert events(rescales, 1156.0) == []


def test_an_unreported_change_in_a_gap_has_an_uncertainty(rescales):
    """1 → 2 at 1010 s by the HPA; 2 → 3 by something else during the 40 s before it was observed."""
    rescales.set_replicas(3, 1050.0, disconnected_since_s=1000.0)
    rescales.add_event(event(2, 1010), 1050.0)
    first, second = rescales.flush(1056.0)
    assert (first.unix_s, first.data) == (1010.0, {"before": 1, "after": 2})
    assert (second.unix_s, second.reason) == (1050.0, OTHER)
    assert second.data == {"before": 2, "after": 3, "late_s": 40.0}


def test_a_missing_report_proves_nothing_while_the_watch_is_disconnected(rescales):
    """After a minute, the change is reported without a reason."""
    rescales.set_replicas(3, 1000.0)
    assert events(rescales, 1030.0, disconnected=True) == []
    assert events(rescales, 1061.0, disconnected=True) == [(1000.0, 1, 3, None)]


def test_without_an_hpa_changes_are_reported_at_once():
    """The cause of the change is unknown."""
    tracker = RescaleTracker(has_hpa=False)
    tracker.set_replicas(1, 900.0)
    tracker.set_replicas(2, 1000.0)
    assert events(tracker, 1000.0) == [(1000.0, 1, 2, None)]


def test_the_new_size_is_parsed_from_the_event():
    """Other events of an HPA have no size."""
    message = "New size: 4; reason: pods metric triton:queue_compute:ratio above target"
    assert new_size({"reason": OWN, "message": message}) == (4, message)
    assert new_size({"reason": "FailedGetPodsMetric", "message": "New size: 4;"}) is None
