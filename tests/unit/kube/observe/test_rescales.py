"""Changes of the desired count and the autoscaler's words; times are seconds since 1970, the count is 1 at first."""

from datetime import UTC, datetime

import pytest

from loadgen.kube.observe.rescales import Rescales, new_size

OTHER, OWN = "NotByAutoscaler", "SuccessfulRescale"


def stamp(unix_s):
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def event(size, at, count=1, uid=None):
    """Words of the autoscaler; its event correlator counts repeated ones."""
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
    begun = Rescales(scaled=True)
    begun.count(1, 900.0)
    return begun


def told(rescales, now_s, **how):
    found = rescales.settle(now_s, **how)
    return [(each.unix_s, each.data["before"], each.data["after"], each.reason) for each in found]


def test_a_count_that_somebody_sets_is_not_the_autoscaler_s(rescales):
    """`kubectl scale` to 3: no event and no new time of the last scaling."""
    rescales.count(3, 1000.0)
    assert told(rescales, 1004.0) == []
    assert told(rescales, 1006.0) == [(1000.0, 1, 3, OTHER)]


def test_another_rescale_s_event_says_nothing(rescales):
    """One of an hour ago to the same size, and one for the way up that is long used when the way down comes."""
    rescales.event(event(2, 400), 1000.0)
    rescales.count(4, 1000.0)
    rescales.count(2, 1100.0)
    assert told(rescales, 1106.0) == [(1000.0, 1, 4, OTHER), (1100.0, 4, 2, OTHER)]


def test_an_event_is_used_once(rescales):
    """Listed again it is no news; when it is repeated its count and time change, and it is."""
    rescales.event(event(3, 1000), 1000.5)
    rescales.count(3, 1000.5)
    rescales.event(event(3, 1000), 1001.0)
    rescales.count(1, 1001.0)
    rescales.count(3, 1002.0)
    rescales.event(event(3, 1000), 1003.0)
    assert told(rescales, 1010.0) == [(1000.5, 1, 3, OWN), (1001.0, 3, 1, OTHER), (1002.0, 1, 3, OTHER)]
    rescales.count(1, 1100.0)
    rescales.event(event(1, 1100), 1100.0)
    rescales.count(3, 1200.0)
    rescales.event(event(3, 1200, count=2), 1200.0)
    assert told(rescales, 1210.0) == [(1100.0, 3, 1, OWN), (1200.0, 1, 3, OWN)]


def test_the_status_alone_is_proof(rescales):
    """Events may not be readable, or are dropped when there are many: the time of the last scaling is new."""
    rescales.status(hpa(3, 1000))
    rescales.count(3, 1000.2)
    rescales.status(hpa(3, 1000))
    rescales.count(1, 1003.0)
    rescales.status(hpa(1, 1003))
    (first, second) = rescales.settle(1010.0)
    assert (first.reason, first.message) == (OWN, None)
    assert (second.unix_s, second.reason) == (1003.0, OWN)


@pytest.mark.parametrize(
    ("seen_s", "stamp_s", "decided_s"),
    [
        (1000.7, 1000, 1000.7),  # the same second: what was seen is finer
        (1000.9, 1001, 1000.9),  # seen before the autoscaler wrote of it
        (1002.4, 1000, 1000.0),  # seen late
    ],
)
def test_a_decision_has_the_api_s_time_unless_what_was_seen_is_finer(rescales, seen_s, stamp_s, decided_s):
    rescales.event(event(3, stamp_s), seen_s)
    rescales.count(3, seen_s)
    assert told(rescales, seen_s + 0.1) == [(decided_s, 1, 3, OWN)]


def test_a_rescale_in_a_gap_has_the_time_of_its_event(rescales):
    """Nobody looked from 1000 to 1050 s; the event says 1010 s."""
    rescales.count(3, 1050.0, blind_since_s=1000.0)
    rescales.event(event(3, 1010), 1050.0)
    (each,) = rescales.settle(1056.0)
    assert (each.unix_s, each.reason, dict(each.data)) == (1010.0, OWN, {"before": 1, "after": 3})
    assert each.message.endswith("above target (in a time without the watch)")


def test_a_rescale_in_a_gap_has_the_time_of_the_status_without_an_event(rescales):
    rescales.count(3, 1050.0, blind_since_s=1000.0)
    rescales.status(hpa(3, 1010))
    assert told(rescales, 1056.0) == [(1010.0, 1, 3, OWN)]


def test_several_rescales_in_a_gap_are_told_by_their_events(rescales):
    """1 → 2 → 4 → 3, of which only the first and the last count were seen; the event of an earlier rescale is none."""
    rescales.event(event(5, 900), 901.0)
    rescales.count(3, 1050.0, blind_since_s=1000.0)
    for size, at in ((2, 1010), (4, 1020), (3, 1040)):
        rescales.event(event(size, at), 1050.0)
    assert told(rescales, 1056.0) == [(1010.0, 1, 2, OWN), (1020.0, 2, 4, OWN), (1040.0, 4, 3, OWN)]


def test_rescales_in_a_gap_that_come_back_to_the_same_count_are_told(rescales):
    """1 → 3 → 1; a gap without any is none."""
    rescales.count(1, 1050.0, blind_since_s=1000.0)
    rescales.event(event(3, 1010), 1050.0)
    rescales.event(event(1, 1030), 1050.0)
    assert told(rescales, 1056.0) == [(1010.0, 1, 3, OWN), (1030.0, 3, 1, OWN)]
    rescales.count(1, 1150.0, blind_since_s=1100.0)
    assert told(rescales, 1156.0) == []


def test_what_no_event_tells_of_a_gap_has_its_uncertainty(rescales):
    """1 → 2 at 1010 s by the autoscaler; 2 → 3 by somebody at some time in the 40 s until it was seen."""
    rescales.count(3, 1050.0, blind_since_s=1000.0)
    rescales.event(event(2, 1010), 1050.0)
    first, second = rescales.settle(1056.0)
    assert (first.unix_s, first.data) == (1010.0, {"before": 1, "after": 2})
    assert (second.unix_s, second.reason) == (1050.0, OTHER)
    assert second.data == {"before": 2, "after": 3, "late_s": 40.0}


def test_the_silence_of_an_autoscaler_that_is_not_heard_says_nothing(rescales):
    """Its watches are broken: waited for a minute, then told without a reason."""
    rescales.count(3, 1000.0)
    assert told(rescales, 1030.0, unheard=True) == []
    assert told(rescales, 1061.0, unheard=True) == [(1000.0, 1, 3, None)]


def test_without_an_autoscaler_nobody_is_waited_for():
    """Who changes the count is not known."""
    begun = Rescales(scaled=False)
    begun.count(1, 900.0)
    begun.count(2, 1000.0)
    assert told(begun, 1000.0) == [(1000.0, 1, 2, None)]


def test_the_words_of_a_rescale_come_from_its_event():
    """Other events of an HPA speak of no size."""
    said = "New size: 4; reason: pods metric triton:queue_compute:ratio above target"
    assert new_size({"reason": OWN, "message": said}) == (4, said)
    assert new_size({"reason": "FailedGetPodsMetric", "message": "New size: 4;"}) is None
