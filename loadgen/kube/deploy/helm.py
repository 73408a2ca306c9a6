"""Installs and uninstalls the chart `triton-trtllm` with the helm command."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from loadgen.base.errors import SettingsError, StackError
from loadgen.kube.client.credentials import IN_CLUSTER, load_credentials
from loadgen.kube.deploy.chart import chart_folder
from loadgen.kube.deploy.unknown_values import REFUSED, proposals

_TIMEOUT_S = 120.0
_UNINSTALL_TIMEOUT_S = 600.0
_CANCELLED_WITHIN_S = 20.0
_KUBE_VERSION = "1.37.1"
"""Version for which the chart is rendered without a cluster."""
_ADVICE = {
    "is forbidden": "This account lacks the permission, or the namespace does not exist: ask an administrator, or use "
    "another context",
    "no matches for kind": "The cluster does not have this kind: install its operator, or disable it in the values "
    "(see the README of the chart)",
    ".spec.replicas": "An autoscaler or `kubectl scale` set the replicas: leave server.replicas null to keep them, or "
    "run helm with --force-conflicts",
    "release: not found": "`helm list --all-namespaces` lists all releases",
}
"""Advice by text in the output of helm."""


class _FailedError(StackError):
    """Helm ended with an error."""


def install(
    release: str,
    namespace: str,
    values: Mapping[str, Any],
    *,
    context: str | None = None,
    create_namespace: bool = True,
) -> None:
    """Install the chart or upgrade a release; returns when the API server has accepted the objects.

    Args:
        release: Name of the release.
        namespace: Namespace of the release.
        values: Values of the chart.
        context: Context of the kubeconfig, or `in-cluster`; None selects the current context.
        create_namespace: Whether to create the namespace. Helm requires the permission to create namespaces even if
            the namespace exists.

    Raises:
        SettingsError: the chart has no such value, or a value has the wrong type.
        StackError: helm is missing or fails; the message contains its output.
    """
    arguments = ["upgrade", "--install", release, str(chart_folder()), "--values=-", f"--namespace={namespace}"]
    _helm([*arguments, *(["--create-namespace"] if create_namespace else [])], context, stdin=json.dumps(values))


def render(release: str, namespace: str, values: Mapping[str, Any]) -> str:
    """Return the manifests that `install` would apply to a new cluster, without asking one.

    Raises:
        SettingsError: the chart refuses the values.
        StackError: helm is missing.
    """
    arguments = ["template", release, str(chart_folder()), "--values=-", f"--namespace={namespace}"]
    try:
        return _helm([*arguments, f"--kube-version={_KUBE_VERSION}"], None, stdin=json.dumps(values))
    except _FailedError as error:
        reason = re.sub(r"^helm template failed: (execution error at \(\S+\): )?", "", str(error))
        raise SettingsError(f"the chart refuses its values: {reason}") from None


def uninstall(release: str, namespace: str, *, context: str | None = None) -> str:
    """Uninstall a release and wait until its objects are deleted.

    Returns:
        The output of helm, which lists the objects that it keeps.

    Raises:
        StackError: helm is missing or fails, or the release does not exist.
    """
    wait = ["--wait", f"--timeout={round(_UNINSTALL_TIMEOUT_S)}s"]
    arguments = ["uninstall", release, *wait, f"--namespace={namespace}"]
    return _helm(arguments, context, timeout_s=_UNINSTALL_TIMEOUT_S + 30)


def _helm(arguments: Sequence[str], context: str | None, *, stdin: str = "", timeout_s: float = _TIMEOUT_S) -> str:
    helm = shutil.which("helm")
    if helm is None:
        raise StackError("helm is not on PATH: install it, then run again")
    context_flag, env = [f"--kube-context={context}"] if context else [], dict(os.environ)
    if context == IN_CLUSTER and load_credentials(context).from_service_account:
        # without a kubeconfig, helm uses the service account
        context_flag, env["KUBECONFIG"] = [], os.devnull
        env.pop("HELM_KUBECONTEXT", None)
    with subprocess.Popen(
        [helm, *arguments, *context_flag],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            output, errors = process.communicate(stdin, timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            raise StackError(
                f"helm {arguments[0]} timed out after {timeout_s:g} s: check that the API server is reachable"
            ) from None
        except KeyboardInterrupt:
            _cancel(process)
            raise
    if process.returncode != 0:
        lines = [line for line in errors.splitlines() if not line.startswith("level=")]
        message = " ".join(lines).strip().removeprefix("Error: ")
        advice = [f". {each}" for text, each in _ADVICE.items() if text in message]
        if REFUSED in message:
            raise SettingsError(f"the chart refuses its values: {proposals(' '.join(lines[1:]), chart_folder())}")
        raise _FailedError(f"helm {arguments[0]} failed: {message[-900:].rstrip('.')}{''.join(advice)}")
    return output


def _cancel(process: "subprocess.Popen[str]") -> None:
    """Let helm record that the release was cancelled: one whose helm was killed refuses every later upgrade."""
    process.terminate()
    try:
        process.communicate(timeout=_CANCELLED_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
