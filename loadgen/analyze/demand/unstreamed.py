"""Determines service times of requests whose answers came in one piece, without streaming.

The client sees when a request was sent and when its answer came: wait and service together. Of a request that found a
free slot it is the service alone. How long that is depends mostly on the length of the answer, so it is a line through
these requests, in the output tokens, that gives the service of all others:

    service = a + b · output tokens     by least squares over the requests that were sent while few were in flight

If the output tokens do not determine it, it is the same for all: their mean. How much a batch slows down its requests
is not part of it: only a stream or the engine shows that.
"""

import math

import numpy as np

from loadgen.analyze.demand.services import Services, modelled, not_stalled, others_in_flight
from loadgen.analyze.observed import Floats

MIN_LONE = 10
"""Requests that a line needs."""
_LEAST_SLOPE = 2.0
"""Standard errors that the slope must be above 0; otherwise the answers' length does not determine the service."""


def unstreamed(sent_s: Floats, last_s: Floats, ended_s: Floats, output_tokens: Floats, few: int = 0) -> Services:
    """Services by the line above, or all the same if the output tokens do not determine them.

    Args:
        sent_s: When each request was sent; NaN if it was not.
        last_s: When its answer arrived; NaN if it was not answered.
        ended_s: When it ended, answered or not.
        output_tokens: Length of its answer; NaN where it is unknown.
        few: Other requests in flight that leave a slot free at every replica.
    """
    constant = modelled(sent_s, last_s, last_s, ended_s, few)
    took_s = last_s - sent_s
    known = np.isfinite(took_s) & np.isfinite(output_tokens)
    alone = known & (others_in_flight(sent_s, ended_s) <= few)
    if alone.sum() < MIN_LONE or not np.array_equal(known, constant.known):
        return constant
    alone[alone] = not_stalled(took_s[alone])
    tokens, times = output_tokens[alone], took_s[alone]
    if len(times) < MIN_LONE or np.ptp(tokens) == 0:
        return constant
    centre = float(tokens.mean())
    spread = float(((tokens - centre) ** 2).sum())
    slope = float(((tokens - centre) * times).sum()) / spread
    rest = times - times.mean() - slope * (tokens - centre)
    deviation = math.sqrt(float((rest**2).sum()) / (len(times) - 2))
    if slope < _LEAST_SLOPE * deviation / math.sqrt(spread):
        return constant
    service = np.where(known, times.mean() + slope * (output_tokens - centre), np.nan)
    service = np.where(known, np.maximum(service, times.min()), np.nan)
    away = float(output_tokens[known].mean()) - centre
    return Services(
        start_s=last_s - service,
        service_s=service,
        prefill_s=service,
        method="modelled",
        error_s=deviation * math.sqrt(1 / len(times) + away**2 / spread),
    )
