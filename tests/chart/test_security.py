"""What checkov and kube-score ask of every container, pod and connection, in every case of both charts.

The tools themselves are in `tests/scan`. What does not pass has a reason in a table of the chart's README.
"""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from loadgen.base.quantity import parse_quantity
from loadgen.kube.deploy.chart import chart_folder
from support.charts.cases import CASES
from support.charts.helm import LOADGEN, TRITON, Objects, objects
from support.charts.leaves import EMULATED, ENGINE, LLMAPI, Values, merged
from support.charts.pods import GROUP_OF_ENGINES, RELEASES, containers, pods

EXAMPLES = [path.stem for path in sorted((chart_folder() / "examples").glob("*.yaml"))]
URL: Values = {"target": {"url": "grpc://llm.serving:8001"}}
POD_SECURITY = {TRITON: 1000, LOADGEN: 10001}


def with_gpu(container: Mapping[str, Any], values: Values) -> bool:
    """Whether TensorRT-LLM loads or builds a model in it: it has a writable root, for a reason beside the value."""
    resources, env = container["resources"], {each["name"] for each in container.get("env", [])}
    by_claim = {"name": "gpus"} in resources.get("claims", [])
    has_gpu = by_claim or "NVIDIA_VISIBLE_DEVICES" in env or "nvidia.com/gpu" in resources.get("limits", {})
    return values.get("mode") != "emulated" and has_gpu


@pytest.mark.parametrize("case", RELEASES)
def test_every_container_has_requests_and_limits(case: str) -> None:
    """Requests of CPU, memory and local disk, and limits of memory and local disk that are not below them.

    A download has no limit of local disk, for the reason beside `model.download.resources`.
    """
    chart, values = RELEASES[case]
    for kind, pod in pods(objects(values, chart=chart)):
        for each in containers(pod):
            requests, limits = each["resources"]["requests"], each["resources"]["limits"]
            assert {"cpu", "memory", "ephemeral-storage"} <= set(requests), (kind, each["name"])
            for name in ("memory",) if each["name"] == "download" else ("memory", "ephemeral-storage"):
                assert parse_quantity(limits[name]) >= parse_quantity(requests[name]), (kind, each["name"], name)


@pytest.mark.parametrize("case", RELEASES)
def test_every_container_is_unprivileged(case: str) -> None:
    """No capability, no privilege escalation, and a read-only root unless TensorRT-LLM runs in it."""
    chart, values = RELEASES[case]
    for kind, pod in pods(objects(values, chart=chart)):
        for each in containers(pod):
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": not with_gpu(each, values),
            }, (kind, each["name"])
            assert not any("hostPort" in port for port in each.get("ports", []))


@pytest.mark.parametrize("case", RELEASES)
def test_every_pod_is_isolated_from_its_node(case: str) -> None:
    """It runs as a user other than root, with the runtime's seccomp profile and without the node's namespaces."""
    chart, values = RELEASES[case]
    user = POD_SECURITY[chart]
    for kind, pod in pods(objects(values, chart=chart)):
        assert pod["spec"]["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": user,
            "runAsGroup": user,
            "fsGroup": user,
            "seccompProfile": {"type": "RuntimeDefault"},
        }, kind
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod["spec"]), kind
        assert pod["spec"]["enableServiceLinks"] is False, kind


@pytest.mark.parametrize("case", RELEASES)
def test_only_a_pod_that_observes_the_cluster_has_a_token(case: str) -> None:
    """The master of a load test with a namespace as its target; no worker, and no server."""
    chart, values = RELEASES[case]
    found = objects(values, chart=chart)
    for kind, pod in pods(found):
        component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        observes = chart == LOADGEN and "namespace" in values["target"] and component != "worker"
        assert pod["spec"]["automountServiceAccountToken"] is observes, kind
    for (kind, name), each in found.items():
        assert kind != "ServiceAccount" or each["automountServiceAccountToken"] is False, name


@pytest.mark.parametrize("case", RELEASES)
def test_home_and_working_directory_are_volumes(case: str) -> None:
    """Caches and temporary files are written there, and a read-only root must not be in their way."""
    chart, values = RELEASES[case]
    for kind, pod in pods(objects(values, chart=chart)):
        volumes = {each["name"]: each for each in pod["spec"].get("volumes", [])}
        for each in containers(pod):
            mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in each.get("volumeMounts", [])}
            for variable in each.get("env", []):
                if variable["name"] == "HOME":
                    assert "emptyDir" in mounts[variable["value"]], (kind, each["name"])
            if with_gpu(each, values):
                assert {"/tmp", "/dev/shm"} <= set(mounts), (kind, each["name"])
                assert each["workingDir"] == "/tmp", (kind, each["name"])


@pytest.mark.parametrize("values", [LLMAPI, ENGINE, GROUP_OF_ENGINES])
def test_a_read_only_root_can_be_set_everywhere(values: dict[str, Any]) -> None:
    """Also where TensorRT-LLM loads a model."""
    for _, pod in pods(
        objects(merged(values, {"pod": {"containerSecurityContext": {"readOnlyRootFilesystem": True}}}))
    ):
        assert all(each["securityContext"]["readOnlyRootFilesystem"] is True for each in containers(pod))


@pytest.mark.parametrize("case", RELEASES)
def test_every_image_is_pinned(case: str) -> None:
    """By a tag that is not latest, and by the digest where one is set; a download has an image of its own."""
    chart, values = RELEASES[case]
    digest = "sha256:" + 64 * "0"
    for _, pod in pods(objects(values, chart=chart)):
        for each in containers(pod):
            assert re.search(r":(?!latest$)[\w.-]+$", each["image"]), each["image"]
    for _, pod in pods(objects(merged(values, {"image": {"digest": digest}}), chart=chart)):
        images = {each["image"] for each in containers(pod) if each["name"] != "download"}
        assert all(each.endswith(f"@{digest}") for each in images)


@pytest.mark.parametrize("case", RELEASES)
def test_what_serves_has_probes(case: str) -> None:
    """Triton is restarted if it hangs, and gets no requests before it is ready; the web UI has no liveness probe."""
    chart, values = RELEASES[case]
    for _, pod in pods(objects(values, chart=chart)):
        for each in containers(pod):
            names = {port["name"] for port in each.get("ports", [])}
            probes = {name for name in ("startupProbe", "readinessProbe", "livenessProbe") if name in each}
            if "grpc" in names:
                assert probes == {"startupProbe", "readinessProbe", "livenessProbe"}
            elif "web" in names:
                assert probes == {"readinessProbe"}


def policies(found: Objects, pod: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The NetworkPolicies that select a pod."""
    labels = pod["metadata"]["labels"]

    def selects(selector: Mapping[str, Any]) -> bool:
        terms = selector.get("matchExpressions", [])
        return selector["matchLabels"].items() <= labels.items() and all(
            labels.get(term["key"]) in term["values"] for term in terms
        )

    specs = [each["spec"] for (kind, _), each in found.items() if kind == "NetworkPolicy"]
    return [spec for spec in specs if selects(spec["podSelector"])]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_connections_of_every_example_are_bounded(example: str) -> None:
    """Every pod has policies in both directions, and metrics are only for Prometheus."""
    values = CASES[TRITON][example]
    found = objects(values)
    for kind, pod in pods(found):
        selected = policies(found, pod)
        assert {way for each in selected for way in each["policyTypes"]} == {"Ingress", "Egress"}, kind
        outside = [rule for each in selected for rule in each["egress"] if "to" not in rule]
        ports = {port["port"] for rule in outside for port in rule["ports"]}
        assert ports == ({53, 5353} if values["mode"] == "emulated" else {53, 5353, 443}), kind
        for rule in [rule for each in selected for rule in each.get("ingress", [])]:
            assert {"port": "metrics"} not in rule.get("ports", []) or rule["from"]
    assert found["NetworkPolicy", "demo-triton-trtllm-jobs"]["spec"].get("ingress") is None


@pytest.mark.parametrize(
    ("chart", "values"),
    [(TRITON, merged(EMULATED, {"networkPolicy": {"enabled": True}})), (LOADGEN, URL)],
    ids=[TRITON, LOADGEN],
)
def test_outgoing_connections_are_not_bounded_by_default(chart: str, values: dict[str, Any]) -> None:
    """A list of rules bounds them, and has the chart's own rules first."""
    rule = {"ports": [{"port": 8001}]}
    for egress, types in ((None, ["Ingress"]), ([rule], ["Ingress", "Egress"])):
        found = objects(merged(values, {"networkPolicy": {"egress": egress}}), chart=chart)
        for _, pod in pods(found):
            for policy in policies(found, pod):
                assert policy["policyTypes"] == types
                assert policy.get("egress", [rule])[-1] == rule


@pytest.mark.parametrize("case", CASES[LOADGEN])
def test_a_load_test_reaches_what_the_chart_knows(case: str) -> None:
    """DNS and its own pods; for a namespace its pods, the API server, and the namespace of Prometheus."""
    values = merged(CASES[LOADGEN][case], {"networkPolicy": {"enabled": True, "egress": [{"ports": [{"port": 1}]}]}})
    found = objects(values, chart=LOADGEN)
    for _, pod in pods(found):
        (policy,) = policies(found, pod)
        dns, own, *others, last = policy["egress"]
        assert [port["port"] for port in dns["ports"]] == [53, 53, 5353, 5353]
        assert own["to"] == [{"podSelector": policy["podSelector"]}]
        assert last == {"ports": [{"port": 1}]}
        known = [values["target"]["namespace"]] if "namespace" in values["target"] else []
        known += ["monitoring"] if values["target"].get("prometheus", "").startswith("monitoring/") else []
        assert others == [
            *([{"ports": [{"port": 443}, {"port": 6443}]}] if known else []),
            *(
                {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}]}
                for name in known
            ),
        ]
