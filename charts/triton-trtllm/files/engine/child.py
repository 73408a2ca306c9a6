"""Runs a program of the build: streams and logs its output without the token, and ends it with the build."""

import collections
import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

from errors import say

LAST_LINES = 30


class Child:
    """A running program in its own process group."""

    def __init__(self, command: list[str], log: TextIO, secrets: list[str], environment: Mapping[str, str]) -> None:
        self._log, self._secrets = log, [secret for secret in secrets if secret]
        self.last_lines: collections.deque[str] = collections.deque(maxlen=LAST_LINES)
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", env=dict(environment), start_new_session=True,
        )  # fmt: skip

    def finish(self) -> int:
        """Forwards the output until the program ends, and returns its exit code."""
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self._pass_on(line.rstrip("\n"))
        return self._process.wait()

    def _pass_on(self, line: str) -> None:
        for secret in self._secrets:
            line = line.replace(secret, "***")
        self.last_lines.append(line)
        say(line)
        with contextlib.suppress(OSError):  # on a full volume the step's own error is more useful
            self._log.write(line + "\n")
            self._log.flush()

    def end(self, within_s: float = 10.0) -> None:
        """Ends the program and its child processes: SIGTERM first, SIGKILL after `within_s`."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(within_s)


@contextlib.contextmanager
def open_log(log: Path) -> Iterator[TextIO]:
    """Opens the log of an attempt for appending."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", errors="replace") as file:
        yield file
