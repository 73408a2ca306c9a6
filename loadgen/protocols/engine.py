"""Reads what a server says about one request: its times in the engine, and the replica that answered.

A Triton model with the inputs and outputs of TensorRT-LLM's performance metrics answers with the times at which the
engine took the request, scheduled it, and generated its first and its last token. They are of a clock of the server's
machine, so only the durations between them have a meaning here.
"""

from collections.abc import Mapping
from typing import NamedTuple

from loadgen.dataset.tables import MAX_RUN_S

TIME_OUTPUTS = ("arrival_time_ns", "first_scheduled_time_ns", "first_token_time_ns", "last_token_time_ns")
"""Outputs with the times of a request in the engine, in the order in which they occur."""
POD_NAME = "pod_name"
"""Response parameter, or output, with the name of the replica that answers."""
POD_HEADER = "x-pod-name"
"""Response header with the name of the replica that answers, where a gateway adds it."""

_MAX_NS = int(MAX_RUN_S * 1e9)
_MAX_DIGITS = 20
"""Digits of an integer in a string; more than any valid time or count has."""
_MAX_POD_NAME = 253
"""Characters of the name of a Kubernetes object."""


class EngineTimes(NamedTuple):
    """Time of a request in the engine, seconds; None where the server does not say.

    Attributes:
        queue_s: From its arrival in the engine to its first iteration.
        prefill_s: From its first iteration to its first token.
        decode_s: From its first to its last token.
    """

    queue_s: float | None = None
    prefill_s: float | None = None
    decode_s: float | None = None


def engine_times(values: Mapping[str, object]) -> EngineTimes:
    """Return the times of a request in the engine.

    Args:
        values: Values of the outputs in `TIME_OUTPUTS`, ns, in the last response that has them; 0 for what has not
            happened.
    """
    arrival, scheduled, first_token, last_token = (integer(values.get(name)) or 0 for name in TIME_OUTPUTS)
    return EngineTimes(
        _between(arrival, scheduled), _between(scheduled, first_token), _between(first_token, last_token)
    )


def _between(start_ns: int, end_ns: int) -> float | None:
    """Return a duration in seconds; None if one of the times is unknown or they are not in order."""
    return (end_ns - start_ns) / 1e9 if 0 < start_ns <= end_ns <= start_ns + _MAX_NS else None


def pod_name(value: object) -> str | None:
    """Return the name of a replica as a server or a gateway gives it; None unless it is one."""
    if not isinstance(value, str):
        return None
    name = value.strip()
    return name if 0 < len(name) <= _MAX_POD_NAME and name.isprintable() else None


def integer(value: object) -> int | None:
    """Return an integer of a JSON answer, which may be a string or the last element of a list; None for all else."""
    if isinstance(value, list):
        value = value[-1] if value else None
    if isinstance(value, str) and value.isdecimal() and len(value) <= _MAX_DIGITS:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
