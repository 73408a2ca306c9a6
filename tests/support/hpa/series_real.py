"""Series with the controller's default periods of 15 s and 300 s; recording takes about 10 minutes."""

from support.hpa.steps import CPU, OLD, STARTED, STARTING, UNKNOWN, Series, Step, each, external, pods, policy, resource

REAL = [
    Series(
        name="real-step",
        claim="a step at the real 15 s and 300 s without behavior: up at once, down after 300 s; two reads fail",
        metrics=[pods()],
        steps=each("load", "1", "1", "3", "3", "1200m", "1", "1", "2", *["300m"] * 10, {}, UNKNOWN, *["300m"] * 16),
        replicas=1,
        tier="slow",
    ),
    Series(
        name="real-behavior",
        claim="the defaults of behavior at 15 s and 300 s: 4 pods or 100 % per sync, down after 300 s",
        metrics=[external(average="10")],
        steps=each("backlog", ["10"], ["60"], ["400"], ["400"], ["200"], ["330"], *[["20"]] * 30),
        replicas=1,
        highest=40,
        behavior={"scaleDown": {"selectPolicy": "Max"}},
        with_pods=False,
        tier="slow",
    ),
    Series(
        name="real-wave",
        claim="two waves less than 300 s apart: the trough between them does not scale down",
        metrics=[external(value="10")],
        steps=each(
            "backlog",
            *[[str(level)] for level in (10, 15, 20, 15, 10, 6, 4, 4, 4, 6, 10, 18, 14, 10, 5)],
            *[["3"]] * 21,
        ),
        tier="slow",
    ),
    Series(
        name="real-policies",
        claim="scale-ups of one pod per minute, scale-downs of half within 2 minutes with a window of 60 s",
        metrics=[pods()],
        steps=each("load", "1", *["4"] * 15, "1", *["100m"] * 19),
        behavior={
            "scaleUp": {"stabilizationWindowSeconds": 20, "policies": [policy("Pods", 1, 55)]},
            "scaleDown": {"stabilizationWindowSeconds": 67, "policies": [policy("Percent", 50, 115)]},
        },
        tier="slow",
    ),
    Series(
        name="real-cpu",
        claim="CPU at the real 300 s and 30 s: new pods count from their first full window, or not at all",
        metrics=[resource(utilization=50)],
        steps=[
            *each("resource", "250m", "450m", pods={"p0": OLD, "p1": OLD}),
            *[
                Step(metrics={"resource": "400m"}, pods={"p0": OLD, "p1": OLD, "p2": STARTING, "p3": STARTING})
                for _ in range(3)
            ],
            *[
                Step(metrics={"resource": "400m"}, pods={"p0": OLD, "p1": OLD, "p2": STARTED, "p3": STARTING})
                for _ in range(22)
            ],
            *each("resource", *["100m"] * 9, pods={"p0": OLD, "p1": OLD, "p2": STARTED, "p3": STARTED}),
        ],
        containers=CPU,
        tier="slow",
    ),
    Series(
        name="real-zero",
        claim="to zero after 300 s without a backlog, and back at the first request",
        metrics=[external(value="10")],
        steps=each("backlog", ["10"], ["12"], *[["0"]] * 24, ["1"], ["1"], ["20"], ["20"], ["0"], ["0"], ["0"], ["10"]),
        replicas=1,
        lowest=0,
        tier="slow",
    ),
]
