"""Waiting for a workload: rollouts, patience, left-overs, rights that lack; the API plays what it is told."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from loadgen.base.errors import StackError
from loadgen.kube.deploy import readiness
from loadgen.kube.deploy.readiness import wait_until_ready, why_blind
from loadgen.kube.objects.workload import Workload

LABELS = {"app": "t"}
LEADER = "leaderworkerset.sigs.k8s.io"


def workload(kind: str = "Deployment") -> Workload:
    return Workload(
        kind=kind,
        namespace="llm",
        name="t",
        labels=LABELS,
        selector="app=t",
        http=8000,
        grpc=8001,
        metrics=8002,
        replicas=2,
        emulated=False,
    )


class World:
    """Objects of a namespace, which change step by step: one step for each look at the workload."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.steps: list[Callable[[], object]] = []
        self.forbidden: set[str] = set()
        self.said: list[str] = []
        self.spec: dict[str, Any] = {}
        self.status: dict[str, int] = {}
        self.generation, self.revision = 1, 1
        self.pods: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.hpas: list[dict[str, Any]] = []

    def items(self, path: str, **query: str) -> list[dict[str, Any]]:
        """As the API lists them."""
        plural = path.rpartition("/")[2]
        if plural in self.forbidden:
            raise StackError(f"GET {path} was refused (403): forbidden")
        if plural in ("deployments", "leaderworkersets"):
            assert query == {"fieldSelector": "metadata.name=t"}
            if self.steps:
                self.steps.pop(0)()
            return [self.workload()]
        if plural == "replicasets":
            return [self._set(number) for number in range(1, self.revision + 1)]
        if plural == "horizontalpodautoscalers":
            assert query == {"fieldSelector": "metadata.name=t"}
        return {"pods": self.pods, "events": self.events, "horizontalpodautoscalers": self.hpas}[plural]

    def workload(self) -> dict[str, Any]:
        annotations = {"deployment.kubernetes.io/revision": str(self.revision)}
        metadata = {"name": "t", "uid": "u", "generation": self.generation, "annotations": annotations}
        return {"metadata": metadata, "spec": self.spec, "status": self.status}

    def _set(self, number: int) -> dict[str, Any]:
        return {
            "metadata": {
                "labels": {**LABELS, "pod-template-hash": f"h{number}"},
                "annotations": {"deployment.kubernetes.io/revision": str(number)},
                "ownerReferences": [{"uid": "u"}],
            }
        }

    def say(self, text: str) -> None:
        self.said.append(text)

    def seen(self, **status: int) -> None:
        """Its controller has seen the last change."""
        self.status = {"observedGeneration": self.generation, **status}

    def changed(self) -> None:
        """Somebody has changed the template."""
        self.generation += 1


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World()

    def sleep(seconds: float) -> None:
        world.now_s += seconds

    monkeypatch.setattr(readiness, "time", SimpleNamespace(monotonic=lambda: world.now_s, sleep=sleep))
    yield world
    assert world.steps == []


def pod(name: str, revision: int = 1, *, ready: bool = True, **status: Any) -> dict[str, Any]:
    conditions = [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": str(ready)}]
    return {
        "metadata": {
            "name": name,
            "uid": f"uid of {name}",
            "creationTimestamp": f"2026-01-01T00:00:0{revision}Z",
            "labels": {
                **LABELS,
                "pod-template-hash": f"h{revision}",
                f"{LEADER}/template-revision-hash": f"h{revision}",
            },
        },
        "status": {"conditions": conditions, **status},
    }


def pulls(reason: str, message: str) -> dict[str, Any]:
    waiting = {"reason": reason, "message": message}
    return {"containerStatuses": [{"name": "triton", "image": "no.example/t:2", "state": {"waiting": waiting}}]}


def wait(world: World, replicas: int = 2, kind: str = "Deployment", **limits: float) -> bool:
    limits = {"patience_s": 300.0, **limits}
    return wait_until_ready(world, workload(kind), replicas, say=world.say, **limits)  # type: ignore[arg-type]


def test_what_is_ready_is_not_waited_for(world: World) -> None:
    """And nothing is said."""
    world.seen(replicas=2, updatedReplicas=2)
    world.pods = [pod("a"), pod("b")]
    assert not wait(world)
    assert (world.said, world.now_s) == ([], 0.0)


def test_a_change_is_ready_only_with_its_own_pods(world: World) -> None:
    """Old pods serve all the while: before the controller has looked, in mid-rollout, and while the new ones load."""
    world.seen(replicas=2, updatedReplicas=2)
    world.pods = [pod("a"), pod("b")]
    world.changed()

    def begins() -> None:
        world.revision = 2
        world.pods = [*world.pods, pod("c", 2, ready=False)]
        world.seen(replicas=3, updatedReplicas=1)

    def goes_on() -> None:
        world.pods = [pod("b"), pod("c", 2), pod("d", 2, ready=False)]
        world.seen(replicas=3, updatedReplicas=2)

    def all_new() -> None:
        world.pods = [pod("c", 2), pod("d", 2, ready=False)]
        world.seen(replicas=2, updatedReplicas=2)

    def ready() -> None:
        world.pods = [pod("c", 2), pod("d", 2)]

    world.steps = [lambda: None, begins, goes_on, all_new, ready]
    assert wait(world)
    assert world.said == [
        "2 of 2 replicas ready; in mid-rollout: its controller has not seen the last change yet",
        "0 of 2 replicas ready, 1 not there yet, 1 pulling the image; in mid-rollout: 2 of the old version still there",
        "1 of 2 replicas ready, 1 pulling the image; in mid-rollout: 1 of the old version still there",
        "1 of 2 replicas ready, 1 pulling the image",
    ]


def test_fewer_may_be_wanted_than_are_rolled_out(world: World) -> None:
    """An autoscaler wants more than its least: none of the old ones may be left, however many new ones are ready."""
    world.revision = 2
    world.pods = [pod("a"), pod("b", 2), pod("c", 2)]
    world.seen(replicas=3, updatedReplicas=2)
    world.steps = [lambda: None, lambda: world.seen(replicas=2, updatedReplicas=2)]
    assert wait(world, 1)


def test_the_new_version_that_cannot_be_had_is_told(world: World) -> None:
    """Old pods serve on and keep nothing from it; patience goes on while the words change."""
    world.revision = 2
    world.seen(replicas=3, updatedReplicas=1)
    words = [("ErrImagePull", "rpc error: not found"), ("ImagePullBackOff", 'Back-off pulling image "no.example/t:2"')]

    def next_words() -> None:
        words.reverse()
        world.pods = [pod("a"), pod("b"), pod("c", 2, ready=False, **pulls(*words[0]))]

    world.steps = [next_words] * 18
    with pytest.raises(StackError, match=r"does not become ready: the image no\.example/t:2 cannot be had \("):
        wait(world, patience_s=8.0)
    assert len(world.said) == 1  # other words are no news
    assert 8.0 < world.now_s < 10.0


def test_old_pods_that_are_stuck_do_not_hold_up_the_new_ones(world: World) -> None:
    """As where the change mends them."""
    world.revision = 2
    old = pod("a", ready=False, **pulls("ImagePullBackOff", "Back-off"))
    world.pods = [old, pod("b", 2, ready=False)]
    world.seen(replicas=2, updatedReplicas=1)

    def ready() -> None:
        world.pods = [pod("b", 2)]
        world.seen(replicas=1, updatedReplicas=1)

    world.steps = [lambda: None] * 20 + [ready]
    assert wait(world, 1, patience_s=5.0)
    assert "cannot be had" not in " ".join(world.said)


def test_a_rollout_that_is_paused_is_told(world: World) -> None:
    """With what to do."""
    world.spec = {"paused": True}
    world.pods = [pod("a"), pod("b")]
    world.seen(replicas=2)
    with pytest.raises(StackError, match="its rollout is paused: go on with `kubectl rollout resume`"):
        wait(world, patience_s=8.0)


def test_what_is_left_of_evicted_pods_does_not_count(world: World) -> None:
    """Neither as a replica nor as one that is stuck."""
    ended = {"state": {"terminated": {"exitCode": 137, "reason": "Error"}}, "name": "triton"}
    left_over = pod("x", ready=False, phase="Failed", reason="Evicted", containerStatuses=[ended])
    world.seen(replicas=2, updatedReplicas=2)
    world.pods = [left_over, pod("a"), pod("b", ready=False)]

    def ready() -> None:
        world.pods = [left_over, pod("a"), pod("b")]

    world.steps = [lambda: None] * 20 + [ready]
    assert wait(world, patience_s=5.0)
    assert world.said == ["1 of 2 replicas ready, 1 pulling the image"]


def test_without_the_right_to_read_sets_every_pod_counts(world: World) -> None:
    """The status of the Deployment still says when the old ones are gone."""
    world.forbidden = {"replicasets", "events"}
    world.revision = 2
    world.pods = [pod("a"), pod("b", 2)]
    world.seen(replicas=3, updatedReplicas=1)
    world.steps = [lambda: None, lambda: world.seen(replicas=2, updatedReplicas=2)]
    assert wait(world)
    assert world.said == ["2 of 2 replicas ready; in mid-rollout: 2 of the old version still there"]


def test_a_group_by_its_own_status(world: World) -> None:
    """The new version is that of the youngest leader."""
    world.seen(replicas=2, updatedReplicas=2)
    world.pods = [pod("t-0"), pod("t-1")]
    world.changed()

    def begins() -> None:
        world.pods = [pod("t-0"), pod("t-1", 2, ready=False)]
        world.seen(replicas=2, updatedReplicas=1)

    def ready() -> None:
        world.pods = [pod("t-0", 2), pod("t-1", 2)]
        world.seen(replicas=2, updatedReplicas=2)

    world.steps = [lambda: None, begins, ready]
    assert wait(world, kind="LeaderWorkerSet")
    assert world.said[0].endswith("its controller has not seen the last change yet")
    assert world.said[1].startswith("0 of 2 replicas ready, 1 not there yet, 1 pulling the image; in mid-rollout: 1 of")


def test_groups_before_the_partition_stay_as_they_are(world: World) -> None:
    """They are no rollout that is to be waited for; a controller that does not say what it saw is believed."""
    world.spec = {"rolloutStrategy": {"rollingUpdateConfiguration": {"partition": 1}}}
    world.generation = 3
    world.status = {"replicas": 2, "updatedReplicas": 1}
    world.pods = [pod("t-0"), pod("t-1", 2)]
    assert not wait(world, kind="LeaderWorkerSet")


def test_a_workload_that_is_removed_meanwhile_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once."""
    monkeypatch.setattr(world, "items", lambda *_, **__: [])
    with pytest.raises(StackError, match="Deployment t in namespace llm is gone"):
        wait(world)


def test_an_autoscaler_that_reads_its_metric_is_seen_by_a_list(world: World) -> None:
    """As a run asks for no right to get one."""
    blind = {"status": {"conditions": [{"type": "ScalingActive", "status": "False", "message": "no metrics"}]}}
    world.hpas = [blind]
    said = why_blind(world, "llm", "t", "ratio", say=world.say)  # type: ignore[arg-type]
    assert said is not None
    assert "the HPA t cannot read ratio after 120 s: no metrics" in said
    world.hpas = [{"status": {"conditions": [{"type": "ScalingActive", "status": "True"}]}}]
    assert why_blind(world, "llm", "t", "ratio", say=world.say) is None  # type: ignore[arg-type]
