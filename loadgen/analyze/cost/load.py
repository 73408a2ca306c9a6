"""Defines the requests that a fleet has to serve."""

from dataclasses import dataclass

import numpy as np

from loadgen.analyze.observed import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Requests in order of their arrival; all arrays have one length.

    Attributes:
        arrival_s: When each arrived.
        service_s: How long it occupies one of a replica's slots while it is alone there.
        first_token_s: Time from its start in a slot to its first token, a part of `service_s`.
        overhead_s: Part of each TTFT that is neither wait nor service: network, gateway and the current engine step.
    """

    arrival_s: Floats
    service_s: Floats
    first_token_s: Floats
    overhead_s: float = 0.0

    def __post_init__(self) -> None:
        if not len(self.arrival_s) == len(self.service_s) == len(self.first_token_s):
            raise ValueError("a load needs one service time and one time to the first token for each arrival")
        if len(self.arrival_s) and float(np.diff(self.arrival_s).min(initial=0.0)) < 0:
            raise ValueError("arrivals are not in order")

    def __len__(self) -> int:
        return len(self.arrival_s)
