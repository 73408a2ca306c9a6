"""Runs tests against the cluster of $LOADGEN_KUBECONFIG instead of a sandbox, if they only use the Kubernetes API."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from loadgen.sandbox.commands import DEFAULT_NODES, Sandbox
from support.kube.sandboxes import up

VARIABLE = "LOADGEN_KUBECONFIG"


@dataclass(frozen=True)
class Given:
    """A cluster with a kubeconfig; it implements the part of `Sandbox` that these tests use.

    Attributes:
        kubeconfig: The kubeconfig file.
        made: Namespaces that tests have created. Only these are deleted at the end.
    """

    kubeconfig: Path
    made: list[str] = field(default_factory=list)

    def remove_made(self) -> None:
        """Delete the namespaces that tests have created, without waiting for the deletion."""
        if self.made:
            run(self, "kubectl", "delete", "namespaces", *self.made, "--ignore-not-found", "--wait=false")

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs a command against this cluster."""
        return ["/usr/bin/env", f"KUBECONFIG={self.kubeconfig}", *argv]


def given_cluster() -> Given | None:
    """Return the cluster of $LOADGEN_KUBECONFIG; None if the variable is not set."""
    kubeconfig = os.environ.get(VARIABLE)
    return Given(Path(kubeconfig).resolve()) if kubeconfig else None


@contextmanager
def some_cluster() -> Iterator[Given | Sandbox]:
    """Yield the cluster of $LOADGEN_KUBECONFIG, else a sandbox of two nodes with add-ons and the emulated Triton."""
    if (cluster := given_cluster()) is not None:
        try:
            yield cluster
        finally:
            cluster.remove_made()
        return
    with up(DEFAULT_NODES, addons=True, emulated=True) as sandbox:
        yield sandbox


def run(cluster: Given | Sandbox, *argv: str, timeout_s: float = 60.0, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command against a cluster, with additional environment variables, and return its output and exit code."""
    return subprocess.run(
        cluster.command([*argv]),
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
