"""Stands in for the remote shell of `mpirun`: runs a command on a worker of the group and returns its exit code.

agent.py SOCKET HOST COMMAND…
"""

import socket
import sys

from errors import warn
from group import LOST, Line


def main() -> int:
    """Runs the command on the host; like `ssh`, joins the arguments by spaces for a shell."""
    path, host, *command = sys.argv[1:]
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
        line = Line(connection)
        line.send({"host": host, "run": " ".join(command)})
    except OSError as error:
        warn(f"error: cannot run a command on {host}: {error.strerror}. The leader has ended.")
        return LOST
    return int((line.receive() or {}).get("ended", LOST))


if __name__ == "__main__":
    sys.exit(main())
