"""Defines the interface of targets, and chooses the target of a scenario."""

from collections.abc import Mapping
from typing import Protocol

from loadgen.base.connection import DIRECT, Connection
from loadgen.base.console import Say
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.stack import StackState
from loadgen.protocols.endpoint import Endpoint
from loadgen.scenario.settings import Scenario
from loadgen.targets.info import TargetInfo


class RunningTarget(Protocol):
    """A target that is ready for requests."""

    @property
    def endpoint(self) -> Endpoint:
        """Address and protocol that requests go to."""
        ...

    @property
    def info(self) -> TargetInfo:
        """The target after its start."""
        ...

    def versions(self, server: str) -> Mapping[str, str]:
        """Versions of the programs of this target, by name.

        Args:
            server: Name and version that the inference server reports.
        """
        ...

    def state(self) -> StackState | None:
        """Replicas and autoscaler at this moment; None for a target whose replicas are not observed.

        Raises:
            StackError: the record of the state is missing.
        """
        ...

    def failure(self) -> str | None:
        """Reason why the run cannot go on, as a sentence; None while it can."""
        ...

    def stop(self) -> None:
        """Stop every process that `Target.start` started; a second call does nothing."""
        ...


class Target(Protocol):
    """A target before it is started."""

    def info(self) -> TargetInfo:
        """The target as far as the settings describe it."""
        ...

    def start(self, folder: RunFolder, *, say: Say) -> RunningTarget:
        """Start the target and wait until it is ready.

        Args:
            folder: Run folder whose `run.json` is written.
            say: Receives progress, one sentence at a time.

        Raises:
            LoadgenError: it does not become ready; everything that was started is stopped again.
        """
        ...


def target_of(scenario: Scenario, connection: Connection = DIRECT) -> Target:
    """The target that a scenario names; `connection` is how to connect to a URL.

    Only its own module is imported: the Kubernetes client takes a second, which other targets do not need.
    """
    match scenario.target:
        case "local":
            from loadgen.targets.local import LocalTarget

            return LocalTarget(scenario)
        case "sandbox":
            from loadgen.targets.sandbox import SandboxTarget

            return SandboxTarget(scenario)
        case "kube":
            from loadgen.targets.cluster import ClusterTarget

            return ClusterTarget(scenario)
        case _:
            from loadgen.targets.url import UrlTarget

            return UrlTarget(scenario, connection)
