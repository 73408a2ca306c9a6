"""The result of one lookup on a cluster."""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Discovered(Generic[T]):
    """One value that was looked up on a cluster, with the limits of what a run can observe.

    Attributes:
        value: The value; usually None where it was not found.
        missing: One sentence for each observation that the run has to do without.
        assumptions: One sentence for each setting that could not be read and was assumed.
    """

    value: T
    missing: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
