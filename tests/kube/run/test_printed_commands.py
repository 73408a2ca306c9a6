"""The commands that the charts' READMEs print, in their order, on a real control plane.

They run as printed but for the substitutions below: a registry, a folder instead of a bucket, and a load of seconds.
"""

import shlex
import subprocess
from collections.abc import Iterator

import pytest

from loadgen.sandbox.commands import DEFAULT_NODES, Sandbox
from support.docs.commands import ROOT, printed
from support.kube.cluster import Cluster
from support.kube.sandboxes import up
from support.kube.scenarios import SCENARIOS

pytestmark = pytest.mark.timeout(600)

SUBSTITUTIONS = {"REGISTRY/": "registry.example/", "s3://BUCKET/": "file:///runs/"}
SHORT = f"--set-file=locustfile.content={SCENARIOS / 'short_load.py'}"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with up(DEFAULT_NODES, addons=True, emulated=True) as box:
        yield box


@pytest.fixture(scope="module")
def serving(sandbox: Sandbox) -> None:
    """Run the commands of charts/triton-trtllm, then add what that README says `examples/emulated.yaml` adds."""
    install, test = printed("charts/triton-trtllm/README.md")[:2]
    run(sandbox, install)
    assert "Phase:          Succeeded" in run(sandbox, test)
    examples = "charts/triton-trtllm/examples"
    run(sandbox, f"helm upgrade llm charts/triton-trtllm -n serving -f {examples}/emulated.yaml --wait --timeout=2m")


def run(sandbox: Sandbox, command: str) -> str:
    """Run a printed command in the folder of the repository, inside the sandbox, and return its output."""
    for text, other in SUBSTITUTIONS.items():
        command = command.replace(text, other)
    if command.startswith("helm install") and "charts/loadgen" in command:
        command += f" {SHORT}"
    done = subprocess.run(
        sandbox.command(shlex.split(command)), cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def test_the_readme_of_the_load_chart_leads_to_verdicts(sandbox: Sandbox, serving: None) -> None:
    """The first example passes, each way to see its verdict works, and the nightly example passes, too."""
    first, logs, wait, show, gate, nightly, now = (
        each for each in printed("charts/loadgen/README.md") if not each.startswith("docker ")
    )
    create_volume(sandbox, "load-tests", "load-loadgen-runs")
    run(sandbox, first)
    run(sandbox, wait)
    assert run(sandbox, show).startswith("Complete: ")
    run(sandbox, gate)
    assert "\nPASS" in run(sandbox, logs)
    run(sandbox, nightly)
    run(sandbox, now)
    run(sandbox, wait.replace("job/load-loadgen-1", "job/now"))
    assert run(sandbox, show.replace("job load-loadgen-1", "job now")).startswith("Complete: ")


def create_volume(sandbox: Sandbox, namespace: str, claim: str) -> None:
    """Create a PersistentVolume for a claim that a chart creates: a sandbox has no provisioner."""
    spec = {
        "capacity": {"storage": "10Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": "/any"},
        "claimRef": {"name": claim, "namespace": namespace},
    }
    Cluster(sandbox, "default").create(
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": claim}, "spec": spec}
    )
