"""Pauses Python's garbage collector during a load: a full collection stops the process for tens of milliseconds.

Also shortens the time for which another thread, such as one that writes a part file, may keep the interpreter.
"""

import gc
import sys

import psutil

_GROWTH_BYTES = 256 * 2**20
"""Growth of this process after which a collection is worth its pause; what has no cycles is freed without one."""

_SWITCH_INTERVAL_S = 0.0005


class PausedCollector:
    """The garbage collector from the start of a load to its end."""

    def __init__(self) -> None:
        gc.collect()
        gc.freeze()
        gc.disable()
        self._switch_interval_s = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        self._process = psutil.Process()
        self._before = self._process.memory_info().rss

    def check(self) -> None:
        """Collect if this process has grown; to be called once a second."""
        size = self._process.memory_info().rss
        if size > self._before + _GROWTH_BYTES:
            gc.collect()
            self._before = max(self._process.memory_info().rss, self._before)

    def resume(self) -> None:
        """Let Python collect again."""
        gc.unfreeze()
        gc.enable()
        sys.setswitchinterval(self._switch_interval_s)
