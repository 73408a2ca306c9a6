"""Installs the bundled chart on a cluster and waits until it serves; removes it again."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from loadgen.errors import SettingsError
from loadgen.kube import chart
from loadgen.kube.api import Api, path_of
from loadgen.kube.find import candidates, choose_workload
from loadgen.kube.readiness import wait_until_ready
from loadgen.settings import Kube

Say = Callable[[str], None]

RELEASE = "triton"
STUCK_FOR_S = 300.0
"""How long a pod may be stuck before `deploy` gives up; until then a node, an image or a Secret may still come."""


def read_values(*files: Path) -> dict[str, Any]:
    """Values of the chart from YAML files, of which a later one wins.

    Raises:
        SettingsError: a file is not there, or is no mapping.
    """
    values: dict[str, Any] = {}
    for file in files:
        try:
            read = yaml.safe_load(file.read_text())
        except OSError as error:
            raise SettingsError(f"cannot read the values {file}: {error.strerror}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise SettingsError(f"{file} is no YAML: {' '.join(str(error).split())}") from error
        if not isinstance(read, dict | None):
            raise SettingsError(f"{file} holds no values: write it as charts/triton-trtllm/values.yaml is written")
        values = merged(values, read or {})
    return values


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Values over values, as helm lays them: mappings key by key, everything else whole."""
    both = dict(below)
    for key, value in above.items():
        under = both.get(key)
        both[key] = merged(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return both


def deploy(
    kube: Kube, values: Mapping[str, Any], *, say: Say, release: str = RELEASE, within_s: float = 7200.0
) -> Kube:
    """Install or upgrade the chart, and wait through image, engine and model until its replicas are ready.

    Args:
        kube: Context and namespace.
        values: Values of the chart.
        say: Gets sentences on how far it is.
        release: Name of the release.
        within_s: Longest wait.

    Returns:
        The settings with the namespace and the workload that was deployed.

    Raises:
        StackError: helm says no, or the pods do not become ready; the sentence says why.
    """
    api = Api(kube.context)
    namespace = kube.namespace or api.namespace
    say(f"installing the chart triton-trtllm as {release} in namespace {namespace} of context {api.context}")
    chart.install(release, namespace, values, context=kube.context)
    inside = ("namespaces", namespace)
    kinds = (("Deployment", "apps"), ("LeaderWorkerSet", "leaderworkerset.x-k8s.io"))
    objects = [
        {**each, "kind": kind}
        for kind, group in kinds
        for each in api.items(path_of("apis", group, "v1", *inside, f"{kind.lower()}s"))
        if each["metadata"].get("annotations", {}).get("meta.helm.sh/release-name") == release
    ]
    workload = choose_workload(candidates(objects, None), name=None, where=f"in the release {release}")
    path = path_of("apis", "autoscaling", "v2", *inside, "horizontalpodautoscalers", workload.name)
    hpa = api.get(path)
    raw = next(each for each in objects if each["metadata"]["name"] == workload.name)
    least = hpa["spec"].get("minReplicas", 1) if hpa else raw["spec"].get("replicas", 1)
    wait_until_ready(api, workload, least, say=say, patience_s=STUCK_FOR_S, within_s=within_s)
    say(f"{workload} is ready")
    return kube.model_copy(update={"namespace": namespace, "workload": workload.name})


def destroy(kube: Kube, *, say: Say, release: str = RELEASE) -> None:
    """Remove a release; volumes that the chart made stay, as they hold the models.

    Raises:
        StackError: there is no such release, or helm says no.
    """
    api = Api(kube.context)
    namespace = kube.namespace or api.namespace
    kept = chart.uninstall(release, namespace, context=kube.context)
    for line in kept.splitlines():
        if line.startswith("["):  # an object that is kept by its annotation
            say(f"kept: {line}")
    say(f"release {release} is gone from namespace {namespace} of context {api.context}")
