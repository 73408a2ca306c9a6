"""Lifecycle events of a pod; times are made up: small whole numbers of seconds since 1970."""

from datetime import UTC, datetime

from loadgen.kube.objects.pod_lifecycle import PodLifecycle


def stamp(unix_s):
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(*, scheduled=None, started=None, ready=None, restarts=0, terminated=None, deletion=None, grace=30):
    conditions = []
    if scheduled is not None:
        conditions.append({"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp(scheduled)})
    if ready is not None:
        at, status = (ready, "True") if ready >= 0 else (-ready, "False")
        conditions.append({"type": "Ready", "status": status, "lastTransitionTime": stamp(at)})
    container = {"restartCount": restarts, "state": {"waiting": {"reason": "ContainerCreating"}}}
    if started is not None:
        container["state"] = {"running": {"startedAt": stamp(started)}}
    if terminated:
        container["lastState"] = {"terminated": terminated}
    meta = {"name": "triton-1", "creationTimestamp": stamp(100)}
    if deletion is not None:
        meta |= {"deletionTimestamp": stamp(deletion), "deletionGracePeriodSeconds": grace}
    return {"metadata": meta, "status": {"conditions": conditions, "containerStatuses": [container]}}


def events(lifecycle, raw, now_s=999.0):
    return [(event.kind, event.unix_s) for event in lifecycle.update(raw, now_s)]


def test_each_step_to_ready_is_reported_once_at_the_time_of_the_api():
    """Created 100, scheduled 101, started 112, ready 120; the same state again adds nothing."""
    lifecycle = PodLifecycle()
    assert events(lifecycle, pod()) == [("replica_created", 100.0)]
    assert events(lifecycle, pod(scheduled=101)) == [("replica_scheduled", 101.0)]
    whole = pod(scheduled=101, started=112, ready=120)
    assert events(lifecycle, whole) == [("replica_started", 112.0), ("replica_ready", 120.0)]
    assert events(lifecycle, whole) == []


def test_a_pod_that_is_first_observed_when_ready_reports_all_steps():
    """The observer started after the pod."""
    kinds = [kind for kind, _ in events(PodLifecycle(), pod(scheduled=101, started=112, ready=120))]
    assert kinds == ["replica_created", "replica_scheduled", "replica_started", "replica_ready"]


def test_draining_starts_when_the_deletion_was_requested():
    """The API stamps the end of the grace period: 160 with 30 s of grace is 130."""
    lifecycle = PodLifecycle()
    events(lifecycle, pod(scheduled=101, started=112, ready=120))
    assert events(lifecycle, pod(started=112, ready=120, deletion=160)) == [("replica_draining", 130.0)]
    stopped = [(event.kind, event.unix_s) for event in lifecycle.stop(pod(), 141.5)]
    assert stopped == [("replica_stopped", 141.5)]


def test_a_pod_that_disappears_between_two_watches_drained_before_it_stopped():
    """Its deletion was not observed: both events have the time at which it was found missing."""
    lifecycle = PodLifecycle()
    events(lifecycle, pod(started=112, ready=120))
    stopped = [(event.kind, event.unix_s) for event in lifecycle.stop(pod(), 150.0)]
    assert stopped == [("replica_draining", 150.0), ("replica_stopped", 150.0)]


def test_a_crash_has_its_exit_code_and_is_followed_by_another_start():
    """Exit 139 at 130, started again at 141, ready at 150."""
    lifecycle = PodLifecycle()
    events(lifecycle, pod(scheduled=101, started=112, ready=120))
    terminated = {"exitCode": 139, "reason": "Error", "finishedAt": stamp(130)}
    [crash, started] = lifecycle.update(pod(started=141, ready=-130, restarts=1, terminated=terminated), 999.0)
    assert (crash.kind, crash.unix_s, crash.reason) == ("replica_crashed", 130.0, "Error")
    assert crash.data == {"exit_code": 139, "crashes": 1, "backoff_s": None}
    assert (started.kind, started.unix_s) == ("replica_started", 141.0)
    again = pod(started=141, ready=150, restarts=1, terminated=terminated)
    assert events(lifecycle, again) == [("replica_ready", 150.0)]


def test_a_pod_that_is_temporarily_not_ready_reports_both_transitions():
    """A failed probe: ready at 120, not ready from 130, ready again at 140."""
    lifecycle = PodLifecycle()
    events(lifecycle, pod(started=112, ready=120))
    assert events(lifecycle, pod(started=112, ready=-130)) == [("replica_not_ready", 130.0)]
    assert events(lifecycle, pod(started=112, ready=-130)) == []
    assert events(lifecycle, pod(started=112, ready=140)) == [("replica_ready", 140.0)]


def test_a_draining_pod_is_not_reported_as_not_ready():
    """A deleted pod always loses its readiness."""
    lifecycle = PodLifecycle()
    events(lifecycle, pod(started=112, ready=120))
    assert events(lifecycle, pod(started=112, ready=-131, deletion=160)) == [("replica_draining", 130.0)]


def test_a_pod_that_the_scheduler_fails_on_is_unschedulable_too():
    """For example a claim whose selector has an error: it is tried again, and has no node until that is corrected."""
    raw, said = pod(), "claim triton-1-gpus: selector #0: CEL runtime error: no such key: memory"
    condition = {"type": "PodScheduled", "status": "False", "reason": "SchedulerError", "message": said}
    raw["status"]["conditions"] = [condition | {"lastTransitionTime": stamp(101)}]
    _, unschedulable = PodLifecycle().update(raw, 999.0)
    assert (unschedulable.kind, unschedulable.unix_s) == ("replica_unschedulable", 101.0)
    assert (unschedulable.reason, unschedulable.message) == ("SchedulerError", said)


def test_an_unschedulable_pod_is_reported_once_with_the_scheduler_s_message():
    """Created 100, reported at 101 and again with another message, scheduled at 140."""
    lifecycle, raw = PodLifecycle(), pod()
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": stamp(101)}
    raw["status"]["conditions"] = [condition | {"message": "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."}]
    created, unschedulable = lifecycle.update(raw, 999.0)
    assert (created.kind, unschedulable.kind, unschedulable.unix_s) == (
        "replica_created",
        "replica_unschedulable",
        101.0,
    )
    assert (unschedulable.pod, unschedulable.reason) == ("triton-1", "Unschedulable")
    assert unschedulable.message == "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."
    raw["status"]["conditions"] = [condition | {"message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."}]
    assert events(lifecycle, raw) == []
    assert events(lifecycle, pod(scheduled=140)) == [("replica_scheduled", 140.0)]


def test_a_pod_with_scheduling_gates_is_not_unschedulable():
    """The scheduler has not tried to place it yet."""
    raw = pod()
    raw["status"]["conditions"] = [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]
    assert events(PodLifecycle(), raw) == [("replica_created", 100.0)]
