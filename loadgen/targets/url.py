"""`--target URL`: an existing Triton server, whose replicas are not observed."""

from collections.abc import Mapping
from dataclasses import dataclass

from loadgen.base.connection import DIRECT, Connection
from loadgen.base.console import Say
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.stack import StackState
from loadgen.protocols.endpoint import Endpoint
from loadgen.scenario.settings import Scenario
from loadgen.targets.info import TargetInfo


@dataclass(frozen=True, slots=True)
class ExistingServer:
    """A server that this run neither starts nor stops."""

    endpoint: Endpoint
    info: TargetInfo

    def versions(self, server: str) -> Mapping[str, str]:
        """The version that the server reports."""
        return {"server": server}

    def state(self) -> StackState | None:
        """None: replicas behind a URL are not observed."""
        return None

    def failure(self) -> str | None:
        """None: failed requests are a result of the run, not a reason to end it."""
        return None

    def stop(self) -> None:
        """Nothing to stop."""


class UrlTarget:
    """A server at the URL that the scenario names."""

    def __init__(self, scenario: Scenario, connection: Connection = DIRECT) -> None:
        self._scenario, self._connection = scenario, connection

    def info(self) -> TargetInfo:
        """Empty: the settings do not describe an existing server."""
        return TargetInfo()

    def start(self, folder: RunFolder, *, say: Say) -> ExistingServer:
        """Return the server; nothing is started.

        Raises:
            SettingsError: the URL is malformed, or the environment names a proxy that cannot be used.
        """
        endpoint = Endpoint.parse(self._scenario.target, self._scenario.wire, self._connection)
        if info := endpoint.connection_info():
            if info.proxy:
                say(f"requests go through the proxy {info.proxy}, so their latencies include it")
            if info.insecure:
                say("the server's certificate is not verified (--insecure)")
        return ExistingServer(endpoint, self.info())
