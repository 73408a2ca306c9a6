"""The chart on a real control plane, installed by the real helm: signal, inference, upgrade, drain, slow load, removal.

Two releases stay for the whole file: one plays TensorRT engines behind BLS, the other the chart's own model over the
LLM API.
"""

import json
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import Cluster, eventually
from helm import objects
from sandboxes import config_of, inside, up

from loadgen.kube.chart import chart_folder
from loadgen.kube.sandbox import emulated
from loadgen.kube.sandbox.commands import DEFAULT_NODES, Sandbox
from loadgen.kube.sandbox.images import table, write_images
from loadgen.local.binaries import find_tritonserver

pytestmark = pytest.mark.timeout(600)

LOAD = """
import json, sys, threading, time, urllib.request
url, body, threads, seconds = sys.argv[1], sys.argv[2].encode(), int(sys.argv[3]), float(sys.argv[4])
end, told = time.monotonic() + seconds, {"ok": 0, "broken": []}
def ask():
    while time.monotonic() < end:
        try:
            request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=60) as answer:
                words = [json.loads(l[5:]) for l in answer.read().decode().splitlines() if l.startswith("data:")]
            if len(words) < int(json.loads(body).get("max_tokens") or 1) or any("error" in w for w in words):
                told["broken"].append(str(words[-1:]))
            else:
                told["ok"] += 1
        except Exception as error:
            told["broken"].append(repr(error))
            time.sleep(0.1)
every = [threading.Thread(target=ask) for _ in range(threads)]
[each.start() for each in every]
[each.join() for each in every]
print(json.dumps(told))
"""


@dataclass(frozen=True)
class Release:
    """A release of the chart."""

    cluster: Cluster
    values: dict[str, Any]
    folder: Path
    name: str = "demo"

    @property
    def plays(self) -> str:
        return str(self.values["emulated"].get("plays", "engine"))

    @property
    def front(self) -> str:
        return "tensorrt_llm_bls" if self.plays == "engine" else "tensorrt_llm"

    def helm(self, *arguments: str) -> str:
        return inside(self.cluster.sandbox, "helm", f"--namespace={self.cluster.namespace}", *arguments)

    def upgrade(self, **changes: Any) -> None:
        file = self.folder / f"{self.cluster.namespace}.yaml"
        file.write_text(yaml.safe_dump({**self.values, **changes}))
        self.helm("upgrade", "--install", self.name, str(chart_folder()), f"--values={file}")

    def objects(self, **changes: Any) -> dict[tuple[str, str], dict[str, Any]]:
        return objects({**self.values, **changes}, release=self.name, namespace=self.cluster.namespace)

    def pods(self) -> list[dict[str, Any]]:
        told = self.cluster.kubectl("get", "pods", "-lapp.kubernetes.io/component=server", "--output=json")
        return list(json.loads(told)["items"])

    def wait_until_ready(self, replicas: int = 1, within_s: float = 120) -> None:
        eventually(
            lambda: sum(self._ready(each) for each in self.pods()) >= replicas, f"{replicas} ready pods", within_s
        )

    @staticmethod
    def _ready(pod: dict[str, Any]) -> bool:
        conditions = pod["status"].get("conditions") or []
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def load(self, threads: int, seconds: float, tokens: int = 40) -> dict[str, Any]:
        """Streams over the Service, so many at a time; what came of them."""
        address = self.cluster.get("service", "demo-triton-trtllm")["spec"]["clusterIP"]
        url = f"http://{address}:8000/v2/models/{self.front}/generate_stream"
        asked = (
            {"max_tokens": tokens, "stream": True}
            if self.plays == "engine"
            else {"sampling_param_max_tokens": tokens, "streaming": True}
        )
        body = json.dumps({"text_input": "Tell me of a river.", **asked})
        command = [sys.executable, "-c", LOAD, url, body, str(threads), str(seconds)]
        found: dict[str, Any] = json.loads(inside(self.cluster.sandbox, *command))
        return found


@pytest.fixture(scope="module")
def sandbox(_built: None) -> Iterator[Sandbox]:
    with up(DEFAULT_NODES, addons=True) as one:
        config = config_of(one, DEFAULT_NODES, addons=True)
        write_images(config, [emulated.image(find_tritonserver(), one.folder / "bin"), *table(config)])
        yield one


def installed(sandbox: Sandbox, folder: Path, namespace: str, **values: Any) -> Release:
    cluster = Cluster(sandbox, namespace)
    inside(sandbox, "kubectl", "create", "namespace", namespace)
    quick = {"startup": {"periodSeconds": 1}, "readiness": {"periodSeconds": 1}}
    base: dict[str, Any] = {
        "mode": "emulated",
        "image": {"tag": emulated.TAG},
        "emulated": {"loadSeconds": 1},
        "server": {"resources": {}, "probes": quick, "longestGenerationSeconds": 30, "preStopSeconds": 3},
        "metrics": {"scrapeInterval": "1s"},
        "rules": {"interval": "1s", "window": "10s", "reference": {"enabled": True}},
        "autoscaling": {"enabled": False},
    }
    release = Release(cluster, {**base, **values}, folder)
    release.upgrade()
    return release


@pytest.fixture(scope="module")
def engine(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Release:
    metrics = {"ratio": {"target": "200m"}, "waiting": {"enabled": True}}
    return installed(
        sandbox,
        tmp_path_factory.mktemp("values"),
        "plays-engine",
        autoscaling={"maxReplicas": 2, "metrics": metrics},
        ingress={"kind": "traefik", "host": "engine.example.com"},
    )


@pytest.fixture(scope="module")
def llmapi(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Release:
    metrics = {"ratio": {"target": "200m"}, "waiting": {"enabled": True}, "ttft": {"enabled": True}}
    return installed(
        sandbox,
        tmp_path_factory.mktemp("values"),
        "plays-llmapi",
        emulated={"loadSeconds": 1, "plays": "llmapi"},
        autoscaling={"maxReplicas": 2, "metrics": metrics},
    )


@pytest.fixture(scope="module")
def slow(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """A model that loads for three minutes, begun before everything else."""
    return installed(
        sandbox,
        tmp_path_factory.mktemp("values"),
        "slow",
        emulated={"loadSeconds": 180},
        server={"resources": {}, "loadBudgetSeconds": 300},
    )


@pytest.fixture(params=["engine", "llmapi"])
def release(request: pytest.FixtureRequest, slow: Release) -> Release:
    found: Release = request.getfixturevalue(request.param)
    found.wait_until_ready()
    # a kubelet brings Prometheus its new configuration once a minute
    scraped = f'up{{namespace="{found.cluster.namespace}"}} == 1'
    eventually(lambda: query(found, scraped), "its first scrape", within_s=120)
    return found


def query(release: Release, expression: str) -> list[dict[str, Any]]:
    """What the sandbox's Prometheus answers."""
    box = release.cluster.sandbox
    address = json.loads(inside(box, "kubectl", "-n", "monitoring", "get", "service", "prometheus", "--output=json"))
    script = (
        "import sys, urllib.parse, urllib.request\n"
        "url = sys.argv[1] + '/api/v1/query?' + urllib.parse.urlencode({'query': sys.argv[2]})\n"
        "print(urllib.request.urlopen(url, timeout=20).read().decode())\n"
    )
    url = f"http://{address['spec']['clusterIP']}:9090"
    answer = json.loads(inside(box, sys.executable, "-c", script, url, expression))
    assert answer["status"] == "success", answer
    return list(answer["data"]["result"])


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


def test_helm_test_asks_for_an_answer(release: Release) -> None:
    """The hook of the chart sends one inference and passes."""
    assert "Phase:          Succeeded" in release.helm("test", release.name, "--timeout=60s")


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


def test_uninstalling_leaves_nothing(llmapi: Release) -> None:
    """No object of the release is left in its namespace."""
    llmapi.helm("uninstall", llmapi.name, "--wait", "--timeout=60s")
    kinds = "deployments,replicasets,services,configmaps,hpa,pdb,serviceaccounts,podmonitors,prometheusrules,pods,jobs"
    query = ("get", kinds, f"-lapp.kubernetes.io/instance={llmapi.name}", "--output=name")
    eventually(lambda: not llmapi.cluster.kubectl(*query).strip(), "an empty namespace", within_s=60)
