"""Converts the inputs of a sync to JSON values and back, so that a recorded sync can be replayed."""

from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from loadgen.autoscale.arithmetic import MAX_INT64
from loadgen.autoscale.state import PodState, Reading, ScaleState


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What the controller read in one sync.

    Attributes:
        scale: The target's scale.
        pods: All pods that the scale's selector matches.
        readings: One answer per metric of the spec, in its order.
    """

    scale: ScaleState
    pods: tuple[PodState, ...]
    readings: tuple[Reading, ...]


_INPUTS = TypeAdapter(Inputs)


def inputs_data(inputs: Inputs) -> dict[str, Any]:
    """Return the inputs as JSON values; fields with their default value are left out."""
    data: dict[str, Any] = _INPUTS.dump_python(inputs, mode="json", exclude_defaults=True)
    return data


def parse_inputs(data: object) -> Inputs | None:
    """Return recorded inputs; `None` if they are missing or damaged, or if no controller can have read them."""
    try:
        return _INPUTS.validate_python(data) if _in_range(data) else None
    except ValidationError:
        return None


def _in_range(data: object) -> bool:
    """Whether all numbers fit into the controller's integers."""
    rest = [data]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            rest += value.values()
        elif isinstance(value, list):
            rest += value
        elif isinstance(value, int | float) and not -MAX_INT64 <= value <= MAX_INT64:
            return False
    return True
