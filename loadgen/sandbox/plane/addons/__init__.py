"""Deploys the add-ons: CoreDNS, Prometheus with its operator, prometheus-adapter and Traefik.

They are ordinary manifests whose pods run on the kubelets, as on any cluster.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from loadgen.base.errors import StackError
from loadgen.sandbox.build.programs import PROMETHEUS_VERSION
from loadgen.sandbox.config import SandboxConfig
from loadgen.sandbox.plane.kubectl import kubectl

_FOLDER = Path(__file__).parent
_READY_WITHIN_S = 90.0
_POLL_S = 0.3
# these do not use the custom resources of other add-ons, so one apply suffices
_WITHOUT_CUSTOM_RESOURCES = ("coredns", "operator", "adapter", "traefik")


async def deploy(config: SandboxConfig, set_step: Callable[[str], None]) -> None:
    """Deploy the add-ons and wait until they are ready.

    Raises:
        StackError: some are not ready in time; the message names them.
    """
    set_step("custom resource definitions and add-ons")
    crds = [f"--filename={folder}" for folder in (config.tools["operator-crds"], config.tools["traefik-crds"])]
    await asyncio.gather(
        kubectl(config, "apply", "--server-side", *crds),
        kubectl(config, "apply", "--filename=-", stdin=manifests(*_WITHOUT_CUSTOM_RESOURCES)),
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
    set_step("waiting for the add-ons")
    deadline = asyncio.get_running_loop().time() + _READY_WITHIN_S
    while unready := await _unready(config):
        if asyncio.get_running_loop().time() > deadline:
            raise StackError(
                f"{', '.join(unready)} did not become ready within {_READY_WITHIN_S:g} s: "
                f"read the logs in {config.folder / 'logs' / 'pods'}"
            )
        await asyncio.sleep(_POLL_S)


def manifests(*names: str) -> str:
    """Return the manifests of add-ons as one YAML stream."""
    return "\n---\n".join((_FOLDER / f"{name}.yaml").read_text() for name in names)


async def _unready(config: SandboxConfig) -> list[str]:
    """Return the workloads and APIs that are not ready."""
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
    ready_workloads = {line.split()[0] for line in ready.splitlines() if line.endswith(" 1")}
    unavailable = {line.split()[0] for line in available.splitlines() if not line.endswith(" True")}
    return sorted((expected - ready_workloads) | {f"APIService {name}" for name in unavailable})
