"""Shows the progress of a run: a live line on a terminal, otherwise a plain line every ten seconds."""

import sys
import time
from dataclasses import dataclass

import numpy as np

from loadgen.base.console import CLEAR_LINE, is_live
from loadgen.load.plan import LoadPlan
from loadgen.load.sender import Counts

_PLAIN_INTERVAL_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Replicas and scaling metric of the target; None where they are not observed."""

    ratio: float | None = None
    desired: int | None = None
    ready: int | None = None


class Progress:
    """The progress line of one run; call `show` about once a second.

    Args:
        plan: All arrivals.
        load_start: Reading of the monotonic clock at which the load starts.
    """

    def __init__(self, plan: LoadPlan, load_start: float) -> None:
        self._plan = plan
        self._load_start = load_start
        self._previous = Counts()
        self._previous_s = 0.0
        self._next_plain_s = 0.0

    def show(self, counts: Counts, fleet: Fleet) -> None:
        """Write the line for the current moment."""
        t_s = time.monotonic() - self._load_start
        if t_s <= self._previous_s:
            return
        live = is_live()
        if not live and t_s < self._next_plain_s:
            return
        text = self._line(t_s, counts, fleet)
        sys.stderr.write(f"{CLEAR_LINE}{text}" if live else f"{text}\n")
        sys.stderr.flush()
        self._previous, self._previous_s = counts, t_s
        self._next_plain_s = t_s + _PLAIN_INTERVAL_S

    def _line(self, t_s: float, counts: Counts, fleet: Fleet) -> str:
        spans = self._plan.scenario.load.spans()
        stage = next((span.name for span in spans if span.start_s <= t_s < span.end_s), "waiting for responses")
        span_s = t_s - self._previous_s
        due = int(np.searchsorted(self._plan.due_s, t_s)) - int(np.searchsorted(self._plan.due_s, self._previous_s))
        left_s = max(0.0, self._plan.scenario.load.length_s - t_s)

        def rate(now: int, previous: int) -> str:
            return f"{(now - previous) / span_s:.1f}"

        ttft = f"{np.percentile(counts.recent_ttft_s, 95):.2f} s" if counts.recent_ttft_s else "–"
        parts = [
            stage,
            f"due {due / span_s:.1f}/s sent {rate(counts.sent, self._previous.sent)} "
            f"done {rate(counts.ok, self._previous.ok)} failed {rate(counts.failed, self._previous.failed)}",
            f"in flight {counts.in_flight}",
            f"TTFT p95 {ttft}",
        ]
        if fleet.desired is not None:
            ratio = "–" if fleet.ratio is None else f"{fleet.ratio:.2f}"
            parts += [f"ratio {ratio}", f"replicas {fleet.ready}/{fleet.desired}"]
        parts.append(f"{left_s:.0f} s left")
        return " │ ".join(parts)
