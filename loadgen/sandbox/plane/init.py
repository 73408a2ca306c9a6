"""Process 1 of a sandbox: starts the control plane, reaps orphans, and exits with the control plane.

    python -m loadgen.sandbox.plane.init CONFIG

It imports only the standard library.
"""

import os
import signal
import subprocess
import sys
from types import FrameType

GRACE_S = 30


def main(config: str) -> int:
    """Run the control plane until it exits; return its exit code."""
    plane = subprocess.Popen(
        [sys.executable, "-m", "loadgen.sandbox.plane.control_plane", config], stdin=subprocess.DEVNULL
    )

    def forward_signal(number: int, _: FrameType | None) -> None:
        if number == signal.SIGALRM:
            os._exit(4)  # the control plane did not stop in time: the kernel kills all remaining processes
        signal.alarm(GRACE_S)
        plane.send_signal(signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, forward_signal)
    while True:
        pid, status = os.wait()  # orphans of the PID namespace are children of process 1
        if pid == plane.pid:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
