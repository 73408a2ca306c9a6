"""The twin against recordings of a real kube-controller-manager, made by `tests/support/hpa/record.py`."""

import copy
from itertools import pairwise
from pathlib import Path

import pytest

from support.hpa.replay import closest_call_s, differences
from support.hpa.series import SERIES
from support.hpa.table import RECORDED, read, table

RECORDINGS = {each["series"]: each for each in read(*sorted(RECORDED.glob("*.jsonl")))}


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_twin_equals_the_controller(name):
    """Replicas, conditions, events, values and times are identical after every sync."""
    assert differences(RECORDINGS[name]) == []


@pytest.mark.parametrize("name", RECORDINGS)
def test_no_decision_depended_on_milliseconds(name):
    """Every remembered entry was at least 0.1 s older or younger than each window and period."""
    assert closest_call_s(RECORDINGS[name]) > 0.1


@pytest.mark.parametrize("name", SERIES)
def test_the_recording_is_of_the_series(name):
    """Every series of the table is recorded completely, from its first to its last sync."""
    series, recording = SERIES[name], RECORDINGS[name]
    assert recording["manifest"] == series.manifest()
    assert recording["claim"] == series.claim
    assert len(recording["syncs"]) == len(series.steps)


def test_the_table_is_documented():
    """docs/hpa-twin.md has every row of the table and the numbers below it."""
    page = (Path(__file__).parents[3] / "docs" / "hpa-twin.md").read_text()
    rows, total = table(list(RECORDINGS.values())).split("\n\n")
    assert [row for row in rows.splitlines() if row not in page] == []
    syncs = sum(len(each["syncs"]) for each in RECORDINGS.values())
    assert f"{len(RECORDINGS)} series, {syncs} syncs, " in total
    assert total.partition(";")[0] in page


def test_three_series_at_least_ran_at_the_defaults():
    """At least three series ran with 15 s and 300 s and without flags of the controller."""
    slow = [RECORDINGS[series.name] for series in SERIES.values() if series.tier == "slow"]
    assert len(slow) >= 3
    for recording in slow:
        times = [sync["at_s"] for sync in recording["syncs"]]
        assert all(15 <= after - before < 16 for before, after in pairwise(times))
        assert times[-1] - times[0] > 450
        assert recording["controller"] == {}


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("replicas", lambda decided: decided.update(replicas=9)),
        ("events", lambda decided: decided["events"].pop()),
        ("conditions", lambda decided: decided["conditions"][0].__setitem__(3, "recommended size matches")),
        ("conditions", lambda decided: decided["conditions"].reverse()),
        ("current replicas", lambda decided: decided.update(current_replicas=11)),
        ("desired replicas", lambda decided: decided.update(desired_replicas=11)),
        ("metric values", lambda decided: decided["current"][0].update(value="2999m")),
        ("times", lambda decided: decided.update(last_scale_s=None)),
    ],
)
def test_a_difference_is_detected(what, change):
    """The comparison fails for a recording with a change in any of its fields."""
    recording = copy.deepcopy(RECORDINGS["step"])
    rescaled = next(sync for sync in recording["syncs"] if sync["decided"]["replicas"] is not None)
    change(rescaled["decided"])
    assert any(f": {what}: " in sentence for sentence in differences(recording))
