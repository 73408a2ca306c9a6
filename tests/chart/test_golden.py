"""What the charts render: as they did before, clean by helm's own rules, and accepted by a real API server.

UPDATE_GOLDEN=1 uv run pytest tests/chart/test_golden.py -n 0 && git diff tests/golden
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadgen.kube.deploy.chart import chart_folder
from loadgen.sandbox.build.build import find
from support.charts.cases import LEADER_WORKER_SET, cases
from support.charts.helm import LOADGEN, TRITON, helm, objects, template
from support.charts.load_cases import LOAD_CASES
from support.kube.cluster import NO_ONE_NAMESPACE, Cluster

GOLDEN = {
    name: Path(__file__).parents[1] / "golden" / folder
    for name, folder in ((TRITON, "chart"), (LOADGEN, "chart-loadgen"))
}
CASES = {TRITON: cases(), LOADGEN: LOAD_CASES}
ALL = [(chart, name) for chart, every in CASES.items() for name in every]


def scrubbed(text: str) -> str:
    """Without what changes with every line of a script: the scripts, and checksums over them."""
    text = re.sub(r'^(  [\w.-]+\.(?:py|pbtxt)): ".*"$', r"\1: (a file)", text, flags=re.MULTILINE)
    return re.sub(r"checksum/config: \w{64}", "checksum/config: (a checksum)", text)


@pytest.mark.parametrize(("chart", "name"), ALL)
def test_it_renders_as_it_did(chart: str, name: str) -> None:
    """A change of the chart is a change of these files, for a person to read."""
    text = scrubbed(template(CASES[chart][name], chart=chart))
    file = GOLDEN[chart] / f"{name}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text(), f"read the difference, then UPDATE_GOLDEN=1 for {name}"


@pytest.mark.parametrize("chart", CASES)
def test_nothing_else_is_golden(chart: str) -> None:
    """A file that no case renders any more would be compared with nothing."""
    assert {path.stem for path in GOLDEN[chart].glob("*.yaml")} == set(CASES[chart])


@pytest.mark.parametrize(("chart", "name"), ALL)
def test_it_is_clean_by_helms_own_rules(chart: str, name: str) -> None:
    """`helm lint --strict` has nothing to say."""
    done = helm("lint", "--strict", str(chart_folder(chart)), values=CASES[chart][name])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout, done.stdout


@pytest.mark.parametrize(("chart", "name"), ALL)
def test_a_real_api_server_accepts_it(chart: str, name: str, cluster: Cluster, definitions: None) -> None:
    """Every object passes validation and admission, unknown fields refused, in a dry run on the server."""
    text = template(CASES[chart][name], namespace=cluster.namespace, chart=chart)
    done = cluster.run("apply", NO_ONE_NAMESPACE, "--dry-run=server", "--validate=strict", "--filename=-", stdin=text)
    assert done.returncode == 0, done.stderr
    accepted = [line for line in done.stdout.splitlines() if line.endswith("(server dry run)")]
    assert len(accepted) == len([each for each in yaml.safe_load_all(text) if each])


@pytest.mark.parametrize("name", [name for name, values in CASES[TRITON].items() if "multiNode" in values])
def test_a_real_api_server_accepts_the_pods_of_a_group(name: str, cluster: Cluster) -> None:
    """The definition of LeaderWorkerSet here lets any pod template pass; as pods they are checked as the rest is."""
    (group,) = [each["spec"] for (kind, _), each in objects(CASES[TRITON][name]).items() if kind == "LeaderWorkerSet"]
    pods = []
    for role in ("leader", "worker"):
        template = group["leaderWorkerTemplate"][f"{role}Template"]
        # the release's own account is not there in a dry run
        spec = {**template["spec"], "serviceAccountName": "default"}
        metadata = {**template["metadata"], "name": role}
        pods.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    whole = json.dumps({"apiVersion": "v1", "kind": "List", "items": pods})
    done = cluster.run("apply", "--dry-run=server", "--validate=strict", "--filename=-", stdin=whole)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("(server dry run)") == 2


@pytest.fixture(scope="module")
def definitions(cluster: Cluster) -> None:
    """What the charts need: kinds of the operator, Traefik, KEDA, Gateway API, LeaderWorkerSet; namespaces to read."""
    for namespace in ("serving", "monitoring"):
        cluster.kubectl("create", "namespace", namespace)
    tools = find()
    folders = [tools[name] for name in ("operator-crds", "traefik-crds", "keda-crds", "gateway-crds")]
    folders.append(LEADER_WORKER_SET)
    cluster.kubectl("apply", "--server-side", *(f"--filename={folder}" for folder in folders))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")


def pod(values: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = deployment(values)["template"]["spec"]
    return spec


def deployment(values: dict[str, Any]) -> dict[str, Any]:
    (found,) = [each["spec"] for (kind, _), each in objects(values).items() if kind == "Deployment"]
    return dict(found)


def test_a_pod_asks_for_its_gpus_and_is_limited_in_nothing_else() -> None:
    """TP × PP GPUs as limit and request; CPU and memory are requests, so that nothing is throttled or killed."""
    resources = pod(CASES[TRITON]["llama-3.1-70b-h100-tp4"])["containers"][0]["resources"]
    assert resources["limits"] == {"nvidia.com/gpu": "4"}
    assert resources["requests"] == {"nvidia.com/gpu": "4", "cpu": "16", "memory": "128Gi"}


def test_users_affinity_and_gpu_product_hold_together() -> None:
    """Node terms are alternatives: the product is in each of them, not beside them."""
    terms = pod(CASES[TRITON]["emulated-everything-set"])["affinity"]["nodeAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]["nodeSelectorTerms"]
    (term,) = terms
    assert [each["key"] for each in term["matchExpressions"]] == ["zone", "nvidia.com/gpu.product"]


def test_replicas_are_not_rendered_under_an_autoscaler() -> None:
    """An upgrade leaves the number to whoever scales; without one it is what was asked for."""
    assert "replicas" not in deployment(CASES[TRITON]["emulated"])
    assert deployment(CASES[TRITON]["emulated-static"])["replicas"] == 3
