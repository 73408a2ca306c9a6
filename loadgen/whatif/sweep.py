"""Simulates many setups and chooses among them."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loadgen.base.errors import SettingsError
from loadgen.whatif.model import Load
from loadgen.whatif.outcome import Outcome, Span, meets, outcome
from loadgen.whatif.settings import Setup, split, with_settings

MOST = 500
"""Combinations of one sweep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One setup of a sweep.

    Attributes:
        changes: What differs from the run, each as `name=value`; empty for the run's own setup.
        setup: The setup.
        outcome: What it does with the load.
        efficient: Whether no other setup is better in one of violation and cost and at least as good in the other.
    """

    changes: tuple[str, ...]
    setup: Setup
    outcome: Outcome
    efficient: bool = False


def combinations(sweeps: Sequence[str]) -> list[tuple[str, ...]]:
    """Every combination of swept values, each swept setting given as `name=a,b,c`.

    Raises:
        SettingsError: a sweep is wrong, names a setting twice, or there are too many combinations.
    """
    names: list[str] = []
    values: list[list[str]] = []
    for each in sweeps:
        name, text = split(each)
        if name in names:
            raise SettingsError(f"{name} is swept twice: give all of its values in one sweep")
        names.append(name)
        values.append([part.strip() for part in text.split(",") if part.strip()])
    count = 1
    for each_values in values:
        count *= len(each_values)
    if count > MOST:
        raise SettingsError(f"the sweeps have {count} combinations: use at most {MOST}")
    chosen = itertools.product(*values)
    return [tuple(f"{name}={value}" for name, value in zip(names, row, strict=True)) for row in chosen]


def sweep(
    load: Load, setup: Setup, span: Span, limit_s: float, changes: Sequence[Sequence[str]]
) -> tuple[Variant, ...]:
    """Simulate the setup of a run, and that setup with each of these changes, in order.

    Raises:
        SettingsError: a change is wrong.
    """
    setups = [((), setup), *((tuple(each), with_settings(setup, each)) for each in changes)]
    results = [outcome(load, each, span, limit_s) for _, each in setups]
    efficient = set(_efficient(results))
    return tuple(
        Variant(changes=each_changes, setup=each, outcome=result, efficient=number in efficient)
        for number, ((each_changes, each), result) in enumerate(zip(setups, results, strict=True))
    )


def recommended(variants: Sequence[Variant], limit_s: float) -> Variant | None:
    """The cheapest setup that keeps the limit at every phase of the HPA; None if none does."""
    able = [each for each in variants if meets(each.outcome, limit_s)]
    return min(able, key=lambda each: each.outcome.replica_hours.median, default=None)


def _efficient(results: Sequence[Outcome]) -> Iterator[int]:
    points = [(each.slow_ratio.median, each.replica_hours.median) for each in results]
    for number, (slow, hours) in enumerate(points):
        if not any(
            other_slow <= slow and other_hours <= hours and (other_slow, other_hours) != (slow, hours)
            for other_slow, other_hours in points
        ):
            yield number
