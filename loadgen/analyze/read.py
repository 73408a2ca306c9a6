"""From a run folder to its analysis: reads, and calls."""

from loadgen.analyze.analysis import analyze
from loadgen.analyze.observed import Tables
from loadgen.analyze.results import Analysis
from loadgen.dataset.folder import RunFolder


def load(folder: RunFolder) -> Analysis:
    """Read and judge a run folder.

    Raises:
        DatasetError: no run there, a damaged part, or another schema version.
    """
    tables = Tables(
        requests=folder.read("requests"),
        tokens=folder.read("tokens"),
        samples=folder.read("samples"),
        events=folder.read("events"),
    )
    return analyze(folder.read_info(), tables)
