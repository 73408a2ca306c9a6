"""Deploys the bundled chart to a cluster and waits until it is ready; destroys it again."""

import time
from collections.abc import Mapping
from typing import Any

from loadgen.base.console import Say
from loadgen.base.errors import StackError, TargetError
from loadgen.kube.client.api import Api, path_of
from loadgen.kube.deploy import helm
from loadgen.kube.deploy.readiness import wait_until_ready
from loadgen.kube.discover.selection import candidates, choose_hpa, choose_workload
from loadgen.kube.discover.workload import serving_objects
from loadgen.scenario.fleets import Kube

_TERMINATION_TIMEOUT_S = 900.0


def deploy(
    kube: Kube, values: Mapping[str, Any], *, say: Say, release: str = "triton", within_s: float = 7200.0
) -> Kube:
    """Install or upgrade the chart, and wait until its replicas are ready.

    Args:
        kube: Context, namespace, and how long a pod may be blocked.
        values: Values of the chart.
        say: Receives progress messages.
        release: Name of the release.
        within_s: Longest wait.

    Returns:
        The settings, completed by the context, namespace and name of the deployed workload.

    Raises:
        TargetError: there are no credentials, or the namespace does not exist and the account may not create it.
        StackError: helm fails, or the pods do not become ready; the message says why.
    """
    api = Api(kube.context)
    namespace = kube.namespace or api.namespace
    say(f"installing the chart triton-trtllm as {release} in namespace {namespace} of context {api.context}")
    helm.install(release, namespace, values, context=api.context, create_namespace=_must_create(api, namespace))
    objects = [
        each
        for each in serving_objects(api, namespace)
        if each["metadata"].get("annotations", {}).get("meta.helm.sh/release-name") == release
    ]
    workload = choose_workload(candidates(objects, None), name=None, location=f"in the release {release}")
    hpa = choose_hpa(_hpas(api, namespace), workload, name=None)
    replicas = hpa["spec"].get("minReplicas", 1) if hpa else workload.replicas
    wait_until_ready(api, workload, replicas, say=say, patience_s=kube.patience_s, within_s=within_s)
    say(f"{workload} is ready")
    return kube.model_copy(update={"context": api.context, "namespace": namespace, "workload": workload.name})


def _must_create(api: Api, namespace: str) -> bool:
    allowed = api.allowed("create", "namespaces", namespace=None)
    try:
        exists = api.get(path_of("api", "v1", "namespaces", namespace)) is not None
    except StackError:
        return allowed  # unknown; an account that is limited to one namespace usually has it already
    if not exists and not allowed:
        raise TargetError(
            f"namespace {namespace} does not exist, and this account may not create it: ask an administrator for "
            f"`kubectl create namespace {namespace}` and a Role in it, or use another --namespace"
        )
    return not exists


def _hpas(api: Api, namespace: str) -> list[Any]:
    try:
        return api.items(path_of("apis", "autoscaling", "v2", "namespaces", namespace, "horizontalpodautoscalers"))
    except StackError:
        return []  # without permission to list HPAs, the replicas of the workload count


def destroy(kube: Kube, *, say: Say, release: str = "triton") -> None:
    """Uninstall a release and wait until its pods have terminated; volumes with models are kept.

    Args:
        kube: Context and namespace.
        say: Receives progress messages.
        release: Name of the release.

    Raises:
        StackError: the release does not exist, helm fails, or pods do not terminate.
    """
    api = Api(kube.context)
    namespace = kube.namespace or api.namespace
    output = helm.uninstall(release, namespace, context=api.context)
    _wait_for_pods(api, namespace, release, say)
    for line in output.splitlines():
        if line.startswith("["):  # an object with a resource policy of keep
            say(f"kept: {line}")
    say(f"release {release} was removed from namespace {namespace} of context {api.context}")


def _wait_for_pods(api: Api, namespace: str, release: str, say: Say) -> None:
    """Wait for the pods of a release; helm waits for the Deployment only, while its pods finish their responses."""
    path = path_of("api", "v1", "namespaces", namespace, "pods")
    deadline = time.monotonic() + _TERMINATION_TIMEOUT_S
    remaining = 0
    while pods := api.items(path, labelSelector=f"app.kubernetes.io/instance={release}"):
        if len(pods) != remaining:
            remaining = len(pods)
            say(f"waiting for {remaining} pod{'s' if remaining > 1 else ''} to terminate")
        if time.monotonic() > deadline:
            names = ", ".join(pod["metadata"]["name"] for pod in pods)
            raise StackError(
                f"pods not terminated after {_TERMINATION_TIMEOUT_S:g} s: {names}; run `kubectl describe pod`"
            )
        time.sleep(0.5)
