"""Odd HPA manifests, valid and invalid, that tell a reader of manifests from the API server.

Each is a small change of one valid object. `record_corpus.py` asks a real API server about each of them.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

OMIT = object()
INTEGERS: tuple[Any, ...] = (
    None, 1, 3.0, 1e3, 3.5, -1, 0, "3", True, [], {}, 2**31 - 1, 2**31, -(2**31) - 1, 2**32 + 1, 2**63, 1e30, OMIT,
)  # fmt: skip
QUANTITIES: tuple[Any, ...] = (
    None, 1, 1.5, 1e-7, 1e21, 0, -1, "0", "1m", "1n", "0.1n", "-1n", "-0.5m", "1.5Ki", "+2", " 2 ",
    "2 m", "", " ", "m", "+", ".",
    "5.", ".5", "-.5", "1e3", "1E3", "1e+2", "1e-12", "1e100", "1e", "1E", "1Ei", "8Ei", "9.3P",
    "100000000000000000000", "1" * 120, 2**53 + 1,
    "0x10", "1_000", "1k", "1K", "1mi", "١", "NaN", "inf", True, [1], {"a": 1}, OMIT,
)  # fmt: skip
TEXTS: tuple[Any, ...] = (None, "", "a/b", "a%b", ".", "..", "...", "a b", "Ünï", "a" * 300, 1, True, [], OMIT)
CHOICES: tuple[Any, ...] = (None, "", "max", "MAX", "Max ", 1, OMIT)
STRUCTS: tuple[Any, ...] = (None, {}, [], "x", 1, False, {"bogus": 1}, OMIT)

PODS = {
    "type": "Pods",
    "pods": {"metric": {"name": "ratio"}, "target": {"type": "AverageValue", "averageValue": "1500m"}},
}
OBJECT = {
    "type": "Object",
    "object": {
        "describedObject": {"apiVersion": "v1", "kind": "Service", "name": "triton"},
        "metric": {"name": "queue"},
        "target": {"type": "Value", "value": "2k"},
    },
}
EXTERNAL = {
    "type": "External",
    "external": {"metric": {"name": "backlog"}, "target": {"type": "AverageValue", "averageValue": 3}},
}
RESOURCE = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}},
}
CONTAINER = {
    "type": "ContainerResource",
    "containerResource": {
        "name": "cpu",
        "container": "server",
        "target": {"type": "Utilization", "averageUtilization": 60},
    },
}
SOURCES = {"pods": PODS, "object": OBJECT, "external": EXTERNAL, "resource": RESOURCE, "containerResource": CONTAINER}
BEHAVIOR = {
    "scaleUp": {
        "stabilizationWindowSeconds": 30,
        "selectPolicy": "Min",
        "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}],
        "tolerance": "50m",
    },
    "scaleDown": {"selectPolicy": "Disabled"},
}


def valid(path: str = "") -> dict[str, Any]:
    """Return the object that the corpus changes at a path: it has the metric and the behavior that the path names."""
    field = next((part for part in path.split("/") if part in SOURCES), "pods")
    spec: dict[str, Any] = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "triton"},
        "maxReplicas": 7,
        "metrics": [SOURCES[field]],
    }
    if "behavior" in path:
        spec["behavior"] = BEHAVIOR
    return deepcopy(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "triton"},
            "spec": spec,
        }
    )


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the valid object with one field set, or removed for `OMIT`; a path has indexes and keys, joined by `/`."""
    manifest: Any = valid(path)
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("/"))
    at = manifest
    for part in parents:
        at = at[part] if isinstance(part, int) or part in at else at.setdefault(part, {})
    if value is OMIT:
        at.pop(last, None)
    else:
        at[last] = deepcopy(value)
    return manifest


def _fields() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield the path of a field and its odd values."""
    up = "spec/behavior/scaleUp"
    yield "metadata", (None, {}, [], "x", {"generateName": "triton-"}, {"name": "a", "bogus": 1}, OMIT)
    yield "metadata/name", (None, "", "a/b", "A", "a.b", "a_b", "-a", "a-", "a" * 253, "a" * 254, 1)
    yield "metadata/namespace", (None, "", "default")
    for which in ("labels", "annotations"):
        yield f"metadata/{which}", (
            None, {}, [], {"a": "b"}, {"a": None}, {"a": ""}, {"a": 1}, {"a": True}, {"": "b"},
            {"a b": "c"}, {"a/b/c": "d"},
            {"x.io/a": "b"}, {"X.io/a": "b"}, {"/a": "b"}, {"a": "b c"}, {"a": "-b"}, {"a": "b" * 64}, {"a" * 64: "b"},
        )  # fmt: skip
    yield "metadata/finalizers", (None, [], ["x.io/a"], ["a"], ["A b"], "x.io/a")
    yield "spec", (None, {}, [], "x", OMIT)
    yield "bogus", (1, None, {})
    yield "spec/bogus", (1, None)
    yield "spec/maxreplicas", (1,)
    yield "status", (None, {}, {"currentReplicas": 2}, {"bogus": 1}, {"currentReplicas": "2"}, {"conditions": None}, 3)
    yield "spec/minReplicas", (*INTEGERS, 7, 8)
    yield "spec/maxReplicas", INTEGERS
    yield "spec/scaleTargetRef", STRUCTS
    yield "spec/scaleTargetRef/kind", TEXTS
    yield "spec/scaleTargetRef/name", TEXTS
    yield "spec/scaleTargetRef/bogus", (1,)
    versions = (None, "", "v1", "apps/v1", "/v1", "apps/", "/", "a/b/c", " apps/v1", "Apps/V 1", 1, OMIT)
    yield "spec/scaleTargetRef/apiVersion", versions
    yield "spec/metrics/0/object/describedObject/apiVersion", versions
    yield "spec/metrics/0/object/describedObject", STRUCTS
    yield "spec/metrics/0/object/describedObject/kind", TEXTS
    yield "spec/metrics/0/object/describedObject/name", TEXTS
    yield "spec/metrics", (None, [], {}, "x", [None], [{}], [[]], [{"type": "Pods"}], OMIT)
    yield "spec/metrics/0/type", (None, "", "pods", "Object", "Bogus", OMIT)
    for field in SOURCES:
        yield f"spec/metrics/0/{field}", STRUCTS
        yield f"spec/metrics/0/{field}/target", (*STRUCTS, {"type": "Value", "value": 1}, {"type": "Value"})
        yield f"spec/metrics/0/{field}/target/type", (None, "", "value", "Value", "Utilization", OMIT)
        yield f"spec/metrics/0/{field}/target/averageUtilization", (None, 1, 0, 3.0, 2**31)
        yield f"spec/metrics/0/{field}/target/value", (None, 1, 0, "-1n", "x")
        yield f"spec/metrics/0/{field}/bogus", (1,)
    yield "spec/metrics/0/pods/target/averageValue", QUANTITIES
    yield "spec/metrics/0/resource/target/averageUtilization", INTEGERS
    for field in ("pods", "object", "external"):
        yield f"spec/metrics/0/{field}/metric", STRUCTS
        yield f"spec/metrics/0/{field}/metric/name", TEXTS
    selector = "spec/metrics/0/external/metric/selector"
    yield selector, (None, {}, [], "x", {"bogus": 1}, {"matchLabels": None}, {"matchExpressions": None})
    yield f"{selector}/matchLabels", (
        {}, [], {"a": "b"}, {"a": None}, {"a": 1}, {"a": True}, {"": ""}, {"a b": "c d"}, {"a": "b" * 64}, {"a": ["b"]},
    )  # fmt: skip
    yield f"{selector}/matchExpressions", (
        [], {}, [None], [{}], [{"key": "a"}], [{"operator": "In"}], [{"key": "a", "operator": "Gt", "values": ["1"]}],
        [{"key": "a", "operator": "In"}], [{"key": "a", "operator": "In", "values": None}],
        [{"key": "", "operator": "Exists"}],
        [{"key": "a", "operator": "Exists", "values": ["b"]}], [{"key": "a", "operator": "In", "values": [None]}],
        [{"key": "a", "operator": "In", "values": [1]}], [{"key": "a", "operator": "In", "values": "b"}],
        [{"key": "a", "operator": "in", "values": ["b"]}], [{"key": None, "operator": None}],
        [{"key": 1, "operator": "In"}],
        [{"key": "a b", "operator": "In", "values": ["c d"]}],
        [{"key": "a", "operator": "In", "values": ["b"], "bogus": 1}],
    )  # fmt: skip
    names = ("memory", "ephemeral-storage", "hugepages-2Mi", "storage", "pods", "nvidia.com/gpu", "gpu", "requests.cpu",
             "kubernetes.io/x", "requests.x.io/a", "x.io/a b")  # fmt: skip
    for field in ("resource", "containerResource"):
        yield f"spec/metrics/0/{field}/name", (*TEXTS, *names)
    yield "spec/metrics/0/containerResource/container", (*TEXTS, "A", "a-b", "a.b", "-a", "a" * 63, "a" * 64)
    yield "spec/behavior", STRUCTS
    for direction in ("scaleUp", "scaleDown"):
        yield f"spec/behavior/{direction}", STRUCTS
    yield f"{up}/stabilizationWindowSeconds", (*INTEGERS, 3600, 3601)
    yield f"{up}/selectPolicy", (*CHOICES, "Max", "Disabled")
    yield f"{up}/tolerance", QUANTITIES
    yield f"{up}/policies", (None, [], {}, "x", [None], [{}], [{"type": "Pods"}], [[]], OMIT)
    yield f"{up}/policies/0/type", (*CHOICES, "pods", "Pods")
    yield f"{up}/policies/0/value", INTEGERS
    yield f"{up}/policies/0/periodSeconds", (*INTEGERS, 1800, 1801)
    yield f"{up}/policies/0/bogus", (1,)


def _more() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield objects that differ in two fields or more."""
    for count, metrics in enumerate(([PODS], [RESOURCE], [CONTAINER], [OBJECT], [EXTERNAL], None, [])):
        manifest = changed("spec/metrics", metrics)
        manifest["spec"]["minReplicas"] = 0
        yield f"minReplicas 0, metrics {count}", manifest
    for field, source in SOURCES.items():
        for other, second in SOURCES.items():
            if field < other:
                yield f"one metric with {field} and {other}", changed("spec/metrics", [source | {other: second[other]}])
    both = {"type": "Value", "value": 1, "averageValue": 1}
    for field in SOURCES:
        yield f"{field} with two targets", changed(f"spec/metrics/0/{field}/target", both)
        every = both | {"averageUtilization": 5}
        yield f"{field} with three targets", changed(f"spec/metrics/0/{field}/target", every)
    yield "twenty metrics", changed("spec/metrics", [PODS] * 20)
    yield "one metric twice", changed("spec/metrics", [PODS, PODS])


def corpus() -> Mapping[str, dict[str, Any]]:
    """Return every manifest by a name that says what was changed."""
    manifests = {"the valid object": valid()}
    for path, values in _fields():
        for value in values:
            shown = "omitted" if value is OMIT else repr(value)
            short = shown if len(shown) <= 60 else f"{shown[:50]}… ({len(shown)} characters)"
            manifests[f"{path} = {short}"] = changed(path, value)
    for name, manifest in _more():
        manifests[name] = manifest
    return manifests
