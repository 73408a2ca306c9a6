"""Any cluster, by $LOADGEN_KUBECONFIG, instead of a sandbox: for tests that need nothing of a sandbox's inside."""

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
    """A cluster by its kubeconfig, with as much of a sandbox's face as such tests use.

    Attributes:
        kubeconfig: Its file.
        made: Namespaces that tests have made; they go at the end, and no other.
    """

    kubeconfig: Path
    made: list[str] = field(default_factory=list)

    def remove_made(self) -> None:
        """Remove the namespaces that were made, without waiting for them to be gone."""
        if self.made:
            run(self, "kubectl", "delete", "namespaces", *self.made, "--ignore-not-found", "--wait=false")

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs another one against it."""
        return ["/usr/bin/env", f"KUBECONFIG={self.kubeconfig}", *argv]


def given_cluster() -> Given | None:
    """The cluster that was given, if one was."""
    given = os.environ.get(VARIABLE)
    return Given(Path(given).resolve()) if given else None


@contextmanager
def some_cluster() -> Iterator[Given | Sandbox]:
    """The given cluster, else a sandbox of two nodes with add-ons and the emulated Triton."""
    if (given := given_cluster()) is not None:
        try:
            yield given
        finally:
            given.remove_made()
        return
    with up(DEFAULT_NODES, addons=True, emulated=True) as sandbox:
        yield sandbox


def run(cluster: Given | Sandbox, *argv: str, timeout_s: float = 60.0, **env: str) -> subprocess.CompletedProcess[str]:
    """What a command says and how it ends; its environment is ours and `env`."""
    return subprocess.run(
        cluster.command([*argv]),
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
