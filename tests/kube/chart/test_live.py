"""The chart on a real control plane, installed by the real helm: signal, inference, upgrade, drain, slow load, removal.

Three releases stay for the whole file: one plays TensorRT engines behind BLS, one the chart's own model over the LLM
API, and one is a group of two nodes, whose controller is played.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadgen.kube.deploy.chart import chart_folder
from loadgen.programs.find import find_tritonserver
from loadgen.sandbox import emulated
from loadgen.sandbox.commands import DEFAULT_NODES, Sandbox
from loadgen.sandbox.images import table, write_images
from support.charts.cases import LEADER_WORKER_SET
from support.charts.release import Release, installed, query
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


def wait_until_scraped(release: Release) -> None:
    release.wait_until_ready()
    # a kubelet brings Prometheus its new configuration once a minute
    scraped = f'up{{namespace="{release.cluster.namespace}"}} == 1'
    eventually(lambda: query(release, scraped), "its first scrape", within_s=120)


def expressions(release: Release) -> dict[str, str]:
    """Every expression that the chart renders for a release, by where it stands."""
    found = {}
    keda = {**release.values["autoscaling"], "kind": "keda", "keda": {"prometheusUrl": "http://prometheus:9090"}}
    for (kind, name), each in {**release.objects(), **release.objects(autoscaling=keda)}.items():
        if kind == "PrometheusRule":
            for rule in each["spec"]["groups"][0]["rules"]:
                found[f"rule {rule['record']}"] = rule["expr"]
        elif kind == "ScaledObject":
            for trigger in each["spec"]["triggers"]:
                found[f"KEDA {trigger['name']}"] = trigger["metadata"]["query"]
        elif name.endswith("-dashboard"):
            (text,) = each["data"].values()
            for panel in json.loads(text)["panels"]:
                for target in panel["targets"]:
                    found[f"{panel['title']}: {target['legendFormat']}"] = target["expr"]
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


def hpa(release: Release) -> dict[str, Any]:
    return release.cluster.get("hpa", "demo-triton-trtllm")


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


ASK_BY_GATEWAY = """
import json, sys, urllib.error, urllib.request
import grpc, tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException
address, host = sys.argv[1:]
def status(path):
    request = urllib.request.Request(f"http://{address}{path}", headers={"Host": host})
    try:
        return urllib.request.urlopen(request, timeout=10).status
    except urllib.error.HTTPError as error:
        return error.code
told = {path: status(path) for path in sys.stdin.read().split()}
client = triton.InferenceServerClient(address, channel_args=[("grpc.default_authority", host)])
told["gRPC live"] = client.is_server_live()
told["gRPC models"] = len(client.get_model_repository_index().models)
for name in ("get_log_settings", "get_trace_settings", "get_system_shared_memory_status"):
    try:
        getattr(client, name)()
        told[name] = "let in"
    except InferenceServerException as error:
        told[name] = error.status()
print(json.dumps(told))
"""


def test_the_gateway_routes_only_inference_metadata_and_health(engine: Release) -> None:
    """Triton's logging, tracing and shared memory ask for no password, so they are not reached from outside."""
    box = engine.cluster.sandbox
    command = ("kubectl", "get", "services", "-A", "-lapp.kubernetes.io/name=traefik", "--output=json")
    gateways = json.loads(inside(box, *command))["items"]
    if not gateways:
        pytest.skip("needs Traefik, and this cluster has none")
    address = f"{gateways[0]['spec']['clusterIP']}:{gateways[0]['spec']['ports'][0]['port']}"
    let_in = ["/v2", "/v2/health/ready", "/v2/models/stats", "/v2/models/tensorrt_llm_bls/config"]
    kept_out = ["/v2/logging", "/v2/trace/setting", "/v2/models/tensorrt_llm_bls/trace/setting"]
    kept_out += ["/v2/systemsharedmemory/status", "/v2/cudasharedmemory/status", "/metrics", "/"]
    program = [sys.executable, "-c", ASK_BY_GATEWAY, address, "engine.example.com"]
    done = subprocess.run(
        box.command(program), input=" ".join(let_in + kept_out), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
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
    assert not before & {each["metadata"]["uid"] for each in engine.pods() if Release._ready(each)}


@contextmanager
def upgraded_under_load(release: Release, **changes: Any) -> Iterator[list[dict[str, Any]]]:
    """Load for as long as a rolling update takes; the list is filled when it is over."""
    told: list[dict[str, Any]] = []
    load = threading.Thread(target=lambda: told.append(release.load(4, 40)))
    load.start()
    try:
        time.sleep(3)
        release.upgrade(**changes)
        yield told
    finally:
        load.join()


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

    def active() -> bool:
        found = hpa(group)
        conditions = {each["type"]: each["status"] for each in found["status"].get("conditions") or []}
        current = [each for each in found["status"].get("currentMetrics") or [] if each.get("type")]
        return conditions.get("ScalingActive") == "True" and len(current) == len(found["spec"]["metrics"])

    eventually(active, "an HPA that reads all its metrics", within_s=45)
    # thousands of what starts a pod keep one, and start no other
    eventually(lambda: hpa(group)["status"]["desiredReplicas"] == 1, "one group, and no more", within_s=60)


def values(release: Release, path: str) -> list[dict[str, Any]]:
    """What a metrics API answers; empty when it does not."""
    done = release.cluster.run("get", f"--raw={path}")
    return json.loads(done.stdout)["items"] if done.returncode == 0 else []
