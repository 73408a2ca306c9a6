"""Reads a run folder and analyzes it."""

from loadgen.analyze.analysis import analyze
from loadgen.analyze.findings import codes
from loadgen.analyze.observed import Observed, Tables
from loadgen.analyze.prepare import observe
from loadgen.analyze.results import Analysis
from loadgen.base.errors import DatasetError
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.run_info import RunInfo
from loadgen.scenario.settings import Pricing


def analyze_folder(folder: RunFolder, pricing: Pricing | None = None) -> Analysis:
    """Read and analyze a run folder; rows that cannot be true are left out and counted (`validity.damaged_rows`).

    Args:
        folder: The run folder.
        pricing: Prices that replace those of the settings in `run.json`, where they have a value.

    Raises:
        DatasetError: there is no run, `run.json` or a part is damaged, the schema version differs, or the run does not
            fit into memory.
    """
    try:
        return analyze(*_read(folder), pricing)
    except MemoryError as error:
        raise _too_large(folder) from error


def read_observed(folder: RunFolder) -> Observed:
    """Read a run folder without analyzing it; rows that cannot be true are left out.

    Raises:
        DatasetError: as above.
    """
    try:
        return observe(*_read(folder))
    except MemoryError as error:
        raise _too_large(folder) from error


def _read(folder: RunFolder) -> tuple[RunInfo, Tables]:
    info = folder.read_info()
    for limit in info.limits:
        if (limit.metric, limit.statistic) not in codes.SLO:
            raise DatasetError(
                f"{folder.path / 'run.json'} is damaged at limits (there is no limit on {limit.statistic} of "
                f"{limit.metric}); restore it or run the test again"
            )
    tables = Tables(
        requests=folder.parts("requests", copies=1),
        tokens=folder.parts("tokens"),
        samples=folder.table("samples"),
        events=folder.table("events"),
    )
    return info, tables


def _too_large(folder: RunFolder) -> DatasetError:
    return DatasetError(f"{folder.path} does not fit into memory: report on a machine with more")
