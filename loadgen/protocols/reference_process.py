"""Starts the reference server of the self-check as a child process; see `reference`."""

import json
import sys
import time
from pathlib import Path

import gevent

from loadgen.base.errors import SelfCheckError
from loadgen.base.processes import Child, spawn
from loadgen.protocols.endpoint import Endpoint
from loadgen.scenario.settings import WireProtocol

_START_S = 30.0


class ReferenceProcess:
    """A running reference server; it also stops when this process ends.

    Args:
        protocol: Protocol of its endpoint.
        log: File that receives its output.

    Raises:
        SelfCheckError: the server does not start.
    """

    def __init__(self, protocol: WireProtocol, log: Path) -> None:
        self._child = spawn([sys.executable, "-m", "loadgen.protocols.reference"], log=log, lifeline=True)
        try:
            self.endpoint = _endpoint(self._child, protocol)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server; a second call does nothing."""
        self._child.stop(grace_s=1.0)


def _endpoint(child: Child, protocol: WireProtocol) -> Endpoint:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and child.poll() is None:
        lines = [line for line in child.log.read_text().splitlines() if line.startswith("{")]
        if lines:
            return Endpoint(address=f"127.0.0.1:{json.loads(lines[-1])[protocol]}", protocol=protocol)
        gevent.sleep(0.05)
    raise SelfCheckError(f"the reference server of the self-check did not start; see {child.log}")
