"""Pods that will never run as they stand, by what the API says of them."""

import pytest

from loadgen.kube.stuck import stuck

SHORT = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."


def pod(*, scheduled: str | None = None, waiting: str | None = None) -> dict[str, object]:
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": scheduled}]
    state = {"waiting": {"reason": waiting}} if waiting else {"running": {}}
    return {
        "status": {
            "conditions": conditions if scheduled else [{"type": "PodScheduled", "status": "True"}],
            "containerStatuses": [] if scheduled else [{"image": "no.example/image:1", "state": state}],
        }
    }


def test_a_pod_that_cannot_be_scheduled_says_what_the_scheduler_says():
    """Once, however many there are."""
    (told,) = stuck([pod(), pod(scheduled=SHORT), pod(scheduled=SHORT)])
    assert told == (
        "a pod of the fleet cannot be scheduled: 0/2 nodes are available: 2 Insufficient nvidia.com/gpu: "
        "ask for fewer replicas or GPUs, or for more nodes"
    )


def test_an_image_without_a_program_is_named():
    """And the file that says which program stands for which image."""
    (told,) = stuck([pod(waiting="ErrImageNeverPull")])
    assert told.startswith("no program stands for the image no.example/image:1 in the sandbox (ErrImageNeverPull): use")


@pytest.mark.parametrize("one", [{}, {"status": {}}, pod(), pod(waiting="ContainerCreating")])
def test_a_pod_on_its_way_is_not_stuck(one):
    """Also before the API says anything of it."""
    assert stuck([one]) == []
