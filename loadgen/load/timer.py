"""A timer of gevent's hub with the resolution of the kernel: gevent's own timers are up to a millisecond late."""

import ctypes
import os
from collections.abc import Callable
from typing import Any

import gevent

_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK, _TFD_CLOEXEC, _TFD_TIMER_ABSTIME = os.O_NONBLOCK, os.O_CLOEXEC, 1
_READ = 1


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
