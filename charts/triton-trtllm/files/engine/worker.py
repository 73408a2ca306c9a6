"""A pod that lends its GPUs to the leader of its group: dials it, and runs what it is told to for as long as it lasts.

SIGTERM does not end a worker that is in use: all pods of a group are told to end at once, and the answers that the
leader still gives need every GPU. It ends with its leader.
"""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from types import FrameType

from errors import EngineError, NotReadyError, SettingsError, Stopped, run, say
from group import PORT, Line, keep_alive

_KILL_AFTER_S = 10.0
_DIAL_S = 5.0


class Command:
    """One command of the leader, in a process group of its own."""

    def __init__(self, words: str, leader: Line) -> None:
        self._leader = leader
        self._process = subprocess.Popen(["/bin/sh", "-c", words], stdin=subprocess.DEVNULL, start_new_session=True)
        threading.Thread(target=self._report, daemon=True).start()

    def _report(self) -> None:
        code = self._process.wait()
        with contextlib.suppress(OSError):
            self._leader.send({"ended": code if code >= 0 else 128 - code})

    def end(self) -> None:
        """Ends the command and what it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_AFTER_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def dial(address: str, port: int, wait_s: float, poll_s: float) -> Line:
    """Returns a connection to the leader, once it listens.

    Raises:
        NotReadyError: It did not in time.
    """
    end_s = time.monotonic() + wait_s
    while True:
        try:
            connection = socket.create_connection((address, port), timeout=_DIAL_S)
        except OSError as error:
            if time.monotonic() >= end_s:
                raise NotReadyError(
                    f"the leader {address}:{port} did not answer within {wait_s:.0f} s ({error}). Look at its pod, and "
                    "whether a NetworkPolicy lets the pods of a group reach each other."
                ) from error
            time.sleep(poll_s)
        else:
            keep_alive(connection)
            return Line(connection)


def serve(address: str, port: int, number: int, host: str, wait_s: float, poll_s: float) -> int:
    """Works for the leader until it ends; returns 0 when this pod was asked to end, too.

    Raises:
        Stopped: Asked to end before there was a leader.
        EngineError: The leader is gone, and nobody asked this pod to end.
    """
    asked = threading.Event()
    dialling = True

    def end(_number: int, _frame: FrameType | None) -> None:
        asked.set()
        if dialling:
            raise Stopped("asked to end while it waited for its leader")
        say("asked to end: works on until the leader has ended")

    signal.signal(signal.SIGTERM, end)
    say(f"worker {number} dials {address}:{port}")
    leader = dial(address, port, wait_s, poll_s)
    dialling = False
    with contextlib.suppress(OSError):  # gone already: it says nothing either
        leader.send({"worker": number, "host": host})
    commands = []
    while message := leader.receive():
        say(f"runs: {message.get('run')}")
        commands.append(Command(str(message.get("run")), leader))
    for command in commands:
        command.end()
    if asked.is_set():
        return 0
    raise EngineError("the leader has ended. The group is started anew: look at the log of its first pod.")


def main() -> int:
    """Works for the leader that the LeaderWorkerSet names."""
    parser = argparse.ArgumentParser(description="Lend this pod's GPUs to its leader.", allow_abbrev=False)
    parser.add_argument("--leader", default=os.environ.get("LWS_LEADER_ADDRESS"))
    parser.add_argument("--number", type=int, default=os.environ.get("LWS_WORKER_INDEX"))
    parser.add_argument("--host", default=socket.gethostname(), help="the name under which mpirun knows this pod")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--wait-s", type=float, default=1800.0, help="at most this long without a leader")
    parser.add_argument("--poll-s", type=float, default=1.0)
    args = parser.parse_args()

    def program() -> int:
        if not args.leader or args.number is None:
            raise SettingsError(
                "LWS_LEADER_ADDRESS and LWS_WORKER_INDEX are not set: the controller of LeaderWorkerSet sets them. Is "
                "it installed, with its webhooks?"
            )
        return serve(args.leader, args.port, args.number, args.host, args.wait_s, args.poll_s)

    return run(program)


if __name__ == "__main__":
    sys.exit(main())
