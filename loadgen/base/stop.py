"""Waits for a reason to stop: SIGTERM, SIGINT, or the end of the parent, which closes the lifeline."""

import os
import select
import signal
import socket
import time

from loadgen.base.processes import lifeline_fd


class Stop:
    """Waits for a signal or the end of the parent; only a pipe as standard input is a lifeline."""

    def __init__(self) -> None:
        self._wakeup_read, self._wakeup_write = socket.socketpair()
        for end in (self._wakeup_read, self._wakeup_write):
            end.setblocking(False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)  # a handler has to exist for the wake-up below
        signal.set_wakeup_fd(self._wakeup_write.fileno(), warn_on_full_buffer=False)
        self._lifeline = lifeline_fd()

    def wait(self, until_monotonic_s: float) -> str | None:
        """Sleep until this time; return the reason to stop as soon as there is one, else None."""
        watched = [self._wakeup_read.fileno()] + ([self._lifeline] if self._lifeline is not None else [])
        while True:
            readable, _, _ = select.select(watched, [], [], max(0.0, until_monotonic_s - time.monotonic()))
            if self._wakeup_read.fileno() in readable:
                return signal.Signals(self._wakeup_read.recv(1)[0]).name
            if not readable:
                return None
            if not os.read(watched[1], 1 << 16):
                return "the parent process has ended"
