"""Shows the progress of a run: a live line on a terminal, or plain lines, every ten seconds and at stage ends."""

import sys
import time
from dataclasses import dataclass

import numpy as np

from loadgen.base.console import columns, fitted, is_live, show_live
from loadgen.base.display import rounded_duration, seconds
from loadgen.load.plan import LoadPlan
from loadgen.load.tally import Counts

_LIVE_INTERVAL_S = 1.0
_PLAIN_INTERVAL_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Replicas and scaling metric of the target; None where they are not observed."""

    ratio: float | None = None
    desired: int | None = None
    ready: int | None = None


class Progress:
    """The progress line of one run; call `show` after each `pause_s`.

    Args:
        plan: All arrivals.
        load_start: Reading of the monotonic clock at which the load starts.
        run_time_s: Seconds after which the run is stopped; None or 0 for the whole load.
    """

    def __init__(self, plan: LoadPlan, load_start: float, run_time_s: float | None = None) -> None:
        self._plan = plan
        self._load_start = load_start
        self._spans = plan.scenario.load.spans()
        end_s = plan.scenario.load.length_s + plan.scenario.settle_s
        self._end_s = min(end_s, run_time_s) if run_time_s else end_s
        self._previous = Counts()
        self._previous_s = 0.0
        self._next_plain_s = 0.0

    def pause_s(self) -> float:
        """Return the seconds until the next line: up to one, and less when a stage ends before."""
        t_s = time.monotonic() - self._load_start
        return min([_LIVE_INTERVAL_S, *(span.end_s - t_s for span in self._spans if span.end_s > t_s)])

    def show(self, counts: Counts, fleet: Fleet) -> None:
        """Write the line for the time since the last one, if it is due."""
        t_s = time.monotonic() - self._load_start
        live = is_live()
        stage_ended = any(self._previous_s < span.end_s <= t_s for span in self._spans)
        if t_s - self._previous_s < (_LIVE_INTERVAL_S / 2 if live else 0.0) or t_s <= self._previous_s:
            return
        if not live and t_s < self._next_plain_s and not stage_ended:
            return
        parts = self._parts(t_s, counts, fleet)
        if live:
            show_live(fitted(parts, columns() - 1))  # a terminal wraps at its last column
        else:
            sys.stderr.write(f"{' │ '.join(parts)}\n")
            sys.stderr.flush()
        self._previous, self._previous_s = counts, t_s
        self._next_plain_s = t_s + _PLAIN_INTERVAL_S

    def _parts(self, t_s: float, counts: Counts, fleet: Fleet) -> list[str]:
        """Return the parts of the line, the most important first."""
        middle_s = (self._previous_s + t_s) / 2
        after = "waiting for responses" if counts.in_flight else "settling"
        stage = next((span.name for span in self._spans if span.start_s <= middle_s < span.end_s), after)
        span_s = t_s - self._previous_s
        due = int(np.searchsorted(self._plan.due_s, t_s)) - int(np.searchsorted(self._plan.due_s, self._previous_s))
        previous = self._previous
        parts = [
            stage,
            f"{rounded_duration(float(round(max(0.0, self._end_s - t_s))))} left",
            f"due {due / span_s:.1f}/s sent {(counts.sent - previous.sent) / span_s:.1f} "
            f"done {(counts.ok - previous.ok) / span_s:.1f} failed {(counts.failed - previous.failed) / span_s:.1f}",
        ]
        if fleet.desired is not None:
            parts.append(f"replicas {fleet.ready}/{fleet.desired}")
            parts.append(f"ratio {'–' if fleet.ratio is None else f'{fleet.ratio:.2f}'}")
        ttft_s = float(np.percentile(counts.recent_ttft_s, 95)) if counts.recent_ttft_s else None
        return [*parts, f"TTFT p95 of answered {seconds(ttft_s)}", f"in flight {counts.in_flight}"]
