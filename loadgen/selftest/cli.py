"""`loadgen selftest`: measures what the load generator can do on this machine, in about twenty seconds."""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from loadgen.base.console import say, show
from loadgen.base.errors import ExitCode, SelfCheckError

NAME = "selftest"
_START_S = 30.0


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `loadgen selftest`."""
    parser = commands.add_parser(NAME, help="measure what the load generator can do on this machine")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def run(options: argparse.Namespace) -> int:
    """Run `loadgen selftest`; returns the exit code.

    Raises:
        SelfCheckError: the server does not start, or does not answer.
    """
    from loadgen.selftest.ceilings import Ceilings, save

    say("measuring this machine for about 20 s, with one process of the load generator; leave it idle meanwhile")
    measured = {name: _measured(gateway=name == "gateway") for name in ("plain", "gateway")}
    ceilings = Ceilings.of(measured["plain"], measured["gateway"])
    save(ceilings)
    show(json.dumps(ceilings.to_json(), indent=2) if options.json else ceilings.text())
    return ExitCode.PASS


def _measured(*, gateway: bool) -> dict[str, float]:
    """Return the measurements against a plain server, or one whose headers change as those of a gateway."""
    import gevent

    from loadgen.base.processes import spawn
    from loadgen.load.garbage import PausedCollector
    from loadgen.selftest import measure

    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "loadgen.selftest.server", *(["--gateway"] if gateway else [])]
        child = spawn(command, log=Path(folder) / "server.log", lifeline=True)
        collector = PausedCollector()
        try:
            deadline = time.monotonic() + _START_S
            while not (lines := [line for line in child.log.read_text().splitlines() if line.startswith("{")]):
                if child.poll() is not None or time.monotonic() > deadline:
                    raise SelfCheckError(f"the server of the self-test did not start: {child.log.read_text()[-300:]}")
                gevent.sleep(0.05)
            ports = json.loads(lines[-1])
            found = {}
            for protocol in ("http", "grpc"):
                client = measure.client_of(protocol, ports[protocol])
                found[f"{protocol}_requests_per_s"] = measure.requests_per_s(client, 1.0)
                streams = measure.streams(client, 1.0)
                found[f"{protocol}_streams"] = streams.streams
                found[f"{protocol}_tokens_per_s"] = streams.tokens_per_s
                client.close()
            if not gateway:
                found["tls_connections_per_s"] = measure.tls_connections_per_s(ports["tls"], 1.0)
                found["schedule_error_p99_s"] = measure.schedule_error_s(1000.0, 1.0)
            return found
        finally:
            collector.resume()
            child.stop(grace_s=1.0)
