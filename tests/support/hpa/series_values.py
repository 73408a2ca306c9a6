"""Series with steps, ramps and noise, and with pods that are missing, unready or not counted."""

import random

from support.hpa.steps import (
    CPU,
    FAILED,
    FREE,
    GONE,
    NO_WINDOW,
    NOT_READY,
    OLD,
    PENDING,
    Series,
    Step,
    each,
    external,
    pods,
    policy,
    resource,
)


def _noise(count: int, seed: int, lowest: int, highest: int) -> list[str]:
    """Return random quantities around 1 in thousandths, from a fixed seed."""
    source = random.Random(seed)
    return [f"{source.randint(lowest, highest)}m" for _ in range(count)]


VALUES = [
    Series(
        name="step",
        claim="a step up and down without behavior: up to double or 4 replicas, down after the window",
        metrics=[pods()],
        steps=each("load", "1", "1", "3", "3", "3", "1", "1", *["250m"] * 9),
        replicas=1,
    ),
    Series(
        name="ramp",
        claim="a ramp up and down: every sync may scale; a lower recommendation waits for the window",
        metrics=[external(value="10")],
        steps=each("backlog", *[[str(level)] for level in (10, 12, 14, 17, 20, 20, 16, 14, 12, 10, 8, 6, 4, 4, 4, 4)]),
    ),
    Series(
        name="tolerance-edges",
        claim="ratios of 1.1 and 0.9 do not scale; one milli more or less does",
        metrics=[pods()],
        steps=each("load", "1100m", "1101m", "1100m", "1", "900m", "900m", "900m", *["899m"] * 5, "900m", "901m"),
        replicas=10,
        highest=40,
    ),
    Series(
        name="noise-up",
        claim="noise around the upper edge of the tolerance scales only where it crosses the edge",
        metrics=[pods()],
        steps=each("load", *_noise(13, 7, 1085, 1115)),
        replicas=10,
        highest=60,
        behavior={"scaleUp": FREE, "scaleDown": FREE},
    ),
    Series(
        name="noise-down",
        claim="noise around the lower edge of the tolerance scales only where it crosses the edge",
        metrics=[pods()],
        steps=each("load", *_noise(13, 8, 885, 915)),
        replicas=20,
        highest=60,
        behavior={"scaleUp": FREE, "scaleDown": FREE},
    ),
    Series(
        name="tolerance-fields",
        claim="behavior.scaleUp.tolerance and scaleDown.tolerance set the two edges independently; 0 is valid",
        metrics=[pods()],
        steps=[
            *each("load", "1050m", "1051m", "1", "800m", "799m", "801m"),
            Step(metrics={"load": "1001m"}, spec={"behavior": {"scaleUp": {"tolerance": "0"}}}),
            *each("load", "1", "1001m", "999m"),
            Step(metrics={"load": "950m"}, spec={"behavior": {"scaleDown": {"tolerance": "0.0001"}}}),
            *each("load", "1", "999m"),
        ],
        replicas=10,
        highest=40,
        behavior={"scaleUp": {**FREE, "tolerance": "0.05"}, "scaleDown": {**FREE, "tolerance": "200m"}},
    ),
    Series(
        name="missing-pods",
        claim="pods without a value count as 0 in a scale-up and as the target in a scale-down",
        metrics=[pods()],
        steps=[
            *each("load", {"p0": "3", "p1": None, "p2": None, "p3": None}),
            *each("load", {"p0": "5", "p1": "5", "p2": None, "p3": None}),
            *each("load", {f"p{number}": "2" for number in range(6)}),
            *each("load", {"p0": "100m", "p1": "100m", "p2": "100m"}, {"p0": "100m"}, {"p0": "0"}, {"p0": "0"}),
            *each("load", "1", {"p0": "1"}, {"p0": "1050m", "p1": "1050m"}),
            # more pods than replicas, and fewer: the proposal points the opposite way, so nothing changes
            Step(metrics={"load": {f"p{number}": "600m" for number in range(5)}}, replicas=2, count=6),
            Step(metrics={"load": {"p0": "3"}}, replicas=8, count=2),
        ],
        replicas=4,
        highest=20,
        behavior={"scaleDown": FREE},
    ),
    Series(
        name="unready-pods",
        claim="Pending pods are unready, Failed and terminating pods are ignored, Running pods count by value",
        metrics=[pods()],
        steps=[
            Step(metrics={"load": "2"}, pods={"p2": PENDING, "p3": PENDING}),
            Step(metrics={"load": {"p0": "2", "p1": "2", "p2": "9", "p3": "9"}}, pods={"p2": PENDING, "p3": PENDING}),
            Step(metrics={"load": "2"}, pods={"p1": NOT_READY, "p2": NOT_READY}),
            Step(metrics={"load": "1500m"}, pods={"p1": FAILED, "p2": GONE}),
            Step(metrics={"load": "300m"}, pods={"p1": FAILED, "p2": GONE, "p3": PENDING}),
            Step(metrics={"load": {"p3": "1"}}, pods={"p3": PENDING}, count=4),
            Step(metrics={"load": "3"}, pods={"p9": {"phase": "Succeeded", "ready": "False"}}, count=3),
            Step(metrics={"load": "200m"}, pods={f"p{number}": PENDING for number in range(2, 12)}),
            *each("load", "200m", "200m", "200m"),
        ],
        replicas=4,
        highest=30,
    ),
    Series(
        name="utilization-missing",
        claim="in a scale-down, a pod without a value counts as the target if that is above 100 %",
        metrics=[resource(utilization=150, name="memory")],
        steps=[
            *each("resource", *[{"p0": "120Mi", "p1": "120Mi", "p2": "90Mi"}] * 2, {"p0": "30Mi"}, {"p0": "10Mi"}),
            *each("resource", {"p0": "400Mi", "p1": "400Mi", "p2": "400Mi"}),
        ],
        replicas=4,
        containers={"server": {"memory": "100Mi"}},
        behavior={"scaleDown": FREE},
    ),
    Series(
        name="cpu-unready",
        claim="for CPU, a pod counts after its first window, or by its readiness after the initialization period",
        metrics=[resource(utilization=50)],
        steps=[
            Step(metrics={"resource": "400m"}, pods={f"p{number}": OLD for number in range(4)}),
            *[
                Step(
                    metrics={"resource": "400m"},
                    pods={f"p{number}": OLD for number in range(4)}
                    | {"p4": {"start_ago_s": 0, "ready_ago_s": 0}, "p5": {"start_ago_s": 0, "ready": "False"}},
                    sample_ago_s=3,
                )
                for _ in range(6)
            ],
            Step(metrics={"resource": "300m"}, pods={f"p{number}": OLD | NOT_READY for number in range(3)}),
            Step(
                metrics={"resource": "300m"},
                pods={f"p{n}": {"start_ago_s": 3600, "ready_ago_s": 3598, **NOT_READY} for n in (1, 2)} | {"p0": OLD},
            ),
            Step(metrics={"resource": "300m"}, pods={"p0": OLD, "p1": {"start_ago_s": 60, "ready": None}}),
        ],
        replicas=4,
        highest=20,
        containers=CPU,
        behavior={"scaleUp": {"policies": [policy("Pods", 1, 3)]}},
    ),
    Series(
        name="deployment",
        claim="a real Deployment with its controllers: Pending pods reduce the next scale-up",
        metrics=[pods()],
        steps=[
            *each("load", "1", "2"),
            *each("load", "2", "2", running=2),
            *each("load", "2", running=3),
            *each("load", "1", "2", "500m", "500m", "500m", "500m", "1"),
            Step(metrics={"load": "1"}, replicas=3),
            *each("load", "1", "1", "1", "1"),
        ],
        deployed=True,
    ),
    Series(
        name="manual",
        claim="the next sync starts from manually set replicas; earlier recommendations still count",
        metrics=[pods()],
        steps=[
            *each("load", "1", "2"),
            Step(metrics={"load": "1"}, replicas=7),
            *each("load", "500m", "500m", "500m"),
            Step(metrics={"load": "1"}, replicas=1),
            *each("load", "1", "1", "1"),
            Step(metrics={"load": "1"}, replicas=8),
            *each("load", "400m", "400m", "400m"),
        ],
        replicas=3,
        behavior={
            "scaleUp": {"policies": [policy("Pods", 2, 5)], **NO_WINDOW},
            "scaleDown": {"policies": [policy("Pods", 3, 5)], "stabilizationWindowSeconds": 3},
        },
    ),
]
