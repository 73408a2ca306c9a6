"""Whether the fleet was in time: it served what the load needed before a lag could make requests slow."""

from dataclasses import dataclass
from typing import Literal

from loadgen.analyze.results.demand import Estimate

InTimeAnswer = Literal["in_time", "late", "not_tested", "not_known"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LagParts:
    """The worst lag by what can change it, seconds; the parts add up to the lag.

    Attributes:
        phase_s: Wait of the signal over its target for the next HPA sync: chance, from 0 to one sync period.
        settings_s: The rest until the decision: the signal over its target, and syncs in which rules held the replicas.
        start_up_s: From the decision until the last new replica was ready.
        traffic_s: From then until it served.
    """

    phase_s: float
    settings_s: float
    start_up_s: float
    traffic_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class InTime:
    """Whether the fleet was in time.

    Attributes:
        answer: `in_time`: the lag made no request slow, or no replica served after it was needed; `late`: it did, or,
            without a limit on TTFT or E2E, replicas served after they were needed; `not_tested`: the load needed no
            scale-up; `not_known`.
        reason: Why, as a sentence without a full stop.
        lag: The worst lag of the levels that had to be scaled and could be, with its 95 % interval; negative if the
            replicas served before they were needed. None if it is unknown, or nothing had to be scaled.
        at_least: Whether the replicas never served while they were needed, so that the lag is at least this long.
        until_load_end: Whether they were still needed when the load ended.
        replicas: The number of replicas that the worst lag is about.
        needed_s: When they were needed.
        served_s: When they served; None if they did not while they were needed.
        clocks_differ: Whether the clocks of the requests and of the fleet differ, which makes the lag wrong by as much.
        parts: The worst lag by what can change it; None if its parts are not known.
    """

    answer: InTimeAnswer
    reason: str
    lag: Estimate | None = None
    at_least: bool = False
    until_load_end: bool = False
    replicas: int | None = None
    needed_s: float | None = None
    served_s: float | None = None
    clocks_differ: bool = False
    parts: LagParts | None = None
