"""What a cluster has beside its control plane: DNS, Prometheus with its operator, prometheus-adapter, Traefik.

They are ordinary manifests, run as ordinary pods by the kubelets: what is proven here is what a cluster would do.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from loadgen.base.errors import StackError
from loadgen.sandbox.build.programs import PROMETHEUS_VERSION
from loadgen.sandbox.config import SandboxConfig
from loadgen.sandbox.plane.inside import kubectl

_FOLDER = Path(__file__).parent
_READY_WITHIN_S = 90.0
_POLL_S = 0.3
# One apply of all that does not need a definition which another one brings.
_FIRST = ("coredns", "operator", "adapter", "traefik")


async def deploy(config: SandboxConfig, say: Callable[[str], None]) -> None:
    """Deploy all of them and wait until they serve.

    Raises:
        StackError: one does not come up; the sentence names what is not ready.
    """
    say("definitions and add-ons")
    crds = [f"--filename={folder}" for folder in (config.tools["operator-crds"], config.tools["traefik-crds"])]
    await asyncio.gather(
        kubectl(config, "apply", "--server-side", *crds),
        kubectl(config, "apply", "--filename=-", stdin=manifests(*_FIRST)),
    )
    names = [
        "customresourcedefinition/prometheuses.monitoring.coreos.com",
        "customresourcedefinition/ingressroutes.traefik.io",
    ]
    await kubectl(config, "wait", "--for=condition=Established", "--timeout=20s", *names)
    await kubectl(
        config,
        "apply",
        "--filename=-",
        stdin=manifests("prometheus").replace("PROMETHEUS_VERSION", f"v{PROMETHEUS_VERSION}"),
    )
    say("add-ons get ready")
    deadline = asyncio.get_running_loop().time() + _READY_WITHIN_S
    while missing := await _missing(config):
        if asyncio.get_running_loop().time() > deadline:
            raise StackError(
                f"{', '.join(missing)} did not get ready within {_READY_WITHIN_S:g} s: "
                f"read the logs in {config.folder / 'logs' / 'pods'}"
            )
        await asyncio.sleep(_POLL_S)


def manifests(*names: str) -> str:
    """The manifests of add-ons, as one YAML stream."""
    return "\n---\n".join((_FOLDER / f"{name}.yaml").read_text() for name in names)


async def _missing(config: SandboxConfig) -> list[str]:
    """What is not ready yet: workloads, and the API that the HPA asks."""
    workloads = '{range .items[*]}{.kind}/{.metadata.name} {.status.readyReplicas}{"\\n"}{end}'
    apis = '{range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Available")].status}{"\\n"}{end}'
    ready, available = await asyncio.gather(
        kubectl(config, "get", "deployments,statefulsets", "--all-namespaces", f"--output=jsonpath={workloads}"),
        kubectl(config, "get", "apiservices", f"--output=jsonpath={apis}"),
    )
    expected = {
        "Deployment/coredns",
        "Deployment/prometheus-adapter",
        "Deployment/prometheus-operator",
        "Deployment/traefik",
        "StatefulSet/prometheus-sandbox",
    }
    there = {line.split()[0] for line in ready.splitlines() if line.endswith(" 1")}
    dead = {line.split()[0] for line in available.splitlines() if not line.endswith(" True")}
    return sorted((expected - there) | {f"APIService {name}" for name in dead})
