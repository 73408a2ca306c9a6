"""Kubernetes' rules for replicas: order of deletion, crash back-off, generated names."""

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.dataset.stack import ReplicaPhase
from loadgen.local.lifecycle import backoff_s, pod_names, replicas_to_delete
from loadgen.local.replica import Replica


def one(name: str, phase: ReplicaPhase, since_s: float = 0.0, *, crashes: int = 0, created_s: float = 0.0) -> Replica:
    return Replica(name=name, warm=False, phase=phase, since_s=since_s, crashes=crashes, created_s=created_s)


@pytest.mark.parametrize(
    ("replicas", "order"),
    [
        # an earlier phase goes first, independent of the ages
        (
            [one("ready", "ready", 90), one("started", "started", 1), one("pulling", "pulling", 0)],
            ["pulling", "started", "ready"],
        ),
        ([one("scheduled", "scheduled"), one("created", "created")], ["created", "scheduled"]),
        # a crashed replica is not ready
        ([one("ready", "ready", 50), one("crashed", "crashed", 2)], ["crashed", "ready"]),
        # of two ready replicas, the one that became ready later
        ([one("old", "ready", 10, created_s=30), one("young", "ready", 20, created_s=0)], ["young", "old"]),
        # then the one that crashed more often, then the one created later
        ([one("steady", "ready", 5), one("shaky", "ready", 5, crashes=2)], ["shaky", "steady"]),
        ([one("first", "ready", 5, created_s=1), one("second", "ready", 5, created_s=2)], ["second", "first"]),
    ],
)
def test_order_of_deletion(replicas: list[Replica], order: list[str]) -> None:
    """The order is the ReplicaSet controller's: not ready before ready, then the youngest."""
    assert replicas_to_delete(replicas, len(replicas)) == order
    assert replicas_to_delete(replicas, 1) == order[:1]
    assert replicas_to_delete(replicas, 0) == []


def test_backoff() -> None:
    """It doubles from 1 s and stays at 30 s."""
    # 2^(n-1): 1 2 4 8 16 32→30
    assert [backoff_s(crashes) for crashes in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]


@given(st.text(max_size=30))
def test_names_are_unique_and_repeatable(run_id: str) -> None:
    """Names do not repeat within a run, and a run has the same names each time."""
    first = list(islice(pod_names(run_id), 200))
    assert len(set(first)) == 200
    assert first == list(islice(pod_names(run_id), 200))
