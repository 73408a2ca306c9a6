"""When to end: SIGTERM, SIGINT, or the death of the parent, which cuts the lifeline on our standard input."""

import os
import select
import signal
import socket
import time

from loadgen.base.processes import lifeline_fd


class Stop:
    """Waits for the reason to end; a terminal or a file as standard input is no lifeline."""

    def __init__(self) -> None:
        self._woken, self._wake = socket.socketpair()
        for end in (self._woken, self._wake):
            end.setblocking(False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)  # the wake-up below tells; a handler must exist for it
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        self._lifeline = lifeline_fd()

    def wait(self, until_monotonic_s: float) -> str | None:
        """Sleep until then, or less: returns why it is time to end, None when it is not."""
        watched = [self._woken.fileno()] + ([self._lifeline] if self._lifeline is not None else [])
        while True:
            readable, _, _ = select.select(watched, [], [], max(0.0, until_monotonic_s - time.monotonic()))
            if self._woken.fileno() in readable:
                return signal.Signals(self._woken.recv(1)[0]).name
            if not readable:
                return None
            if not os.read(watched[1], 1 << 16):
                return "the parent has gone"
