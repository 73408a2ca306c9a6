"""What clusters with rules ask of every object and pod: labels, annotations, resources, an end beside a sidecar."""

import json
from typing import Any

import pytest

from support.charts.cases import CASES
from support.charts.helm import LOADGEN, TRITON, Objects, notes, objects, rejection
from support.charts.leaves import EMULATED, ENGINE, merged
from support.charts.pods import BY_POD, GROUP_OF_ENGINES, RELEASES, containers, pods

URL: dict[str, Any] = {"target": {"url": "grpc://llm.serving:8001"}}
COMMON = {"commonLabels": {"team": "serving"}, "commonAnnotations": {"example.com/contact": "oncall"}}

SMALL = {"requests": {"cpu": "11m", "memory": "22Mi"}, "limits": {"cpu": "33m", "memory": "44Mi"}}
RESOURCES = {
    TRITON: {
        "server": {"resources": SMALL},
        "init": {"resources": SMALL},
        "test": {"resources": SMALL},
        "engine": {"build": {"resources": SMALL}},
        "model": {"download": {"resources": SMALL}},
    },
    LOADGEN: {"resources": SMALL},
}


def with_rules(case: str) -> Objects:
    """A release with common labels, common annotations and all resources set."""
    chart, values = RELEASES[case]
    return objects(merged(merged(values, COMMON), RESOURCES[chart]), chart=chart)


@pytest.mark.parametrize("case", RELEASES)
def test_common_labels_and_annotations_reach_everything(case: str) -> None:
    """Every object and pod has them, also one with labels and annotations of its own, and no selector does."""
    found = with_rules(case)
    for metadata in [each["metadata"] for each in [*found.values(), *(pod for _, pod in pods(found))]]:
        assert metadata["labels"]["team"] == "serving", metadata
        assert metadata["annotations"]["example.com/contact"] == "oncall", metadata
    for (kind, _), each in found.items():
        for field in ("selector", "podSelector"):
            assert "team" not in json.dumps((each.get("spec") or {}).get(field)), kind


@pytest.mark.parametrize("case", RELEASES)
def test_every_container_has_settable_resources(case: str) -> None:
    """A quota counts every container of every pod, init containers and tests included."""
    for kind, pod in pods(with_rules(case)):
        for each in containers(pod):
            for side, amounts in SMALL.items():
                assert amounts.items() <= each["resources"][side].items(), (kind, each["name"])


@pytest.mark.parametrize("chart", CASES)
def test_labels_of_one_kind_of_object_win_over_the_common_ones(chart: str) -> None:
    """A key that is in both is rendered once, with the more specific value."""
    of_kind = {TRITON: {"metrics": {"labels": {"release": "two"}}}, LOADGEN: {"pod": {"labels": {"release": "two"}}}}
    base = {TRITON: EMULATED, LOADGEN: URL}[chart]
    found = objects(merged(base, {"commonLabels": {"release": "one"}, **of_kind[chart]}), chart=chart)
    where = {TRITON: ("PodMonitor", "demo-triton-trtllm"), LOADGEN: ("Job", "demo-loadgen-1")}[chart]
    labels = found[where]["metadata"] if chart == TRITON else found[where]["spec"]["template"]["metadata"]
    assert labels["labels"]["release"] == "two"


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("commonLabels", "app.kubernetes.io/name"),
        ("pod.labels", "app.kubernetes.io/component"),
        ("sidecarOptOut.labels", "app.kubernetes.io/instance"),
        ("metrics.labels", "helm.sh/chart"),
    ],
)
def test_a_label_that_the_chart_sets_is_refused(value: str, label: str) -> None:
    """Selectors would no longer match, or the key would be there twice."""
    labels: Any = {label: "mine"}
    for key in reversed(value.split(".")):
        labels = {key: labels}
    message = f"{value} contains {label}, which the chart sets itself"
    assert message in rejection(merged(EMULATED, labels))
    if value != "metrics.labels":
        assert message in rejection(merged(URL, labels), chart=LOADGEN)


@pytest.mark.parametrize("case", RELEASES)
def test_pods_that_end_have_no_sidecar(case: str) -> None:
    """Jobs and tests would wait for the sidecar of a mesh to end; pods that serve keep it."""
    chart, values = RELEASES[case]
    for kind, pod in pods(objects(values, chart=chart)):
        labels, annotations = pod["metadata"]["labels"], pod["metadata"]["annotations"]
        finite = kind in ("Job", "Pod")
        assert (labels.get("sidecar.istio.io/inject") == "false") is finite
        assert (annotations.get("sidecar.istio.io/inject") == "false") is finite
        assert (annotations.get("linkerd.io/inject") == "disabled") is finite


@pytest.mark.parametrize(("chart", "values"), [(TRITON, ENGINE), (LOADGEN, URL)])
def test_the_opt_out_can_be_left_out(chart: str, values: dict[str, Any]) -> None:
    """For native sidecars, which end with their pod."""
    found = objects(merged(values, {"sidecarOptOut": {"labels": None, "annotations": None}}), chart=chart)
    assert "inject" not in json.dumps([pod["metadata"] for _, pod in pods(found)])


@pytest.mark.parametrize("case", RELEASES)
def test_every_container_has_requests_by_default(case: str) -> None:
    """CPU and memory; the small containers have limits, too, so that they pass a quota on limits."""
    chart, values = RELEASES[case]
    for kind, pod in pods(objects(values, chart=chart)):
        for each in containers(pod):
            assert {"cpu", "memory"} <= set(each["resources"]["requests"]), (kind, each["name"])
            if each["name"] in ("models", "inference") or "/opt/chart/wait.py" in each.get("command", []):
                assert {"cpu", "memory", "ephemeral-storage"} <= set(each["resources"]["limits"])


@pytest.mark.parametrize("values", [ENGINE, BY_POD, GROUP_OF_ENGINES])
def test_a_build_with_resources_of_its_own_has_its_gpus(values: dict[str, Any]) -> None:
    """They are added as for the server: a build without a GPU fails after the download."""
    found = objects(merged(values, {"engine": {"build": {"resources": {"requests": {"cpu": "2"}}}}}))
    builds = [
        each["resources"]
        for _, pod in pods(found)
        for each in containers(pod)
        if "/opt/chart/build.py" in each.get("command", [])
    ]
    assert builds
    for each in builds:
        assert each["requests"]["cpu"] == "2"
        assert int(each["limits"]["nvidia.com/gpu"]) > 0


def test_the_reader_of_the_notes_obeys_the_same_rules() -> None:
    """The pod that copies run folders has resources, the common labels, and no sidecar."""
    values = merged(URL, {**COMMON, "runs": {"create": {"enabled": True}}})
    line = next(line for line in notes(LOADGEN, values).splitlines() if "run reader" in line)
    pod = json.loads(line.partition("--overrides='")[2].rstrip("'"))
    assert pod["metadata"]["labels"] == {"team": "serving", "sidecar.istio.io/inject": "false"}
    assert pod["metadata"]["annotations"]["example.com/contact"] == "oncall"
    assert {"cpu", "memory"} <= set(pod["spec"]["containers"][0]["resources"]["limits"])
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
