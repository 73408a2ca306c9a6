"""Runs in the worker pods of a group: connects to the leader and runs its commands until the leader ends.

SIGTERM does not end a worker with a leader: all pods of a group receive it at the same time, and the leader needs every
GPU to finish its responses. The worker ends with its leader.
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
    """A command of the leader, in its own process group."""

    def __init__(self, command: str, leader: Line) -> None:
        self._leader = leader
        self._process = subprocess.Popen(["/bin/sh", "-c", command], stdin=subprocess.DEVNULL, start_new_session=True)
        threading.Thread(target=self._report, daemon=True).start()

    def _report(self) -> None:
        code = self._process.wait()
        with contextlib.suppress(OSError):
            self._leader.send({"ended": code if code >= 0 else 128 - code})

    def end(self) -> None:
        """Ends the command and its child processes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_AFTER_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def dial(address: str, port: int, wait_s: float, poll_s: float) -> Line:
    """Returns a connection to the leader once it listens.

    Raises:
        NotReadyError: The leader did not listen in time.
    """
    end_s = time.monotonic() + wait_s
    while True:
        try:
            connection = socket.create_connection((address, port), timeout=_DIAL_S)
        except OSError as error:
            if time.monotonic() >= end_s:
                raise NotReadyError(
                    f"the leader {address}:{port} did not answer within {wait_s:.0f} s ({error}). Check its pod, and "
                    "that no NetworkPolicy separates the pods of a group."
                ) from error
            time.sleep(poll_s)
        else:
            keep_alive(connection)
            return Line(connection)


def serve(address: str, port: int, number: int, host: str, wait_s: float, poll_s: float) -> int:
    """Runs the leader's commands until it ends; returns 0 if this pod received SIGTERM, too.

    Raises:
        Stopped: SIGTERM arrived before the leader listened.
        EngineError: The leader ended without SIGTERM to this pod.
    """
    asked = threading.Event()
    dialling = True

    def end(_number: int, _frame: FrameType | None) -> None:
        asked.set()
        if dialling:
            raise Stopped("received SIGTERM while waiting for the leader")
        say("received SIGTERM: continues until the leader has ended")

    signal.signal(signal.SIGTERM, end)
    say(f"worker {number} connects to {address}:{port}")
    leader = dial(address, port, wait_s, poll_s)
    dialling = False
    with contextlib.suppress(OSError):  # already gone: `receive` then returns None
        leader.send({"worker": number, "host": host})
    commands = []
    while message := leader.receive():
        say(f"running: {message.get('run')}")
        commands.append(Command(str(message.get("run")), leader))
    for command in commands:
        command.end()
    if asked.is_set():
        return 0
    raise EngineError("the leader has ended, and the group restarts: check the log of its first pod.")


def main() -> int:
    """Runs the commands of the leader that the LeaderWorkerSet names."""
    parser = argparse.ArgumentParser(description="Run the commands of this group's leader.", allow_abbrev=False)
    parser.add_argument("--leader", default=os.environ.get("LWS_LEADER_ADDRESS"))
    parser.add_argument("--number", type=int, default=os.environ.get("LWS_WORKER_INDEX"))
    parser.add_argument("--host", default=socket.gethostname(), help="host name of this pod for mpirun")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--wait-s", type=float, default=1800.0, help="maximum time to wait for the leader")
    parser.add_argument("--poll-s", type=float, default=1.0)
    args = parser.parse_args()

    def program() -> int:
        if not args.leader or args.number is None:
            raise SettingsError(
                "LWS_LEADER_ADDRESS and LWS_WORKER_INDEX are not set: the LeaderWorkerSet controller sets them. Check "
                "that it is installed, with its webhooks."
            )
        return serve(args.leader, args.port, args.number, args.host, args.wait_s, args.poll_s)

    return run(program)


if __name__ == "__main__":
    sys.exit(main())
