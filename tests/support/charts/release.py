"""A release of the chart in a sandbox, as tests use it: upgraded by helm, under load, asked for its series."""

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from loadgen.kube.deploy.chart import chart_folder
from loadgen.kube.discover.prometheus import choose_prometheus
from loadgen.sandbox import emulated
from loadgen.sandbox.commands import Sandbox
from support.charts.helm import objects
from support.kube.cluster import Cluster, eventually
from support.kube.given import Given
from support.kube.sandboxes import inside

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


def installed(sandbox: Given | Sandbox, folder: Path, namespace: str, **values: Any) -> Release:
    cluster = Cluster(sandbox, namespace)
    inside(sandbox, "kubectl", "create", "namespace", namespace)
    if isinstance(sandbox, Given):
        sandbox.made.append(namespace)
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


def query(release: Release, expression: str) -> list[dict[str, Any]]:
    """What the cluster's Prometheus answers, through the API server."""
    box = release.cluster.sandbox
    service = choose_prometheus(
        json.loads(inside(box, "kubectl", "get", "services", "--all-namespaces", "--output=json"))["items"]
    )
    assert service is not None
    proxy = f"/api/v1/namespaces/{service.namespace}/services/{service.name}:{service.port}/proxy"
    path = f"{proxy}/api/v1/query?{urlencode({'query': expression})}"
    answer = json.loads(inside(box, "kubectl", "get", f"--raw={path}"))
    assert answer["status"] == "success", answer
    return list(answer["data"]["result"])


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


def hpa(release: Release) -> dict[str, Any]:
    return release.cluster.get("hpa", "demo-triton-trtllm")


def scales(release: Release) -> bool:
    """Whether the HPA controller reads all metrics of the HPA."""
    found = hpa(release)
    conditions = {each["type"]: each["status"] for each in found["status"].get("conditions") or []}
    current = [each for each in found["status"].get("currentMetrics") or [] if each.get("type")]
    return conditions.get("ScalingActive") == "True" and len(current) == len(found["spec"]["metrics"])


def values(release: Release, path: str) -> list[dict[str, Any]]:
    """What a metrics API answers; empty when it does not."""
    done = release.cluster.run("get", f"--raw={path}")
    return json.loads(done.stdout)["items"] if done.returncode == 0 else []


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
