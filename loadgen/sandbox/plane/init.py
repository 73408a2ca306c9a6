"""Process 1 of a sandbox's world: starts the plane, buries orphans, and ends with the plane.

    python -m loadgen.sandbox.plane.init CONFIG

Only the standard library is imported here besides our own small room of processes.
"""

import os
import signal
import subprocess
import sys
from types import FrameType

GRACE_S = 30


def main(config: str) -> int:
    """Run the plane to its end; returns its exit code."""
    plane = subprocess.Popen([sys.executable, "-m", "loadgen.sandbox.plane.plane", config], stdin=subprocess.DEVNULL)

    def pass_on(number: int, _: FrameType | None) -> None:
        if number == signal.SIGALRM:
            os._exit(4)  # the plane did not end in time: the kernel ends all that is left
        signal.alarm(GRACE_S)
        plane.send_signal(signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, pass_on)
    while True:
        pid, status = os.wait()  # whatever was orphaned in this world is our child
        if pid == plane.pid:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
