"""Series with Object, External, Resource and ContainerResource metrics, and scaling to zero and back."""

from support.hpa.steps import (
    BROKEN,
    FREE,
    NO_WINDOW,
    NOT_READY,
    OLD,
    PENDING,
    Fault,
    Series,
    Step,
    each,
    external,
    on_object,
    resource,
)

_UNSET = on_object(average="10")
_UNSET["object"]["target"]["type"] = "Value"

SOURCES = [
    Series(
        name="object-value",
        claim="an Object metric with a Value target multiplies the ready pods, not the replicas",
        metrics=[on_object(value="10")],
        steps=[
            *each("queue", "10", "15", "11", "30"),
            Step(metrics={"queue": "20"}, pods={"p0": NOT_READY, "p1": PENDING}),
            Step(metrics={"queue": "20"}, count=0),
            *each("queue", BROKEN, "0", "3", "3", "3", "3"),
        ],
    ),
    Series(
        name="object-average",
        claim="an Object metric with an AverageValue target divides by the existing pods, and is called external",
        metrics=[on_object(average="10")],
        steps=[
            *each("queue", "20", "45", "44", "101"),
            Step(metrics={"queue": "100"}, status_replicas=5),
            *each("queue", Fault(message="queue not found"), "20", "20", "20", "20", "20"),
        ],
    ),
    Series(
        name="external-average",
        claim="the series of an External metric are summed and divided by the existing pods; texts name its selector",
        metrics=[
            external(
                average="10",
                selector={
                    "matchLabels": {"team": "serving", "app": "triton"},
                    "matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}],
                },
            )
        ],
        steps=each("backlog", ["10", "10"], ["20", "20", "7"], ["1", "2"], [], BROKEN, ["1"], ["1"], ["1"], ["90"]),
    ),
    Series(
        name="huge-values",
        claim="values that overflow int32 and int64 are converted as in Go",
        metrics=[external(average="1m"), on_object(average="1m")],
        steps=[
            Step(metrics={"backlog": ["1"], "queue": "1"}),
            Step(metrics={"backlog": ["5000000000000000", "5000000000000000"], "queue": "1"}),
            Step(metrics={"backlog": ["1"], "queue": "9000000000000000"}),
            Step(metrics={"backlog": ["-5"], "queue": "1"}),
            Step(metrics={"backlog": ["3m"], "queue": "-9"}),
        ],
        highest=2000,
        behavior={"scaleUp": FREE, "scaleDown": FREE},
        with_pods=False,
    ),
    Series(
        name="huge-totals",
        claim="the sum of an External metric with a Value target is capped at the highest int64",
        metrics=[external(value="1m")],
        steps=each("backlog", ["1m"], ["5000000000000000", "5000000000000000"], ["1m"], ["-1", "3"], ["2m", "-1m"]),
        highest=6,
    ),
    Series(
        name="object-unset",
        claim="an Object metric whose target type names an unset value is accepted, and fails in every sync",
        metrics=[_UNSET],
        steps=each("queue", "20", "40"),
    ),
    Series(
        name="memory",
        claim="memory per pod, an average in bytes: a container without a value excludes its pod",
        metrics=[resource(average="100Mi", name="memory")],
        steps=[
            *each("resource", "50Mi", "80Mi", "120Mi"),
            *each("resource", {"p0": {"server": "200Mi", "sidecar": None}, "p1": "60Mi"}),
            *each("resource", {}, {"p0": {"server": None, "sidecar": "1Mi"}}),
            *each("resource", "10Mi", "10Mi", "10Mi", "10Mi"),
        ],
        containers={"server": {"memory": "256Mi"}, "sidecar": {"memory": "64Mi"}},
    ),
    Series(
        name="container-cpu",
        claim="one container's CPU against its own request",
        metrics=[resource(utilization=50, container="server")],
        steps=[
            *each(
                "resource",
                *[
                    {f"p{number}": {"server": value, "sidecar": "2"} for number in range(2)}
                    for value in ("250m", "400m")
                ],
                pods={"p0": OLD, "p1": OLD},
            ),
            *each(
                "resource",
                {"p0": {"server": "1", "sidecar": "0"}, "p1": {"sidecar": "1"}},
                pods={f"p{number}": OLD for number in range(4)},
            ),
            *each("resource", {"p0": {"sidecar": "1"}}, {}, pods={f"p{number}": OLD for number in range(4)}),
            *each(
                "resource",
                *[{f"p{number}": {"server": "50m"} for number in range(4)}] * 4,
                pods={f"p{number}": OLD for number in range(4)},
            ),
        ],
        containers={"server": {"cpu": "500m"}, "sidecar": {}},
        behavior={"scaleDown": FREE},
    ),
    Series(
        name="to-zero",
        claim="an External metric scales to zero and back; the tolerance is ignored at zero",
        metrics=[external(value="10")],
        steps=each("backlog", ["10"], *[["0"]] * 5, ["1"], ["1"], *[["0"]] * 4, ["35"], ["35"], []),
        replicas=1,
        lowest=0,
    ),
    Series(
        name="to-zero-behavior",
        claim="the same with behavior and a target per replica, where 0 is divided by 0",
        metrics=[external(average="10")],
        steps=each("backlog", ["20"], *[["0"]] * 3, ["0"], [], ["5"], ["35"], *[["0"]] * 3, ["100"]),
        lowest=0,
        behavior={"scaleDown": {"stabilizationWindowSeconds": 3}},
        with_pods=False,
    ),
    Series(
        name="zero-raised",
        claim="raising minReplicas while the HPA is at zero scales up to it",
        metrics=[external(value="10")],
        steps=[
            *each("backlog", *[["0"]] * 5),
            Step(metrics={"backlog": ["0"]}, spec={"minReplicas": 2}),
            *each("backlog", ["0"], ["30"]),
        ],
        replicas=1,
        lowest=0,
    ),
    Series(
        name="zero-raised-behavior",
        claim="the same with behavior, where minReplicas is the only reason for a change",
        metrics=[external(average="10")],
        steps=[
            *each("backlog", *[["0"]] * 3),
            Step(metrics={"backlog": ["0"]}, spec={"minReplicas": 2}),
            *each("backlog", ["0"], ["50"]),
        ],
        replicas=1,
        lowest=0,
        behavior={"scaleDown": NO_WINDOW},
        with_pods=False,
    ),
    Series(
        name="zero-by-hand",
        claim="manually scaling to zero disables the HPA until a manual scale-up, independent of the metrics",
        metrics=[external(value="10")],
        steps=[
            *each("backlog", ["10"]),
            Step(metrics={"backlog": ["90"]}, replicas=0),
            *each("backlog", ["90"], ["90"]),
            Step(metrics={"backlog": ["20"]}, replicas=2),
            *each("backlog", ["20"], *[["0"]] * 4, ["5"]),
        ],
        lowest=0,
    ),
]
