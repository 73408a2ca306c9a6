"""Series with failures of metrics, scales, selectors, API servers and the controllers themselves."""

from support.hpa.steps import (
    BROKEN,
    NO_WINDOW,
    OLD,
    PENDING,
    UNKNOWN,
    Fault,
    Series,
    Step,
    each,
    external,
    pods,
    policy,
    resource,
)

_CONFLICT = Fault(
    code=409,
    reason="Conflict",
    message='Operation cannot be fulfilled on targets.twin.loadgen.dev "web": the object has been modified; please '
    "apply your changes to the latest version and try again",
)
# client-go parses the selector before the controller does: scale/scheme/autoscalingv1/conversion.go
_MALFORMED = (
    "received an object from a /scale endpoint which was not convertible to autoscaling Scale: failed to parse target "
    "selector: couldn't parse the selector string \"app in web\": unable to parse requirement: found 'web' expected: "
    "'('"
)
_FORBIDDEN = Fault(
    code=403, reason="Forbidden", message='targets.twin.loadgen.dev "web" is forbidden: exceeded quota: replicas'
)


FAULTS = [
    Series(
        name="all-missing",
        claim="without any value the replica count is kept, for any reason, and scaling continues afterwards",
        metrics=[pods()],
        steps=[
            *each("load", "2", {}, UNKNOWN, BROKEN),
            Step(metrics={"load": {"p0": "1"}}, count=0),
            Step(metrics={"load": {"p0": "3", "p1": "3"}}, pods={f"p{n}": PENDING for n in range(4)}),
            *each("load", "2", {}, "300m", {}, "300m", "300m", "300m"),
        ],
    ),
    Series(
        name="two-metrics",
        claim="the larger proposal wins; an invalid metric prevents a scale-down but not a scale-up",
        metrics=[pods(), external(value="10")],
        steps=[
            Step(metrics={"load": "1", "backlog": ["20"]}),
            Step(metrics={"load": "1500m", "backlog": ["10"]}),
            Step(metrics={"load": UNKNOWN, "backlog": ["20"]}),
            Step(metrics={"load": "500m", "backlog": []}),
            Step(metrics={"load": {}, "backlog": ["5"]}),
            Step(metrics={"load": "1", "backlog": BROKEN}),
            Step(metrics={"load": {}, "backlog": []}),
            Step(metrics={"load": "500m", "backlog": ["10"]}),
            *[Step(metrics={"load": "500m", "backlog": ["4"]}) for _ in range(4)],
            Step(metrics={"load": "4", "backlog": BROKEN}),
        ],
    ),
    Series(
        name="no-requests",
        claim="utilization of pods without a request is an error that names the container and the pod",
        metrics=[resource(utilization=50)],
        steps=each("resource", {"p0": "100m"}, {"p0": "100m"}, count=1, pods={"p0": OLD}),
        replicas=1,
        containers={"server": {"memory": "1Gi"}},
    ),
    Series(
        name="scale-faults",
        claim="a failed read or write of the scale is reported; a write conflict is retried in the same sync",
        metrics=[pods()],
        steps=[
            Step(scale_error=Fault(message='targets.twin.loadgen.dev "web" not found')),
            *each("load", "1"),
            Step(scale_error=BROKEN),
            Step(metrics={"load": "2"}, refused=(_FORBIDDEN,)),
            Step(metrics={"load": "2"}, refused=(_CONFLICT,)),
            Step(metrics={"load": "2"}, refused=(_CONFLICT, _CONFLICT, _FORBIDDEN)),
            *each("load", "2", "1"),
        ],
    ),
    Series(
        name="selectors",
        claim="a selector that is missing, malformed or shared with another HPA stops the sync",
        metrics=[pods()],
        steps=[
            *each("load", "1"),
            Step(metrics={"load": "2"}, selector=""),
            Step(metrics={"load": "2"}, selector="app in web", unreadable=_MALFORMED),
            Step(metrics={"load": "2"}, selector="app=none"),
            *each("load", "2"),
            *each("load", "2", "2", rival=True),
            *each("load", "2", "1"),
        ],
    ),
    Series(
        name="restart",
        claim="a restarted controller has lost windows and periods, and continues from the status",
        metrics=[external(average="1")],
        steps=[
            *each("backlog", ["6"], ["6"], ["3"]),
            Step(metrics={"backlog": ["3"]}, restart=True),
            *each("backlog", ["3"], ["3"], ["3"], ["3"], ["9"]),
            Step(metrics={"backlog": ["9"]}, restart=True),
            *each("backlog", ["9"]),
        ],
        replicas=4,
        behavior={
            "scaleUp": {"policies": [policy("Pods", 1, 9)], **NO_WINDOW},
            "scaleDown": {"stabilizationWindowSeconds": 7},
        },
        with_pods=False,
        tier="restart",
    ),
]


def _stopped(name: str, group: str, metric: object, query: str, text: str, *answers: object) -> Series:
    """Return a series of two syncs, four syncs without the server, and syncs until the server is available again."""
    first, last = answers
    return Series(
        name=name,
        claim="its API server is stopped: the replica count is kept, and scaling continues after the restart",
        metrics=[metric],  # type: ignore[list-item]
        steps=[
            *each(query, first, first),
            Step(metrics={query: last}, stop=(group,), unreachable={query: text}),
            *each(query, last, last, last, unreachable={query: text}),
            Step(metrics={query: last}, start=(group,), unreachable={query: text}),
            *each(query, last, last, last, last, last, unreachable={query: text}),
        ],
        containers={"server": {"cpu": "500m", "memory": "100Mi"}},
        tier="outage",
    )


OUTAGE = [
    _stopped(
        "stopped-pods",
        "custom.metrics.k8s.io",
        pods(),
        "load",
        "pods.custom.metrics.k8s.io *",
        "2",
        "500m",
    ),
    _stopped(
        "stopped-external",
        "external.metrics.k8s.io",
        external(value="10"),
        "backlog",
        "backlog.external.metrics.k8s.io",
        ["20"],
        ["40"],
    ),
    _stopped(
        "stopped-resource",
        "metrics.k8s.io",
        resource(utilization=50, name="memory"),
        "resource",
        "pods.metrics.k8s.io",
        "80Mi",
        "20Mi",
    ),
]
