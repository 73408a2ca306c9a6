"""The chart on a real control plane, installed by the real helm: signal, inference, upgrade, drain, slow load, removal.

Three releases stay for the whole file: one plays TensorRT engines behind BLS, one the chart's own model over the LLM
API, and one is a group of two nodes, whose controller is played.
"""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import yaml

from loadgen.kube.deploy.chart import chart_folder
from loadgen.programs.find import find_tritonserver
from loadgen.sandbox import emulated
from loadgen.sandbox.commands import DEFAULT_NODES, Sandbox
from loadgen.sandbox.images import table, write_images
from support.charts.cases import LEADER_WORKER_SET
from support.charts.gateway import address_of_traefik, ask_by_gateway
from support.charts.release import (
    Release,
    expressions,
    hpa,
    installed,
    query,
    scales,
    upgraded_under_load,
    values,
    wait_until_scraped,
)
from support.kube import group_stand_ins
from support.kube.cluster import eventually
from support.kube.given import Given, given_cluster
from support.kube.group_controller import GroupController
from support.kube.sandboxes import config_of, inside, up

pytestmark = [pytest.mark.timeout(600), pytest.mark.any_cluster]


@pytest.fixture(scope="module")
def sandbox(_built: None) -> Iterator[Given | Sandbox]:
    if (given := given_cluster()) is not None:
        yield given
        given.remove_made()
        return
    with up(DEFAULT_NODES, addons=True) as one:
        config = config_of(one, DEFAULT_NODES, addons=True)
        triton = emulated.image(find_tritonserver(), one.folder / "bin")
        write_images(config, [triton, group_stand_ins.image(one.folder / "stand-in"), *table(config)])
        yield one


@pytest.fixture(scope="module")
def engine(sandbox: Given | Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Release:
    metrics = {"ratio": {"target": "200m"}, "waiting": {"enabled": True}}
    kinds = inside(sandbox, "kubectl", "get", "crds", "--output=name")
    traefik = {"kind": "traefik", "host": "engine.example.com"}
    return installed(
        sandbox,
        tmp_path_factory.mktemp("values"),
        "plays-engine",
        autoscaling={"maxReplicas": 2, "metrics": metrics},
        ingress=traefik if "ingressroutes.traefik.io" in kinds else {},
    )


@pytest.fixture(scope="module")
def llmapi(sandbox: Given | Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Release:
    metrics = {"ratio": {"target": "200m"}, "waiting": {"enabled": True}, "ttft": {"enabled": True}}
    return installed(
        sandbox,
        tmp_path_factory.mktemp("values"),
        "plays-llmapi",
        emulated={"loadSeconds": 1, "plays": "llmapi"},
        autoscaling={"maxReplicas": 2, "metrics": metrics},
    )


@pytest.fixture(scope="module")
def slow(sandbox: Given | Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """A model that loads for three minutes, begun before everything else."""
    return installed(
        sandbox,
        tmp_path_factory.mktemp("values"),
        "slow",
        emulated={"loadSeconds": 180},
        server={"resources": {}, "loadBudgetSeconds": 300},
    )


@pytest.fixture(scope="module")
def group(sandbox: Given | Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """A model over two nodes, that its activation keeps from zero: it reads far above what starts a pod."""
    if isinstance(sandbox, Given):
        pytest.skip("brings a definition and a controller of its own for LeaderWorkerSets, and changes the adapter")
    inside(sandbox, "kubectl", "apply", f"--filename={LEADER_WORKER_SET}")
    inside(sandbox, "kubectl", "wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    one = installed(
        sandbox,
        tmp_path_factory.mktemp("values"),
        "over-nodes",
        parallelism={"tensor": 8, "pipeline": 2},
        multiNode={"enabled": True},
        autoscaling={
            "minReplicas": 0,
            "maxReplicas": 2,
            "metrics": {"ratio": {"target": "200m"}, "waiting": {"enabled": True}},
            "activation": {"query": '1000 * sum(up{namespace="over-nodes"})'},
        },
    )
    with GroupController(one.cluster, "demo-triton-trtllm-group"):
        yield one


@pytest.fixture(params=["engine", "llmapi"])
def release(request: pytest.FixtureRequest, slow: Release, sandbox: Given | Sandbox) -> Release:
    if isinstance(sandbox, Sandbox):
        request.getfixturevalue("group")  # it starts with the others, as all of them take their time
    found: Release = request.getfixturevalue(request.param)
    wait_until_scraped(found)
    return found


def test_every_expression_finds_its_series_during_load(release: Release) -> None:
    """Rules, KEDA triggers and panels: none has a wrong name or label, each answers with a number under load."""
    with ThreadPoolExecutor() as pool:
        load = pool.submit(release.load, 16, 25)
        time.sleep(18)
        empty = [
            where
            for where, expression in expressions(release).items()
            if not any(each["value"][1] not in ("NaN", "+Inf") for each in query(release, expression))
        ]
        assert load.result()["broken"] == []
    assert empty == []


def test_the_ratio_is_one_series_a_pod_and_above_its_target_in_overload(release: Release) -> None:
    """More requests than places: the ratio tells it, whatever the mode, under one name."""
    with ThreadPoolExecutor() as pool:
        load = pool.submit(release.load, 24, 20)
        time.sleep(15)
        series = query(release, f'triton:queue_compute:ratio{{namespace="{release.cluster.namespace}"}}')
        load.result()
    assert len(series) == len({each["metric"]["pod"] for each in series}) >= 1
    assert max(float(each["value"][1]) for each in series) > 0.5


def test_the_hpa_reads_all_its_metrics(release: Release) -> None:
    """By the adapter, as the API says: every metric of the HPA has a current value."""
    named = {each["pods"]["metric"]["name"] for each in hpa(release)["spec"]["metrics"]}

    def read() -> bool:
        current = hpa(release)["status"].get("currentMetrics") or []
        return {each["pods"]["metric"]["name"] for each in current if each} == named

    eventually(read, f"values of {named}", within_s=60)


def test_helm_test_passes(release: Release) -> None:
    """The chart's hook sends one inference request."""
    assert "Phase:          Succeeded" in release.helm("test", release.name, "--timeout=60s")


def test_the_first_example_serves(sandbox: Given | Sandbox) -> None:
    """The README's first example works on a cluster with nothing else installed."""
    bare = str(chart_folder() / "examples/emulated-bare.yaml")
    if isinstance(sandbox, Given):
        sandbox.made.append("plays-bare")
    place = ("helm", "--namespace=plays-bare")
    inside(sandbox, *place, "install", "llm", str(chart_folder()), "--create-namespace", f"--values={bare}")
    assert "Phase:          Succeeded" in inside(sandbox, *place, "test", "llm", "--timeout=50s")
    inside(sandbox, *place, "uninstall", "llm")


def test_the_gateway_routes_only_inference_metadata_and_health(engine: Release) -> None:
    """Triton's logging, tracing and shared memory ask for no password, so they are not reached from outside."""
    box = engine.cluster.sandbox
    address = address_of_traefik(box)
    if address is None:
        pytest.skip("needs Traefik, and this cluster has none")
    let_in = ["/v2", "/v2/health/ready", "/v2/models/stats", "/v2/models/tensorrt_llm_bls/config"]
    kept_out = ["/v2/logging", "/v2/trace/setting", "/v2/models/tensorrt_llm_bls/trace/setting"]
    kept_out += ["/v2/systemsharedmemory/status", "/v2/cudasharedmemory/status", "/metrics", "/"]
    told = ask_by_gateway(box, address, "engine.example.com", let_in + kept_out)
    assert {path: told[path] for path in let_in} == dict.fromkeys(let_in, 200)
    assert {path: told[path] for path in kept_out} == dict.fromkeys(kept_out, 404)
    assert told["gRPC live"] is True
    assert told["gRPC models"] > 0
    for name in ("get_log_settings", "get_trace_settings", "get_system_shared_memory_status"):
        assert told[name] in ("StatusCode.UNIMPLEMENTED", "StatusCode.UNKNOWN"), name


def test_an_upgrade_under_load_leaves_the_replicas_and_breaks_no_stream(engine: Release, slow: Release) -> None:
    """What the autoscaler decided stands, and pods are replaced one by one with their streams drained."""
    engine.cluster.kubectl("scale", "deployment/demo-triton-trtllm", "--replicas=2")
    engine.wait_until_ready(2)
    before = {each["metadata"]["uid"] for each in engine.pods()}
    with upgraded_under_load(engine, pod={"annotations": {"round": "two"}}) as told:
        sizes = set()
        while not told:
            sizes.add(engine.cluster.get("deployment", "demo-triton-trtllm")["spec"]["replicas"])
            time.sleep(1)
    assert sizes == {2}
    assert told[0]["broken"] == []
    assert told[0]["ok"] > 20
    eventually(
        lambda: not before & {each["metadata"]["uid"] for each in engine.pods() if Release._ready(each)},
        "no pod from before the upgrade",
    )


def test_a_load_of_three_minutes_is_not_killed(slow: Release) -> None:
    """Nothing listens while models load: the startup probe alone asks, and gives it its time."""
    slow.wait_until_ready(within_s=240)
    (pod,) = slow.pods()
    (server,) = pod["status"]["containerStatuses"]
    assert server["restartCount"] == 0
    ready = next(each for each in pod["status"]["conditions"] if each["type"] == "Ready")
    assert ready["lastTransitionTime"] > server["state"]["running"]["startedAt"]


def test_uninstalling_removes_every_object(llmapi: Release) -> None:
    """Nothing of the release is left in its namespace."""
    llmapi.helm("uninstall", llmapi.name, "--wait", "--timeout=60s")
    kinds = "deployments,replicasets,services,configmaps,hpa,pdb,serviceaccounts,podmonitors,prometheusrules,pods,jobs"
    query = ("get", kinds, f"-lapp.kubernetes.io/instance={llmapi.name}", "--output=name")
    eventually(lambda: not llmapi.cluster.kubectl(*query).strip(), "an empty namespace", within_s=60)


def test_the_hpa_scales_a_group_of_nodes(group: Release) -> None:
    """Under load the real HPA controller raises the LeaderWorkerSet's replicas, by the metrics of leaders alone."""
    wait_until_scraped(group)
    name, get = "demo-triton-trtllm-group", group.cluster.get
    assert get("lws", name)["spec"]["replicas"] == 1
    with ThreadPoolExecutor() as pool:
        load = pool.submit(group.load, 24, 35)
        eventually(lambda: get("lws", name)["spec"]["replicas"] == 2, "two groups", within_s=60)
        group.wait_until_ready(2)
        assert load.result()["broken"] == []
    scaled = hpa(group)
    assert scaled["spec"]["scaleTargetRef"]["kind"] == "LeaderWorkerSet"
    assert (scaled["status"]["currentReplicas"], scaled["status"]["desiredReplicas"]) == (2, 2)
    pods = {each["metadata"]["name"] for each in json.loads(group.cluster.kubectl("get", "pods", "-ojson"))["items"]}
    assert pods == {name + suffix for suffix in ("-0", "-0-1", "-1", "-1-1")}
    slices = group.cluster.kubectl("get", "endpointslices", "-lkubernetes.io/service-name=demo-triton-trtllm", "-ojson")
    serving = {end["targetRef"]["name"] for each in json.loads(slices)["items"] for end in each["endpoints"]}
    assert serving == {f"{name}-0", f"{name}-1"}


def test_the_pods_of_a_group_find_each_other(group: Release, tmp_path: Path) -> None:
    """By the name that the headless Service gives the leader, a worker dials it, and `mpirun` starts a rank there; the
    programs of TensorRT-LLM are stand-ins."""
    metrics = {"metrics": {"monitor": "none"}, "rules": {"enabled": False}, "emulated": {}}
    one = installed(
        group.cluster.sandbox,
        tmp_path,
        "ranks",
        mode="llmapi",
        image={"repository": group_stand_ins.REPOSITORY, "tag": "any", "checkTag": False},
        model={"repository": "acme/large"},
        parallelism={"tensor": 2},
        gpu={"perNode": 1},
        multiNode={"enabled": True},
        **metrics,
    )
    name = "demo-triton-trtllm-group"
    with GroupController(one.cluster, name):
        one.wait_until_ready(within_s=60)
    assert f"rank 0 works on {name}-0\n" in one.cluster.kubectl("logs", f"{name}-0")
    assert f"rank 1 works on {name}-0-1\n" in one.cluster.kubectl("logs", f"{name}-0-1")


def test_the_adapter_serves_metrics_with_the_charts_rules(engine: Release, group: Release) -> None:
    """With the chart's ConfigMap as its whole configuration, the real prometheus-adapter serves each name of an HPA,
    and the HPA reads them; stays last, as it changes what the sandbox has."""
    box = engine.cluster.sandbox
    rules = yaml.safe_load(group.cluster.get("configmap", "demo-triton-trtllm-adapter-rules")["data"]["rules.yaml"])
    config = {"rules": rules["rules"]["custom"], "externalRules": rules["rules"]["external"]}
    patch = json.dumps({"data": {"config.yaml": yaml.safe_dump(config)}})
    kubectl = ("kubectl", "--namespace=monitoring")
    inside(box, *kubectl, "patch", "configmap", "prometheus-adapter", f"--patch={patch}")
    inside(box, *kubectl, "rollout", "restart", "deployment/prometheus-adapter")
    inside(box, *kubectl, "rollout", "status", "deployment/prometheus-adapter", "--timeout=50s")
    custom = "/apis/custom.metrics.k8s.io/v1beta1/namespaces/{}/pods/*/{}"
    for release in (engine, group):
        names = [each["pods"]["metric"]["name"] for each in hpa(release)["spec"]["metrics"] if each["type"] == "Pods"]
        for name in names:
            path = custom.format(release.cluster.namespace, name)
            eventually(partial(values, release, path), f"values of {name}", within_s=30)
    assert values(engine, custom.format("plays-engine", "up")) == []
    # an HPA without a past: what it says, it has asked since
    group.cluster.kubectl("delete", "hpa", "demo-triton-trtllm")
    group.upgrade(
        autoscaling={**group.values["autoscaling"], "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}
    )
    external = "/apis/external.metrics.k8s.io/v1beta1/namespaces/over-nodes/triton:activation:pods"
    assert values(group, f"{external}?labelSelector=release%3Ddemo-triton-trtllm") != []

    eventually(lambda: scales(group), "an HPA that reads all its metrics", within_s=45)
    # thousands of what starts a pod keep one, and start no other
    eventually(lambda: hpa(group)["status"]["desiredReplicas"] == 1, "one group, and no more", within_s=60)
