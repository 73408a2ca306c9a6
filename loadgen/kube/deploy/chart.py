"""The bundled charts: where they are, and how helm installs `triton-trtllm`."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from loadgen.base.errors import StackError
from loadgen.kube.client.credentials import IN_CLUSTER, load_credentials
from loadgen.local.engine.config import EngineProfile
from loadgen.local.prometheus import duration
from loadgen.scenario.settings import Local

_HELM_TIMEOUT_S = 120.0
_UNINSTALL_S = 600.0
_PRE_STOP_S = 3
_ADVICE = {
    "is forbidden": "This account may not do that, or there is no such namespace: ask an administrator for both, "
    "or use another context",
    "no matches for kind": "The cluster does not know that kind: install the operator that it belongs to, or turn it "
    "off in the values (README of the chart)",
    "release: not found": "`helm list --all-namespaces` says what is installed where",
}
"""What to do about words of helm."""


def chart_folder(name: str = "triton-trtllm") -> Path:
    """A chart's folder, in an installed package or in a checkout.

    Args:
        name: `triton-trtllm` or `loadgen`.

    Raises:
        StackError: it is in neither.
    """
    package = Path(__file__).parents[2]
    for charts in (package / "charts", package.parent / "charts"):
        if (charts / name / "Chart.yaml").is_file():
            return charts / name
    raise StackError(f"the chart {name} is not in this installation: install triton-loadgen again")


def emulated_values(settings: Local, profile: EngineProfile, *, name: str, tag: str) -> dict[str, Any]:
    """Values of the chart for the emulated fleet of a scenario.

    Args:
        settings: The scenario's `local`.
        profile: The engine to emulate.
        name: Name of all objects.
        tag: Tag of the server's image.
    """
    grace_s = round(settings.grace_s)
    low, high = settings.replicas
    return {
        "mode": "emulated",
        "fullnameOverride": name,
        "image": {"tag": tag},
        "emulated": {
            "loadSeconds": settings.startup_delay_s,
            "profile": {
                "name": profile.name,
                "blsInstances": profile.bls_instance_count,
                "engine": asdict(profile.engine),
            },
        },
        "gpu": {"perPod": 1},
        "server": {
            "preStopSeconds": _PRE_STOP_S,
            "longestGenerationSeconds": max(1, grace_s - _PRE_STOP_S - 1),
            "terminationGracePeriodSeconds": max(grace_s, _PRE_STOP_S + 1),
            "resources": {},
            "sharedMemory": "64Mi",
            "probes": {"startup": {"periodSeconds": 1}, "readiness": {"periodSeconds": 1}},
        },
        "ingress": {"kind": "traefik", "host": "*"},
        "metrics": {"scrapeInterval": duration(settings.scrape_interval_s)},
        "rules": {
            "interval": duration(settings.scrape_interval_s),
            "window": duration(settings.rate_window_s),
        },
        "autoscaling": {
            "minReplicas": low,
            "maxReplicas": high,
            "metrics": {
                "ratio": {"target": f"{round(settings.ratio_target * 1000)}m"},
                "busy": {"enabled": False},
            },
            # Kubernetes' own pace, which the twin of the local stack has, too
            "behavior": {
                "scaleDown": {
                    "stabilizationWindowSeconds": round(settings.scale_down_window_s),
                    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
                }
            },
        },
    }


def install(
    release: str,
    namespace: str,
    values: Mapping[str, Any],
    *,
    context: str | None = None,
    make_namespace: bool = True,
) -> None:
    """Install the chart, or upgrade what is there; returns when the API server has the objects.

    Args:
        release: Name of the release.
        namespace: Where it goes.
        values: Values of the chart.
        context: Context of the kubeconfig, or `in-cluster`; None takes the current one.
        make_namespace: Whether the namespace is made. Helm asks for the right to even where it is there already.

    Raises:
        StackError: helm is missing or says no; the sentence holds its words.
    """
    arguments = ["upgrade", "--install", release, str(chart_folder()), "--values=-", f"--namespace={namespace}"]
    _helm([*arguments, *(["--create-namespace"] if make_namespace else [])], context, stdin=json.dumps(values))


def uninstall(release: str, namespace: str, *, context: str | None = None) -> str:
    """Remove a release and wait until its objects are gone; returns what helm says of what it keeps.

    Raises:
        StackError: as `install`; also where there is no such release.
    """
    wait = ["--wait", f"--timeout={round(_UNINSTALL_S)}s"]
    return _helm(["uninstall", release, *wait, f"--namespace={namespace}"], context, timeout_s=_UNINSTALL_S + 30)


def _helm(arguments: Sequence[str], context: str | None, *, stdin: str = "", timeout_s: float = _HELM_TIMEOUT_S) -> str:
    helm = shutil.which("helm")
    if helm is None:
        raise StackError("helm is not on PATH: install it, then run again")
    way, env = [f"--kube-context={context}"] if context else [], dict(os.environ)
    if context == IN_CLUSTER and load_credentials(context).from_service_account:
        way, env["KUBECONFIG"] = [], os.devnull  # helm takes the service account where no file says anything else
        env.pop("HELM_KUBECONTEXT", None)
    try:
        done = subprocess.run(
            [helm, *arguments, *way],
            input=stdin,
            env=env,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StackError(f"helm {arguments[0]} did not end within {timeout_s:g} s: is the API server there?") from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if not line.startswith("level=")]
        said = " ".join(lines).strip().removeprefix("Error: ")
        advice = [f". {what}" for words, what in _ADVICE.items() if words in said]
        raise StackError(f"helm {arguments[0]} failed: {said[-900:].rstrip('.')}{''.join(advice)}")
    return done.stdout
