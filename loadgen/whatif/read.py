"""Reads a run folder as a simulation sees it."""

from dataclasses import dataclass

from loadgen.analyze.observed import Observed
from loadgen.analyze.read import read_observed
from loadgen.analyze.scaling.replicas import Fleet, fleet
from loadgen.dataset.folder import RunFolder
from loadgen.whatif.fit import Fit, fit


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedRun:
    """A run, its replicas, and the simulation that is fitted to them."""

    observed: Observed
    fleet: Fleet
    fit: Fit


def read_fitted(folder: RunFolder, *, slots: int | None = None) -> FittedRun:
    """Read a run folder and fit a simulation to it.

    Args:
        folder: The run folder.
        slots: Requests that a replica computes at the same time; None to find out from the requests.

    Raises:
        SettingsError: too little was recorded for a simulation; the sentence says what is missing.
        DatasetError: the run folder cannot be read.
    """
    observed = read_observed(folder)
    replicas = fleet(observed)
    return FittedRun(observed=observed, fleet=replicas, fit=fit(observed, replicas, slots=slots))
