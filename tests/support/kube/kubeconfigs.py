"""Kubeconfigs for tests, and an exec plugin."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.programs import program

PLUGIN = """cd "${0%/*}" || exit
printf x >> runs
if ! [ -e credential.json ]; then
    echo "the session has expired" >&2
    exit 1
fi
read -r credential < credential.json
printf '%s\\n' "$credential"
"""
_VERSION = "client.authentication.k8s.io/v1"


class ExecPlugin:
    """An exec credential plugin that returns a configured status and counts its runs."""

    def __init__(self, folder: Path) -> None:
        self.file, self._folder = program(folder, "plugin", PLUGIN), folder

    def set_status(self, **status: Any) -> None:
        """Set the status that it returns; without one it fails like an expired session."""
        file = self._folder / "credential.json"
        if status:
            credential = {"apiVersion": _VERSION, "kind": "ExecCredential", "status": status}
            file.write_text(f"{json.dumps(credential)}\n")
        else:
            file.unlink(missing_ok=True)

    @property
    def user(self) -> dict[str, Any]:
        """Return a user of a kubeconfig with this plugin."""
        return {"exec": {"apiVersion": _VERSION, "command": str(self.file), "interactiveMode": "Never"}}

    @property
    def runs(self) -> int:
        """Return the number of times that the plugin was run."""
        file = self._folder / "runs"
        return len(file.read_text()) if file.exists() else 0


def write_kubeconfig(
    file: Path,
    current: str | None = "a",
    *,
    user: dict[str, Any] | None = None,
    authority: Path | None = None,
    namespaces: Mapping[str, str] = {},
    **servers: str,
) -> None:
    """Write a kubeconfig with one context per server."""
    trust = {"certificate-authority": str(authority)} if authority else {}
    document: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": url, **trust}} for name, url in servers.items()],
        "users": [{"name": "u", "user": user or {"token": "first"}}],
        "contexts": [
            {"name": name, "context": {"cluster": name, "user": "u", **_namespace(namespaces, name)}}
            for name in servers
        ],
    }
    if current is not None:
        document["current-context"] = current
    file.write_text(json.dumps(document))


def _namespace(namespaces: Mapping[str, str], context: str) -> dict[str, str]:
    return {"namespace": namespaces[context]} if context in namespaces else {}
