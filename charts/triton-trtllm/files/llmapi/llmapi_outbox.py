"""Sends responses and detects cancelled requests, in the only thread that uses response senders."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import triton_python_backend_utils as pb_utils
from llmapi_call import FINAL, Call


class Outbox:
    """Sends responses in the order in which they are queued.

    Args:
        check_period_s: Period of the check whether clients have cancelled.
        on_cancelled: Called once, in the outbox's thread, with a cancelled call.
    """

    def __init__(self, check_period_s: float, *, on_cancelled: Callable[[Call], None]) -> None:
        self._check_period_s = check_period_s
        self._on_cancelled = on_cancelled
        self._items: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._watched: dict[Call, None] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def send(self, sender: Any, response: Any, *, final: bool = True, call: Call | None = None) -> None:
        """Send a response; the final one of a call ends the check for its cancellation."""

        def deliver() -> None:
            if call is not None:
                self._watched.pop(call, None)
            try:
                sender.send(response, flags=FINAL if final else 0)
            except Exception as error:
                # The server may have dropped the request; other requests must not be affected.
                pb_utils.Logger.log_error(f"a response could not be sent: {error}")

        self._items.put(deliver)

    def watch(self, call: Call) -> None:
        """Check from now on whether this call's client has cancelled."""
        self._items.put(lambda: self._watched.update({call: None}))

    def close(self) -> None:
        """Send the remaining responses, and end the thread."""
        self._items.put(None)
        self._thread.join(timeout=5)

    def _run(self) -> None:
        check_at = time.monotonic()
        while True:
            # Without calls to watch, wait for the next item.
            wait_s = max(0.0, check_at - time.monotonic()) if self._watched else None
            with suppress(queue.Empty):
                item = self._items.get(timeout=wait_s)
                if item is None:
                    return
                item()
            if self._watched and time.monotonic() >= check_at:
                self._check()
                check_at = time.monotonic() + self._check_period_s

    def _check(self) -> None:
        for call in [c for c in self._watched if c.sender.is_cancelled()]:
            del self._watched[call]
            self._on_cancelled(call)
