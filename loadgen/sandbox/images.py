"""Which programs of this machine stand for which images."""

import json
from typing import Any

from loadgen.base.files import write_whole
from loadgen.sandbox.config import SandboxConfig

_REGISTRY = r"([a-z0-9.-]+(:\d+)?/)?"
_TAG = r"(:[\w.+-]+)?(@sha256:[0-9a-f]+)?"


def reference(repository: str) -> str:
    """A pattern for an image by its repository, with any registry, tag and digest."""
    return f"{_REGISTRY}{repository}{_TAG}"


def table(config: SandboxConfig) -> list[dict[str, Any]]:
    """The image table of the process kubelet; an image that no line matches is ErrImageNeverPull."""
    of_programs = {
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
        for image, program in of_programs.items()
        if program in config.tools
    ]
    # the machine's own userland: a shell, coreutils, whatever is installed
    rows.append({"match": reference("(library/)?(busybox|alpine|debian|ubuntu)"), "cmd": ["/bin/sh"]})
    return rows


def write_images(config: SandboxConfig, rows: list[dict[str, Any]]) -> None:
    """Write the table where the kubelets read it, now or later."""
    write_whole(config.folder / "images.json", json.dumps(rows, indent=1).encode())
