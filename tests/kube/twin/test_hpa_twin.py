"""The HPA twin compared with the HPA controller of a real kube-controller-manager (see `docs/hpa-twin.md`).

Needs the sandbox's build; all series are recorded in parallel in one control plane, in about two minutes.
"""

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from support.hpa.record import record
from support.hpa.replay import closest_call_s, differences
from support.hpa.series import SERIES

NAMES = [series.name for series in SERIES.values() if series.tier != "slow"]
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def recordings() -> dict[str, Any]:
    return {each["series"]: each for each in record("fast")}


def conditions(recordings):
    return {
        (type_, status, reason)
        for recording in recordings.values()
        for sync in recording["syncs"]
        for type_, status, reason, *_ in sync["decided"]["conditions"]
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_twin_agrees_with_the_controller(recordings, name):
    """Replicas, conditions, events, values and times are identical after every sync."""
    assert len(recordings[name]["syncs"]) == len(SERIES[name].steps)
    assert differences(recordings[name]) == []


@pytest.mark.parametrize("name", NAMES)
def test_no_decision_depends_on_milliseconds(recordings, name):
    """The age of no record is close to a window or period, so a slower machine would give the same result."""
    assert closest_call_s(recordings[name]) > 0.05


@pytest.mark.parametrize("name", NAMES)
def test_client_go_neither_drops_nor_merges_events(recordings, name):
    """client-go drops events beyond 25 of a type, and merges events of a reason from the tenth message on."""
    events = [tuple(event) for sync in recordings[name]["syncs"] for event in sync["decided"]["events"]]
    assert max(Counter(type_ for type_, _, _ in events).values(), default=0) <= 25
    assert max(Counter(reason for _, reason, _ in set(events)).values(), default=0) < 10


def test_the_controller_shows_every_condition(recordings):
    """The series cover all conditions of the twin."""
    assert conditions(recordings) == {
        ("AbleToScale", "True", "SucceededGetScale"),
        ("AbleToScale", "True", "ReadyForNewScale"),
        ("AbleToScale", "True", "ScaleUpStabilized"),
        ("AbleToScale", "True", "ScaleDownStabilized"),
        ("AbleToScale", "True", "SucceededRescale"),
        ("AbleToScale", "False", "FailedGetScale"),
        ("AbleToScale", "False", "FailedUpdateScale"),
        ("ScalingActive", "True", "ValidMetricFound"),
        ("ScalingActive", "False", "ScalingDisabled"),
        ("ScalingActive", "False", "InvalidSelector"),
        ("ScalingActive", "False", "AmbiguousSelector"),
        ("ScalingActive", "False", "FailedGetPodsMetric"),
        ("ScalingActive", "False", "FailedGetObjectMetric"),
        ("ScalingActive", "False", "FailedGetExternalMetric"),
        ("ScalingActive", "False", "FailedGetResourceMetric"),
        ("ScalingActive", "False", "FailedGetContainerResourceMetric"),
        ("ScalingLimited", "False", "DesiredWithinRange"),
        ("ScalingLimited", "True", "TooFewReplicas"),
        ("ScalingLimited", "True", "TooManyReplicas"),
        ("ScalingLimited", "True", "ScaleUpLimit"),
        ("ScalingLimited", "True", "ScaleDownLimit"),
        ("ScaledToZero", "True", "ScaledToZero"),
        ("ScaledToZero", "False", "NotScaledToZero"),
    }


def test_a_changed_spec_is_synced_at_once(recordings):
    """A new spec is synced within a second, not after the sync period (new in 1.37)."""
    syncs = recordings["bounds"]["syncs"]
    gaps_s = [after["at_s"] - before["at_s"] for before, after in pairwise(syncs) if "manifest" in after]
    assert len(gaps_s) == 3
    assert max(gaps_s) < 1.5
