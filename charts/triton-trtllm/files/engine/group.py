"""Connects the pods of a multi-node model: the leader waits for its workers and starts the daemons of `mpirun` on them.

A worker (`worker.py`) connects to its leader and keeps the connection. `mpirun` starts its daemon on another host with
a remote shell; here that is `agent.py`, which sends the command line to this module over a Unix socket in the leader's
pod, and this module forwards it over the connection of that worker. So no pod listens for commands: there is no SSH
server, no key, and no permission to exec into pods. When the connection ends, leader and worker both end.

Messages are JSON, one per line: `{"worker": 1, "host": "llm-0-1"}` from a worker, `{"host": …, "run": …}` from the
agent, `{"run": …}` to a worker, and `{"ended": 0}` back to both.
"""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from errors import NotReadyError, SettingsError, say

PORT = 7070
LOST = 255  # exit code of a remote shell when the connection broke
_HELLO_WITHIN_S = 5.0
_REPORT_S = 15.0


class Line:
    """A connection with one JSON object per line."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._reader: TextIO = connection.makefile("r", encoding="utf-8")

    def send(self, message: dict[str, Any]) -> None:
        """Sends a message.

        Raises:
            OSError: The other side is gone.
        """
        self._connection.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, within_s: float | None = None) -> dict[str, Any] | None:
        """Returns the next message, or `None` if the other side is gone, is invalid, or sends nothing in time."""
        self._connection.settimeout(within_s)
        try:
            message = json.loads(self._reader.readline())
        except (OSError, ValueError):
            return None
        return message if isinstance(message, dict) else None

    def gone(self) -> bool:
        """Whether the other side has closed the connection; valid only before it sends data."""
        self._connection.setblocking(False)
        try:
            return not self._connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Closes the connection; a thread that waits for a message returns."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()


def keep_alive(connection: socket.socket) -> None:
    """Sets TCP keepalive so that a lost node is detected within a minute."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 6)):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


@dataclass(frozen=True, slots=True)
class Member:
    """A worker of the group.

    Attributes:
        host: Its host name, which is the name of its pod.
        line: Its connection.
    """

    host: str
    line: Line


def assemble(size: int, port: int, wait_s: float) -> list[Member]:
    """Waits until every worker of the group has connected, and returns them in the order of their numbers.

    A worker whose container restarted replaces its old connection. Later connections are not accepted.

    Raises:
        NotReadyError: A worker did not connect in time.
        SettingsError: The port is in use.
    """
    members: dict[int, Member] = {}
    end_s, said_s = time.monotonic() + wait_s, float("-inf")
    with contextlib.closing(_listening(port)) as server:
        while len(members) < size - 1:
            now_s = time.monotonic()
            missing = sorted(set(range(1, size)) - set(members))
            if now_s >= end_s:
                raise NotReadyError(
                    f"worker {', '.join(map(str, missing))} did not connect within {wait_s:.0f} s. Check the pods of "
                    "this group: one may be pending for lack of GPUs, or still pulling its image."
                )
            if now_s - said_s >= _REPORT_S:
                said_s = now_s
                say(f"waiting for worker {', '.join(map(str, missing))} of {size - 1}")
            server.settimeout(min(_REPORT_S, end_s - now_s))
            with contextlib.suppress(TimeoutError):
                _accept(server.accept()[0], size, members)
            for number in [number for number, member in members.items() if member.line.gone()]:
                say(f"worker {number} disconnected")
                del members[number]
    return [members[number] for number in sorted(members)]


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server(("", port))
    except OSError as error:
        raise SettingsError(f"port {port} cannot be opened for the workers: {error.strerror}.") from error


def _accept(connection: socket.socket, size: int, members: dict[int, Member]) -> None:
    keep_alive(connection)
    line = Line(connection)
    hello = line.receive(_HELLO_WITHIN_S) or {}
    number, host = hello.get("worker"), hello.get("host")
    if not isinstance(number, int) or not 0 < number < size or not isinstance(host, str):
        say(f"rejected a connection that is not from a worker of this group of {size}")
        line.close()
        return
    if number in members:
        members[number].line.close()
    members[number] = Member(host, line)
    say(f"worker {number} connected: {host}")


@contextmanager
def remote_shell(members: list[Member], path: Path) -> Iterator[None]:
    """Serves `agent.py` on the Unix socket at `path`; at the end closes the workers' connections."""
    hosts = {member.host: member.line for member in members}
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:  # closed
                return
            threading.Thread(target=_pass_on, args=(Line(connection), hosts), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        for member in members:
            member.line.close()


def _pass_on(agent: Line, hosts: dict[str, Line]) -> None:
    request = agent.receive() or {}
    code = LOST
    if line := hosts.get(str(request.get("host"))):
        with contextlib.suppress(OSError):
            line.send({"run": request.get("run")})
            code = int((line.receive() or {}).get("ended", LOST))
    else:
        say(f"{request.get('host')} is not a worker of this group ({', '.join(hosts)})")
    with contextlib.suppress(OSError):
        agent.send({"ended": code})
    agent.close()


def mpirun_flags(members: list[Member], slots: int, folder: Path, agent: list[str]) -> list[str]:
    """Returns the flags with which `mpirun` uses these workers, and writes its host file into `folder`.

    Args:
        members: The workers.
        slots: Ranks of each pod, the leader's included.
        folder: A folder of this pod.
        agent: The command that replaces a remote shell. Open MPI splits it at spaces.
    """
    hosts = [socket.gethostname(), *(member.host for member in members)]
    file = folder / "hosts"
    file.write_text("".join(f"{host} slots={slots}\n" for host in hosts))
    shell = ["--mca", "plm", "rsh", "--mca", "plm_rsh_agent", " ".join(agent), "--mca", "plm_rsh_no_tree_spawn", "1"]
    return ["--hostfile", str(file), "--map-by", "slot", *shell, "--leave-session-attached"]
