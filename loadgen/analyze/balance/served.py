"""Determines which replica answered each request."""

from dataclasses import dataclass

import numpy as np

from loadgen.analyze.observed import Bools, Ints, Observed
from loadgen.analyze.scaling.replicas import Fleet

ENOUGH = 0.9
"""Share of the answered requests that must name their replica before the balance is that of the requests."""


@dataclass(frozen=True, slots=True)
class Served:
    """The replica of each request.

    Attributes:
        names: Names of replicas.
        number: Index into `names` for each request; −1 where the replica is not known.
        by_name: Whether nearly all answered requests name their replica.
    """

    names: tuple[str, ...]
    number: Ints
    by_name: bool

    def of(self, name: str) -> Bools:
        """Whether each request is of this replica."""
        result: Bools = self.number == (self.names.index(name) if name in self.names else len(self.names))
        return result


def served(run: Observed, fleet: Fleet) -> Served:
    """The replica that each request names, else the only one that was ready when it was sent.

    A name that is used again, as in a LeaderWorkerSet, is that of the pod that existed when the request was sent.
    """
    requests = run.requests
    number = np.where(np.isfinite(requests.sent_s), requests.pod.code, -1).astype(np.int64)
    named = number >= 0
    names = list(requests.pod.names)
    index = {name: place for place, name in enumerate(names)}

    def place(name: str) -> int:
        if name not in index:
            index[name] = len(names)
            names.append(name)
        return index[name]

    for first, name, created_s in _incarnations(fleet):
        if first in index:
            later = (number == index[first]) & (requests.sent_s >= created_s)
            # Of several, the last one that was created before: they come in order.
            later |= np.isin(number, _others(index, first)) & (requests.sent_s >= created_s)
            number[later] = place(name)
    alone = ~named & (fleet.ready.at(requests.sent_s) == 1)
    if alone.any():
        for name, pod in fleet.pods.items():
            for start, end in pod.ready:
                there = alone & (requests.sent_s >= start) & (requests.sent_s < end)
                if there.any():
                    number[there] = place(name)
    answered = int(requests.ok.sum())
    by_name = bool(answered) and int((named & requests.ok).sum()) >= ENOUGH * answered
    return Served(tuple(names), number, by_name)


def _incarnations(fleet: Fleet) -> list[tuple[str, str, float]]:
    """The first name, the name and the creation of pods whose name was used before, by creation."""
    again = []
    for name, pod in fleet.pods.items():
        first, _, number = name.rpartition(" (")
        if first in fleet.pods and number.rstrip(")").isdigit() and pod.created_s is not None:
            again.append((first, name, pod.created_s))
    return sorted(again, key=lambda each: each[2])


def _others(index: dict[str, int], first: str) -> list[int]:
    """Places of the later pods of a name."""
    return [place for name, place in index.items() if name.startswith(f"{first} (")]
