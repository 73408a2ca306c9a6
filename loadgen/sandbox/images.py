"""Builds the image table, which maps images to programs of this machine."""

import json
import sys
from pathlib import Path
from typing import Any

from loadgen.base.files import write_whole
from loadgen.sandbox.config import SandboxConfig

_REGISTRY = r"([a-z0-9.-]+(:\d+)?/)?"
_TAG = r"(:[\w.+-]+)?(@sha256:[0-9a-f]+)?"


def reference(repository: str) -> str:
    """Return a pattern that matches an image repository with any registry, tag and digest."""
    return f"{_REGISTRY}{repository}{_TAG}"


def table(config: SandboxConfig) -> list[dict[str, Any]]:
    """Return the image table of the process kubelet; other images cannot be pulled."""
    programs = {
        "coredns/coredns": "coredns",
        "prometheus-operator/prometheus-operator": "prometheus-operator",
        "prometheus-operator/prometheus-config-reloader": "prometheus-config-reloader",
        "prometheus/prometheus": "prometheus",
        "prometheus-adapter/prometheus-adapter": "prometheus-adapter",
        "(library/)?traefik": "traefik",
    }
    rows: list[dict[str, Any]] = [
        {
            "match": reference(image),
            "entrypoint": [str(config.tools[program])],
            "programs": {f"/bin/{program}": str(config.tools[program])},
            "pull_s": 0.0,
        }
        for image, program in programs.items()
        if program in config.tools
    ]
    # the image of charts/loadgen: the commands of this Python environment, and the folder with its scenarios
    commands = Path(sys.executable).parent
    rows.append({"match": reference("triton-loadgen"), "path": [str(commands)], "workdir": str(_workdir())})
    # the programs that are installed on this machine: a shell, coreutils and others
    rows.append({"match": reference("(library/)?(busybox|alpine|debian|ubuntu)"), "cmd": ["/bin/sh"]})
    return rows


def _workdir() -> Path:
    """Return the folder that contains `scenarios/`, as the image's working directory does: the checkout, else here."""
    checkout = Path(__file__).parents[2]
    return checkout if (checkout / "scenarios").is_dir() else Path.cwd()


def write_images(config: SandboxConfig, rows: list[dict[str, Any]]) -> None:
    """Write the table to the file that the kubelets read; they notice changes."""
    write_whole(config.folder / "images.json", json.dumps(rows, indent=1).encode())
