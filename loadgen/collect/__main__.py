"""Runs the collector: `python -m loadgen.collect RUN_FOLDER`, until SIGTERM, SIGINT or the end of standard input."""

import argparse
import logging
import os
import sys
from pathlib import Path

from loadgen.base.errors import ExitCode, LoadgenError
from loadgen.base.stop import Stop
from loadgen.collect.collector import PERIOD_S, Collector
from loadgen.collect.connections import from_environment
from loadgen.collect.raw import TIMEOUT_S
from loadgen.dataset.folder import RunFolder


def main() -> int:
    """Collect for one run folder and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m loadgen.collect", description=__doc__)
    parser.add_argument("run_folder", type=Path, help="folder with the run.json of the run to observe")
    parser.add_argument("--period-s", type=float, default=PERIOD_S, help="seconds between two passes (%(default)s)")
    parser.add_argument(
        "--timeout-s", type=float, default=TIMEOUT_S, help="timeout of a replica's /metrics (%(default)s)"
    )
    args = parser.parse_args()
    stop = Stop()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        folder = RunFolder.open(args.run_folder)
        connection = from_environment(os.environ)
        info = folder.read_info()
        collector = Collector(folder, info, period_s=args.period_s, timeout_s=args.timeout_s, connection=connection)
        written = collector.run(stop)
    except LoadgenError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the parent process shows it to the user
        return int(error.exit_code)
    return int(ExitCode.PASS if written else ExitCode.TOOL)


if __name__ == "__main__":
    sys.exit(main())
