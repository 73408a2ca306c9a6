"""The charts as tests render them: by the real helm, with values as a person would give them."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

import yaml

from loadgen.kube.deploy.chart import chart_folder
from loadgen.sandbox.build.build import find
from support.kube.given import given_cluster

KUBE_VERSION = "1.37.1"
TRITON = "triton-trtllm"
LOADGEN = "loadgen"
_TIMEOUT_S = 60.0
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is many times faster

Values = Mapping[str, Any]


def helm(*arguments: str, values: Values | None = None) -> subprocess.CompletedProcess[str]:
    """What helm says and how it ends."""
    program = shutil.which("helm") if given_cluster() else str(find()["helm"])
    assert program, "helm is not on PATH"
    command = [program, *arguments, *(["--values=-"] if values is not None else [])]
    return subprocess.run(
        command, input=json.dumps(values), capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )


def template(
    values: Values, *arguments: str, release: str = "demo", namespace: str = "serving", chart: str = TRITON
) -> str:
    """The manifests as text."""
    done = _template(values, *arguments, release=release, namespace=namespace, chart=chart)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(values: Values, *arguments: str, **names: str) -> dict[tuple[str, str], dict[str, Any]]:
    """The manifests by kind and name."""
    documents = [each for each in yaml.load_all(template(values, *arguments, **names), Loader=_LOADER) if each]
    found = {(each["kind"], each["metadata"]["name"]): each for each in documents}
    assert len(found) == len(documents), "two objects with one name"
    return found


def refusal(values: Values, *arguments: str, chart: str = TRITON) -> str:
    """What helm says of values that it does not take, without the frame that helm puts around it."""
    done = _template(values, *arguments, release="demo", namespace="serving", chart=chart)
    assert done.returncode != 0, "taken"
    lines = [line for line in done.stderr.splitlines() if not line.startswith("level=")]
    return re.sub(r"^.*?error calling fail: ", "", " ".join(lines))


def _template(
    values: Values, *arguments: str, release: str, namespace: str, chart: str
) -> subprocess.CompletedProcess[str]:
    versions = (
        [] if any(each.startswith("--kube-version") for each in arguments) else [f"--kube-version={KUBE_VERSION}"]
    )
    where = [release, str(chart_folder(chart)), f"--namespace={namespace}"]
    return helm("template", *where, *versions, *arguments, values=values)
