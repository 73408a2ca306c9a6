"""A release of the chart whose autoscaler changes between none, HPA and KEDA.

KEDA's operator is not available here: the release creates the HPA that it would create. Kubernetes' own garbage
collector deletes that HPA with its ScaledObject.
"""

import itertools
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from loadgen.kube.deploy.chart import chart_folder
from loadgen.sandbox.build.build import find
from support.kube.cluster import Cluster
from support.kube.keda_hpa import hpa_of
from support.kube.sandboxes import inside

SCALED = {"enabled": True, "minReplicas": 2, "maxReplicas": 5}
AUTOSCALING: dict[str, dict[str, Any]] = {
    "none": {"enabled": False},
    "hpa": {**SCALED, "kind": "hpa"},
    "keda": {**SCALED, "kind": "keda", "keda": {"prometheusUrl": "http://prometheus.monitoring.svc:9090"}},
}
TRANSITIONS = list(itertools.permutations(AUTOSCALING, 2))


def define_custom_resources(cluster: Cluster) -> None:
    """Define the custom resources of the Prometheus operator and KEDA."""
    folders = [find()[name] for name in ("operator-crds", "keda-crds")]
    cluster.kubectl("apply", "--server-side", *(f"--filename={folder}" for folder in folders))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")


class AutoscaledRelease:
    """A release whose autoscaler changes.

    Args:
        cluster: Its namespace.
        folder: Folder for its values.
        name: Its name.
        by_server: Whether helm's changes are applied by the server, as Helm 4 does by default, or by the client.
        values: Values beside those of the autoscaler; by default those of pods that do not have to start.
    """

    def __init__(
        self, cluster: Cluster, folder: Path, name: str, *, by_server: bool, values: dict[str, Any] | None = None
    ) -> None:
        self.cluster, self.folder, self.name = cluster, folder, name
        self.values = {"mode": "emulated", "server": {"resources": {}}, **(values or {})}
        self.flag = f"--server-side={str(by_server).lower()}"
        self.workload = f"{name}-triton-trtllm"

    def helm(self, kind: str, *flags: str, replicas: int | None = None, **autoscaling: Any) -> str:
        """Install or upgrade with this kind of autoscaler; KEDA's operator then does its work."""
        server = {**self.values["server"], "replicas": replicas}
        values = {**self.values, "server": server, "autoscaling": {**AUTOSCALING[kind], **autoscaling}}
        file = self.folder / "values.yaml"
        file.write_text(yaml.safe_dump(values))
        exists = self.cluster.run("get", "deployment", self.workload).returncode == 0
        command = ("upgrade" if exists else "install", self.name, str(chart_folder()), f"--values={file}")
        out = inside(self.cluster.sandbox, "helm", f"--namespace={self.cluster.namespace}", *command, self.flag, *flags)
        if kind == "keda":
            self.reconcile()
        return out

    def reconcile(self) -> None:
        """Create the HPA of the ScaledObject, which owns it."""
        scaled = self.cluster.get("scaledobject", self.workload)
        hpa = hpa_of(scaled)
        hpa["metadata"]["ownerReferences"] = [
            {
                "apiVersion": scaled["apiVersion"],
                "kind": scaled["kind"],
                "name": self.workload,
                "uid": scaled["metadata"]["uid"],
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ]
        self.cluster.kubectl("apply", "--server-side", "--filename=-", stdin=json.dumps(hpa))

    def scale(self, replicas: int) -> None:
        """Change the replicas as an autoscaler does, by the scale subresource."""
        self.cluster.kubectl("scale", f"deployment/{self.workload}", f"--replicas={replicas}")

    def size(self) -> int:
        return int(self.cluster.get("deployment", self.workload)["spec"]["replicas"])

    def autoscalers(self) -> list[str]:
        """Return the names of the HPAs that scale the workload."""
        hpas = json.loads(self.cluster.kubectl("get", "hpa", "--output=json"))["items"]
        return [each["metadata"]["name"] for each in hpas if each["spec"]["scaleTargetRef"]["name"] == self.workload]

    def expected(self, kind: str) -> list[str]:
        return {"none": [], "hpa": [self.workload], "keda": [f"{self.workload}-keda"]}[kind]

    @contextmanager
    def watched(self) -> Iterator[list[int]]:
        """Record every number of replicas that the workload has meanwhile."""
        path = "jsonpath={.spec.replicas}{'\\n'}"
        command = self.cluster.command("get", "deployment", self.workload, "--watch", f"--output={path}")
        sizes: list[int] = []
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
            assert watch.stdout is not None
            try:
                sizes.append(int(watch.stdout.readline()))
                yield sizes
                # the watch is in order: everything before this change has been recorded when it appears
                self.cluster.kubectl("scale", f"deployment/{self.workload}", "--replicas=4")
                while sizes[-1] != 4:
                    sizes.append(int(watch.stdout.readline()))
            finally:
                watch.terminate()
        sizes.pop()
