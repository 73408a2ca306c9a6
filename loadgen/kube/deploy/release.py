"""Installs the bundled chart on a cluster and waits until it serves; removes it again."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from loadgen.base.errors import StackError, TargetError
from loadgen.kube.client.api import Api, path_of
from loadgen.kube.deploy import chart
from loadgen.kube.deploy.readiness import wait_until_ready
from loadgen.kube.discover.selection import candidates, choose_hpa, choose_workload
from loadgen.kube.discover.workload import serving_objects
from loadgen.scenario.settings import Kube

Say = Callable[[str], None]

STUCK_FOR_S = 300.0
"""How long a pod may be stuck before `deploy` gives up; until then a node, an image or a Secret may still come."""

_GONE_WITHIN_S = 900.0


def deploy(
    kube: Kube, values: Mapping[str, Any], *, say: Say, release: str = "triton", within_s: float = 7200.0
) -> Kube:
    """Install or upgrade the chart, and wait through image, engine and model until its replicas are ready.

    Args:
        kube: Context and namespace.
        values: Values of the chart.
        say: Gets sentences on how far it is.
        release: Name of the release.
        within_s: Longest wait.

    Returns:
        The settings with the context, the namespace and the workload that was deployed.

    Raises:
        TargetError: there is no way to the cluster, or no such namespace and no right to make it.
        StackError: helm says no, or the pods do not become ready; the sentence says why.
    """
    api = Api(kube.context)
    namespace = kube.namespace or api.namespace
    say(f"installing the chart triton-trtllm as {release} in namespace {namespace} of context {api.context}")
    chart.install(release, namespace, values, context=api.context, make_namespace=_must_be_made(api, namespace))
    objects = [
        each
        for each in serving_objects(api, namespace)
        if each["metadata"].get("annotations", {}).get("meta.helm.sh/release-name") == release
    ]
    workload = choose_workload(candidates(objects, None), name=None, where=f"in the release {release}")
    hpa = choose_hpa(_hpas(api, namespace), workload, name=None)
    least = hpa["spec"].get("minReplicas", 1) if hpa else workload.replicas
    wait_until_ready(api, workload, least, say=say, patience_s=STUCK_FOR_S, within_s=within_s)
    say(f"{workload} is ready")
    return kube.model_copy(update={"context": api.context, "namespace": namespace, "workload": workload.name})


def _must_be_made(api: Api, namespace: str) -> bool:
    may = api.allowed("create", "namespaces", namespace=None)
    try:
        there = api.get(path_of("api", "v1", "namespaces", namespace)) is not None
    except StackError:
        return may  # whether it is there is not known: an account of one namespace has it
    if not there and not may:
        raise TargetError(
            f"there is no namespace {namespace}, and this account may not make one: ask an administrator for "
            f"`kubectl create namespace {namespace}` and a Role in it, or name another one with --namespace"
        )
    return not there


def _hpas(api: Api, namespace: str) -> list[Any]:
    try:
        return api.items(path_of("apis", "autoscaling", "v2", "namespaces", namespace, "horizontalpodautoscalers"))
    except StackError:
        return []  # without the right to read them the replicas that there are to be count


def destroy(kube: Kube, *, say: Say, release: str = "triton") -> None:
    """Remove a release and wait until its pods have ended; volumes that the chart made stay, with their models.

    Raises:
        StackError: there is no such release, or helm says no.
    """
    api = Api(kube.context)
    namespace = kube.namespace or api.namespace
    kept = chart.uninstall(release, namespace, context=api.context)
    _wait_for_pods(api, namespace, release, say)
    for line in kept.splitlines():
        if line.startswith("["):  # an object that is kept by its annotation
            say(f"kept: {line}")
    say(f"release {release} is gone from namespace {namespace} of context {api.context}")


def _wait_for_pods(api: Api, namespace: str, release: str, say: Say) -> None:
    """Helm waits for a Deployment to go, and not for its pods, which finish their answers."""
    path = path_of("api", "v1", "namespaces", namespace, "pods")
    deadline = time.monotonic() + _GONE_WITHIN_S
    said = 0
    while pods := api.items(path, labelSelector=f"app.kubernetes.io/instance={release}"):
        if len(pods) != said:
            said = len(pods)
            say(f"waiting for {said} pod{'s' if said > 1 else ''} to end")
        if time.monotonic() > deadline:
            names = ", ".join(pod["metadata"]["name"] for pod in pods)
            raise StackError(
                f"still there after {_GONE_WITHIN_S:g} s: {names}; look at them with `kubectl describe pod`"
            )
        time.sleep(0.5)
