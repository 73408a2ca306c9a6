"""Turns of gevent's hub: a timer with the resolution of the kernel, and a pause in which all sockets are looked at."""

import ctypes
import os
import time
from collections.abc import Callable
from typing import Any

import gevent

_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK, _TFD_CLOEXEC, _TFD_TIMER_ABSTIME = os.O_NONBLOCK, os.O_CLOEXEC, 1
_READ = 1
SLICE_S = 0.0001
"""Time after which encoding, decoding and reporting let the hub read and send."""


class _Timespec(ctypes.Structure):
    _fields_ = (("s", ctypes.c_long), ("ns", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


_libc = ctypes.CDLL(None, use_errno=True)


class Timer:
    """Calls a function in the hub at a reading of the monotonic clock (Linux's timerfd).

    Args:
        function: Called once for every `start`; it must not block.

    Raises:
        OSError: the kernel has no such timer, or this process may not open another file.
    """

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._fd: int = _libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        self._watcher: Any = gevent.get_hub().loop.io(self._fd, _READ)
        self._watcher.start(self._expired)
        self._at = _Itimerspec()

    def start(self, at: float) -> None:
        """Set the time, seconds; a time that has passed is now."""
        value = self._at.value
        value.s = int(at)
        value.ns = max(int((at - int(at)) * 1e9), 1 if value.s == 0 else 0)  # 0 would stop the timer
        _libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, ctypes.byref(self._at), None)

    def close(self) -> None:
        """Stop the timer; a second call does nothing."""
        if self._fd >= 0:
            self._watcher.close()
            os.close(self._fd)
            self._fd = -1

    def _expired(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:  # it was set again meanwhile
            return
        self._function()


class Pause:
    """Lets the hub look at all sockets once before the calling greenlet goes on.

    `gevent.sleep(0)` does not: the hub goes on with functions that wait for their turn for up to 5 ms before it polls.
    """

    def __init__(self) -> None:
        self._hub = gevent.get_hub()
        self._watcher: Any = self._hub.loop.async_()
        self._slice_end = 0.0

    def __call__(self) -> None:
        """Wait for the next turn, if the slice of the greenlet is over."""
        if time.monotonic() >= self._slice_end:
            self._watcher.start(gevent.getcurrent().switch)
            self._watcher.send()
            try:
                self._hub.switch()
            finally:
                self._watcher.stop()
            self.begin()

    def begin(self) -> None:
        """Begin a slice."""
        self._slice_end = time.monotonic() + SLICE_S

    def close(self) -> None:
        """Free the watcher."""
        self._watcher.close()
