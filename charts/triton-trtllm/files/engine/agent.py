"""What `mpirun` takes for a remote shell: hands a command to a worker of the group, and ends as it ended.

agent.py SOCKET HOST COMMAND…
"""

import socket
import sys

from errors import tell
from group import LOST, Line


def main() -> int:
    """Runs the command on the host; the arguments are joined by spaces and read by a shell, as `ssh` does."""
    path, host, *command = sys.argv[1:]
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
        line = Line(connection)
        line.send({"host": host, "run": " ".join(command)})
    except OSError as error:
        tell(f"error: {host} cannot be asked to run anything: {error.strerror}. The leader has ended.")
        return LOST
    return int((line.receive() or {}).get("ended", LOST))


if __name__ == "__main__":
    sys.exit(main())
