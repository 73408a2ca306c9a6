"""Kubeconfigs for tests, and an exec plugin."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PLUGIN = f"""#!{sys.executable}
import json, pathlib, sys
here = pathlib.Path(__file__).parent
with (here / "runs").open("a") as runs:
    runs.write("x")
if not (here / "status.json").exists():
    sys.exit("the session has expired")
status = json.loads((here / "status.json").read_text())
print(json.dumps({{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}}))
"""


class ExecPlugin:
    """An exec credential plugin that returns a configured status and counts its runs."""

    def __init__(self, folder: Path) -> None:
        self.file, self._folder = folder / "plugin", folder
        self.file.write_text(PLUGIN)
        self.file.chmod(0o755)

    def set_status(self, **status: Any) -> None:
        """Set the status that it returns; without one it fails like an expired session."""
        if status:
            (self._folder / "status.json").write_text(json.dumps(status))
        else:
            (self._folder / "status.json").unlink(missing_ok=True)

    @property
    def user(self) -> dict[str, Any]:
        """Return a user of a kubeconfig with this plugin."""
        version = "client.authentication.k8s.io/v1"
        return {"exec": {"apiVersion": version, "command": str(self.file), "interactiveMode": "Never"}}

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
