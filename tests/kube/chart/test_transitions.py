"""Changes of the chart's autoscaler on a live release: none, HPA and KEDA, applied by the server and by the client.

KEDA's operator is not available here: the test creates the HPA that it would create. Kubernetes' own garbage collector
deletes that HPA with its ScaledObject.
"""

import itertools
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadgen.kube.deploy.chart import chart_folder
from loadgen.sandbox.build.build import find
from support.kube.cluster import Cluster, eventually
from support.kube.keda_hpa import hpa_of
from support.kube.sandboxes import inside

pytestmark = pytest.mark.timeout(300)

SCALED = {"enabled": True, "minReplicas": 2, "maxReplicas": 5}
AUTOSCALING: dict[str, dict[str, Any]] = {
    "none": {"enabled": False},
    "hpa": {**SCALED, "kind": "hpa"},
    "keda": {**SCALED, "kind": "keda", "keda": {"prometheusUrl": "http://prometheus.monitoring.svc:9090"}},
}
TRANSITIONS = list(itertools.permutations(AUTOSCALING, 2))
SIZE = 3


@pytest.fixture(scope="module", autouse=True)
def definitions(cluster: Cluster) -> None:
    """Custom resources of the operator and KEDA."""
    folders = [find()[name] for name in ("operator-crds", "keda-crds")]
    cluster.kubectl("apply", "--server-side", *(f"--filename={folder}" for folder in folders))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")


class Release:
    """A release whose autoscaler changes; its pods do not have to start."""

    def __init__(self, cluster: Cluster, folder: Path, name: str, *, by_server: bool) -> None:
        self.cluster, self.folder, self.name = cluster, folder, name
        self.flag = f"--server-side={str(by_server).lower()}"
        self.workload = f"{name}-triton-trtllm"

    def helm(self, kind: str, *flags: str, replicas: int | None = None, **autoscaling: Any) -> str:
        """Install or upgrade with this kind of autoscaler; KEDA's operator then does its work."""
        values = {
            "mode": "emulated",
            "server": {"replicas": replicas, "resources": {}},
            "autoscaling": {**AUTOSCALING[kind], **autoscaling},
        }
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


@pytest.mark.parametrize("by_server", [True, False], ids=["applied by the server", "applied by the client"])
@pytest.mark.parametrize(("before", "after"), TRANSITIONS)
def test_a_transition_keeps_the_autoscaler_and_the_replicas(
    cluster: Cluster, tmp_path: Path, before: str, after: str, by_server: bool
) -> None:
    """The new autoscaler is the only one that is left, and the size never changes, in two upgrades in a row."""
    release = Release(cluster, tmp_path, f"{before}-{after}-{'s' if by_server else 'c'}", by_server=by_server)
    release.helm(before, replicas=SIZE if before == "none" else None)
    eventually(lambda: release.autoscalers() == release.expected(before), "the first autoscaler")
    if before != "none":
        release.scale(SIZE)
    with release.watched() as sizes:
        release.helm(after)
        eventually(lambda: release.autoscalers() == release.expected(after), "the new autoscaler alone")
        release.helm(after)
        assert release.autoscalers() == release.expected(after)
    assert set(sizes) == {SIZE}
    # what the new autoscaler has decided stands as well
    assert release.size() == 4
    release.helm(after)
    assert release.size() == 4


def test_a_number_replaces_what_an_autoscaler_decided(cluster: Cluster, tmp_path: Path) -> None:
    """Helm takes the field over with --force-conflicts; the size never drops below the smaller one."""
    release = Release(cluster, tmp_path, "forced", by_server=True)
    release.helm("hpa")
    release.scale(5)
    release.helm("none", "--force-conflicts", replicas=SIZE)
    assert (release.size(), release.autoscalers()) == (SIZE, [])


@pytest.mark.parametrize("by_server", [True, False], ids=["applied by the server", "applied by the client"])
def test_an_hpa_begins_with_a_workload_that_is_not_at_zero(cluster: Cluster, tmp_path: Path, by_server: bool) -> None:
    """KEDA scaled it to zero, from where an HPA would never scale it."""
    release = Release(cluster, tmp_path, f"zero-{'s' if by_server else 'c'}", by_server=by_server)
    release.helm("keda", minReplicas=0, activation={"query": "sum(up)"})
    release.scale(0)
    if by_server:  # the number belongs to KEDA: Helm refuses to change it, and the chart says what to do
        with pytest.raises(AssertionError, match=r"is at 0 replicas.*kubectl -n .* scale deployment/.* --replicas=1"):
            release.helm("hpa")
        release.scale(1)
    release.helm("hpa")
    assert release.size() > 0
    eventually(lambda: release.autoscalers() == release.expected("hpa"), "the HPA alone")
    assert release.autoscalers() == release.expected("hpa")


def test_an_hpa_that_keda_owns_under_the_old_name_is_not_taken_over(cluster: Cluster, tmp_path: Path) -> None:
    """An earlier chart gave KEDA's HPA the name of the chart's own: it would vanish with the ScaledObject."""
    release = Release(cluster, tmp_path, "earlier", by_server=True)
    release.helm("keda")
    hpa = cluster.get("hpa", f"{release.workload}-keda")
    cluster.kubectl("delete", "hpa", f"{release.workload}-keda")
    metadata = {"name": release.workload, "ownerReferences": hpa["metadata"]["ownerReferences"]}
    cluster.create({**hpa, "metadata": metadata})
    with pytest.raises(AssertionError, match=r"belongs to KEDA.*upgrade once with autoscaling.kind=keda"):
        release.helm("hpa")
    assert release.autoscalers() == [release.workload]
