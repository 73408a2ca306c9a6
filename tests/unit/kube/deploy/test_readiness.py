"""Waiting for a workload: rollouts, timeouts, evicted pods and missing permissions, against a simulated API."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from loadgen.base.errors import StackError
from loadgen.kube.deploy import readiness
from loadgen.kube.deploy.readiness import wait_for_hpa_metric, wait_until_ready
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


class Namespace:
    """The objects of a namespace; each read of the workload applies the next step."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.steps: list[Callable[[], object]] = []
        self.forbidden: set[str] = set()
        self.messages: list[str] = []
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
        self.messages.append(text)

    def observe(self, **status: int) -> None:
        """The controller observes the last change."""
        self.status = {"observedGeneration": self.generation, **status}

    def change_template(self) -> None:
        """The pod template is changed."""
        self.generation += 1


@pytest.fixture
def namespace(monkeypatch: pytest.MonkeyPatch) -> Iterator[Namespace]:
    namespace = Namespace()

    def sleep(seconds: float) -> None:
        namespace.now_s += seconds

    monkeypatch.setattr(readiness, "time", SimpleNamespace(monotonic=lambda: namespace.now_s, sleep=sleep))
    yield namespace
    assert namespace.steps == []


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


def cannot_pull(reason: str, message: str) -> dict[str, Any]:
    waiting = {"reason": reason, "message": message}
    return {"containerStatuses": [{"name": "triton", "image": "no.example/t:2", "state": {"waiting": waiting}}]}


def wait(namespace: Namespace, replicas: int = 2, kind: str = "Deployment", **limits: float) -> bool:
    limits = {"patience_s": 300.0, **limits}
    return wait_until_ready(namespace, workload(kind), replicas, say=namespace.say, **limits)  # type: ignore[arg-type]


def test_a_ready_workload_is_not_waited_for(namespace: Namespace) -> None:
    """No progress is reported."""
    namespace.observe(replicas=2, updatedReplicas=2)
    namespace.pods = [pod("a"), pod("b")]
    assert not wait(namespace)
    assert (namespace.messages, namespace.now_s) == ([], 0.0)


def test_a_workload_that_is_scaled_to_zero_is_not_waited_for(namespace: Namespace) -> None:
    """KEDA scales it to zero while its first replica loads; its HPA has minReplicas 1."""
    namespace.observe(replicas=1, updatedReplicas=1)
    namespace.pods = [pod("a", ready=False)]

    def scaled_to_zero() -> None:
        namespace.spec = {"replicas": 0}
        namespace.pods = []

    namespace.steps = [lambda: None, scaled_to_zero]
    assert wait(namespace, replicas=1)
    assert namespace.messages[-1].endswith("is scaled to zero; its autoscaler starts replicas when there is load")


def test_a_rollout_is_complete_when_all_updated_pods_are_ready(namespace: Namespace) -> None:
    """Old pods are ready before the controller observes the change, during the rollout, and while new ones load."""
    namespace.observe(replicas=2, updatedReplicas=2)
    namespace.pods = [pod("a"), pod("b")]
    namespace.change_template()

    def starts() -> None:
        namespace.revision = 2
        namespace.pods = [*namespace.pods, pod("c", 2, ready=False)]
        namespace.observe(replicas=3, updatedReplicas=1)

    def continues() -> None:
        namespace.pods = [pod("b"), pod("c", 2), pod("d", 2, ready=False)]
        namespace.observe(replicas=3, updatedReplicas=2)

    def old_pods_gone() -> None:
        namespace.pods = [pod("c", 2), pod("d", 2, ready=False)]
        namespace.observe(replicas=2, updatedReplicas=2)

    def ready() -> None:
        namespace.pods = [pod("c", 2), pod("d", 2)]

    namespace.steps = [lambda: None, starts, continues, old_pods_gone, ready]
    assert wait(namespace)
    assert namespace.messages == [
        "2 of 2 replicas ready; rollout in progress: waiting for the controller to observe the last change",
        "0 of 2 replicas ready, 1 not created yet, 1 pulling the image; "
        "rollout in progress: 2 old replicas pending termination",
        "1 of 2 replicas ready, 1 pulling the image; rollout in progress: 1 old replica pending termination",
        "1 of 2 replicas ready, 1 pulling the image",
    ]


def test_a_rollout_may_have_more_replicas_than_the_minimum(namespace: Namespace) -> None:
    """The HPA scaled above its minimum: the wait lasts until all old replicas have terminated."""
    namespace.revision = 2
    namespace.pods = [pod("a"), pod("b", 2), pod("c", 2)]
    namespace.observe(replicas=3, updatedReplicas=2)
    namespace.steps = [lambda: None, lambda: namespace.observe(replicas=2, updatedReplicas=2)]
    assert wait(namespace, 1)


def test_an_image_that_cannot_be_pulled_is_an_error_of_the_rollout(namespace: Namespace) -> None:
    """Ready old pods do not hide it, and the timeout goes on while the message changes."""
    namespace.revision = 2
    namespace.observe(replicas=3, updatedReplicas=1)
    messages = [
        ("ErrImagePull", "rpc error: not found"),
        ("ImagePullBackOff", 'Back-off pulling image "no.example/t:2"'),
    ]

    def next_message() -> None:
        messages.reverse()
        namespace.pods = [pod("a"), pod("b"), pod("c", 2, ready=False, **cannot_pull(*messages[0]))]

    namespace.steps = [next_message] * 18
    with pytest.raises(StackError, match=r"does not become ready: the image no\.example/t:2 cannot be pulled \("):
        wait(namespace, patience_s=8.0)
    assert len(namespace.messages) == 1  # another message of the same blocker is not reported again
    assert 8.0 < namespace.now_s < 10.0


def test_blocked_old_pods_do_not_fail_a_rollout(namespace: Namespace) -> None:
    """The change may be the fix."""
    namespace.revision = 2
    old = pod("a", ready=False, **cannot_pull("ImagePullBackOff", "Back-off"))
    namespace.pods = [old, pod("b", 2, ready=False)]
    namespace.observe(replicas=2, updatedReplicas=1)

    def ready() -> None:
        namespace.pods = [pod("b", 2)]
        namespace.observe(replicas=1, updatedReplicas=1)

    namespace.steps = [lambda: None] * 20 + [ready]
    assert wait(namespace, 1, patience_s=5.0)
    assert "cannot be pulled" not in " ".join(namespace.messages)


def test_a_paused_rollout_is_an_error(namespace: Namespace) -> None:
    """The message says how to resume it."""
    namespace.spec = {"paused": True}
    namespace.pods = [pod("a"), pod("b")]
    namespace.observe(replicas=2)
    with pytest.raises(StackError, match="its rollout is paused: run `kubectl rollout resume`"):
        wait(namespace, patience_s=8.0)


def test_evicted_pods_do_not_count(namespace: Namespace) -> None:
    """Neither as replicas nor as blocked pods."""
    terminated = {"state": {"terminated": {"exitCode": 137, "reason": "Error"}}, "name": "triton"}
    evicted = pod("x", ready=False, phase="Failed", reason="Evicted", containerStatuses=[terminated])
    namespace.observe(replicas=2, updatedReplicas=2)
    namespace.pods = [evicted, pod("a"), pod("b", ready=False)]

    def ready() -> None:
        namespace.pods = [evicted, pod("a"), pod("b")]

    namespace.steps = [lambda: None] * 20 + [ready]
    assert wait(namespace, patience_s=5.0)
    assert namespace.messages == ["1 of 2 replicas ready, 1 pulling the image"]


def test_without_permission_to_list_replica_sets_all_pods_count(namespace: Namespace) -> None:
    """The status of the Deployment still shows when the old replicas are gone."""
    namespace.forbidden = {"replicasets", "events"}
    namespace.revision = 2
    namespace.pods = [pod("a"), pod("b", 2)]
    namespace.observe(replicas=3, updatedReplicas=1)
    namespace.steps = [lambda: None, lambda: namespace.observe(replicas=2, updatedReplicas=2)]
    assert wait(namespace)
    assert namespace.messages == ["2 of 2 replicas ready; rollout in progress: 2 old replicas pending termination"]


def test_a_rollout_of_a_leader_worker_set(namespace: Namespace) -> None:
    """The latest revision is that of the youngest leader."""
    namespace.observe(replicas=2, updatedReplicas=2)
    namespace.pods = [pod("t-0"), pod("t-1")]
    namespace.change_template()

    def starts() -> None:
        namespace.pods = [pod("t-0"), pod("t-1", 2, ready=False)]
        namespace.observe(replicas=2, updatedReplicas=1)

    def ready() -> None:
        namespace.pods = [pod("t-0", 2), pod("t-1", 2)]
        namespace.observe(replicas=2, updatedReplicas=2)

    namespace.steps = [lambda: None, starts, ready]
    assert wait(namespace, kind="LeaderWorkerSet")
    assert namespace.messages[0].endswith("waiting for the controller to observe the last change")
    assert namespace.messages[1].startswith(
        "0 of 2 replicas ready, 1 not created yet, 1 pulling the image; rollout in progress: 1 old"
    )


def test_groups_below_the_partition_keep_their_revision(namespace: Namespace) -> None:
    """They are not waited for; a controller without observedGeneration is assumed to be up to date."""
    namespace.spec = {"rolloutStrategy": {"rollingUpdateConfiguration": {"partition": 1}}}
    namespace.generation = 3
    namespace.status = {"replicas": 2, "updatedReplicas": 1}
    namespace.pods = [pod("t-0"), pod("t-1", 2)]
    assert not wait(namespace, kind="LeaderWorkerSet")


def test_a_new_problem_is_reported_at_once(namespace: Namespace) -> None:
    """A quota stops the second of two pods, 10 s after the first one was created; the progress is the same."""
    namespace.observe(replicas=1, updatedReplicas=1)
    namespace.pods = [pod("a", ready=False)]
    failure = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: gpus"}

    def rejected() -> None:
        namespace.status = {**namespace.status, "conditions": [failure]}  # type: ignore[dict-item]

    namespace.steps = [lambda: None] * 20 + [rejected] + [lambda: None] * 11
    with pytest.raises(StackError, match=r"does not become ready: pods cannot be created .*exceeded quota: gpus"):
        wait(namespace, patience_s=5.0)
    assert [("exceeded quota" in message) for message in namespace.messages] == [False, True]


def test_a_container_that_fails_once_and_then_loads_for_long_is_waited_for(namespace: Namespace) -> None:
    """Time in which it runs does not count, whatever its last state."""
    last = {"lastState": {"terminated": {"exitCode": 1}}, "name": "triton"}
    crashed = {**last, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    running = {**last, "state": {"running": {}}}
    namespace.observe(replicas=1, updatedReplicas=1)

    def is_now(container: dict[str, Any]) -> Callable[[], None]:
        return lambda: setattr(namespace, "pods", [pod("a", ready=False, containerStatuses=[container])])

    ready = [lambda: setattr(namespace, "pods", [pod("a")])]
    namespace.steps = [is_now(crashed)] * 6 + [is_now(running)] * 40 + ready
    assert wait(namespace, 1, patience_s=5.0)


def test_a_container_that_crashes_again_and_again_is_an_error(namespace: Namespace) -> None:
    """The times between its runs add up."""
    last = {"lastState": {"terminated": {"exitCode": 1}}, "name": "triton"}
    states = [{"running": {}}] * 6 + [{"waiting": {"reason": "CrashLoopBackOff"}}] * 6
    namespace.observe(replicas=1, updatedReplicas=1)

    def next_state() -> None:
        states.append(states.pop(0))
        namespace.pods = [pod("a", ready=False, containerStatuses=[{**last, "state": states[0]}])]

    namespace.steps = [next_state] * 31
    with pytest.raises(StackError, match="the container triton ended with exit code 1"):
        wait(namespace, 1, patience_s=5.0)


def test_a_node_that_is_being_added_is_waited_for(namespace: Namespace) -> None:
    """Longer than the patience; the progress says so."""
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no GPU"}
    waiting = pod("a", ready=False)
    waiting["status"]["conditions"] = [unschedulable]
    namespace.pods = [waiting]
    namespace.events = [
        {"reason": "Nominated", "message": "nodeclaim/gpu", "involvedObject": {"kind": "Pod", "name": "a"}}
    ]
    namespace.observe(replicas=1, updatedReplicas=1)
    namespace.steps = [lambda: None] * 40 + [lambda: setattr(namespace, "pods", [pod("a")])]
    assert wait(namespace, 1, patience_s=5.0)
    assert namespace.messages == [
        "0 of 1 replica ready, 1 waiting for a node; Karpenter is adding a node for a pod (Nominated: nodeclaim/gpu)"
    ]


def test_a_workload_that_is_deleted_meanwhile_is_an_error(
    namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without waiting any longer."""
    monkeypatch.setattr(namespace, "items", lambda *_, **__: [])
    with pytest.raises(StackError, match="Deployment t in namespace llm was deleted"):
        wait(namespace)


def test_the_hpa_is_read_by_a_list(namespace: Namespace) -> None:
    """A run requires no permission to get an HPA."""
    blind = {"status": {"conditions": [{"type": "ScalingActive", "status": "False", "message": "no metrics"}]}}
    namespace.hpas = [blind]
    reason = wait_for_hpa_metric(namespace, "llm", "t", "ratio", say=namespace.say)  # type: ignore[arg-type]
    assert reason is not None
    assert "the HPA t cannot read ratio after 120 s: no metrics" in reason
    namespace.hpas = [{"status": {"conditions": [{"type": "ScalingActive", "status": "True"}]}}]
    assert wait_for_hpa_metric(namespace, "llm", "t", "ratio", say=namespace.say) is None  # type: ignore[arg-type]
